/* Tests of src/enclave/ipc.c over real socket pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "cbor/cbor.h"
#include "enclave/ipc.h"

struct wire {
    int ends[2];
    struct bb_buf got;
    int passed;
};

static int set_up(void **state) {
    struct wire *wire = calloc(1, sizeof *wire);
    if (wire == NULL || bb_ipc_pair(wire->ends) != BB_OK)
        return -1;
    wire->got = BB_BUF_INIT(BB_IPC_MAX);
    wire->passed = -1;
    *state = wire;
    return 0;
}

static int tear_down(void **state) {
    struct wire *wire = *state;
    bb_fd_close(&wire->ends[0]);
    bb_fd_close(&wire->ends[1]);
    bb_fd_close(&wire->passed);
    bb_buf_done(&wire->got);
    free(wire);
    return 0;
}

static enum bb_err receive(struct wire *wire, int timeout_ms) {
    return bb_ipc_receive(wire->ends[1], &wire->got, &wire->passed, timeout_ms);
}

static void messages_keep_their_edges(void **state) {
    struct wire *wire = *state;
    assert_int_equal(receive(wire, 0), BB_ERR_TIMEOUT);
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view_str("one"), -1, 0), BB_OK);
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view_str("two!"), -1, 0), BB_OK);
    assert_int_equal(receive(wire, 1000), BB_OK);
    assert_string_equal(bb_buf_str(&wire->got), "one");
    assert_int_equal(wire->passed, -1);
    assert_int_equal(receive(wire, 1000), BB_OK);
    assert_string_equal(bb_buf_str(&wire->got), "two!");
}

static void the_largest_message_passes_and_a_larger_one_does_not(void **state) {
    struct wire *wire = *state;
    uint8_t *bytes = calloc(1, BB_IPC_MAX + 1);
    assert_non_null(bytes);
    bytes[BB_IPC_MAX - 1] = 7;
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view(bytes, BB_IPC_MAX), -1, 0), BB_OK);
    assert_int_equal(receive(wire, 1000), BB_OK);
    assert_int_equal(wire->got.len, BB_IPC_MAX);
    assert_memory_equal(wire->got.data, bytes, BB_IPC_MAX);
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view(bytes, BB_IPC_MAX + 1), -1, 0), BB_ERR_TOO_LARGE);
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view(bytes, 0), -1, 0), BB_ERR_TOO_LARGE);
    /* a peer that does not keep to it is found out */
    assert_int_equal(send(wire->ends[0], bytes, BB_IPC_MAX + 1, 0), BB_IPC_MAX + 1);
    free(bytes);
    assert_int_equal(receive(wire, 1000), BB_ERR_PROTOCOL);
    assert_int_equal(wire->got.len, 0);
}

static void a_descriptor_travels_along(void **state) {
    struct wire *wire = *state;
    int pipe_ends[2];
    char byte = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view_str("x"), pipe_ends[1], 0), BB_OK);
    close(pipe_ends[1]);
    assert_int_equal(receive(wire, 1000), BB_OK);
    assert_true(wire->passed >= 0);
    assert_true((fcntl(wire->passed, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(wire->passed, "y", 1), 1);
    assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(pipe_ends[0]);
}

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Two descriptors in one packet are against the rules, and none of them may stay open here. */
static void more_than_one_descriptor_is_refused(void **state) {
    struct wire *wire = *state;
    char byte = 'x';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct msghdr packet = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&packet);
    *head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(2 * sizeof(int))};
    int fds[2] = {0, 1};
    memcpy(CMSG_DATA(head), fds, sizeof fds);
    int before = open_descriptors();
    assert_int_equal(sendmsg(wire->ends[0], &packet, 0), 1);
    assert_int_equal(receive(wire, 1000), BB_ERR_PROTOCOL);
    assert_int_equal(wire->passed, -1);
    assert_int_equal(open_descriptors(), before);
}

static void a_full_socket_is_busy_and_a_closed_one_closed(void **state) {
    struct wire *wire = *state;
    uint8_t bytes[4096] = {1};
    enum bb_err err = BB_OK;
    for (int i = 0; i < 10000 && err == BB_OK; i++)
        err = bb_ipc_send(wire->ends[0], bb_view(bytes, sizeof bytes), -1, 0);
    assert_int_equal(err, BB_ERR_BUSY);
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view(bytes, sizeof bytes), -1, 20), BB_ERR_TIMEOUT);
    bb_fd_close(&wire->ends[1]);
    assert_int_equal(bb_ipc_send(wire->ends[0], bb_view(bytes, 1), -1, 0), BB_ERR_CLOSED);
    assert_int_equal(bb_ipc_receive(wire->ends[0], &wire->got, &wire->passed, 0), BB_ERR_CLOSED);
}

static void the_type_is_read_whatever_else_is_there(void **state) {
    (void)state;
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(100);
    struct bb_view type = {0};
    assert_int_equal(bb_cbor_put_map(&message, 2), BB_OK);
    assert_int_equal(bb_cbor_put_text(&message, "id"), BB_OK);
    assert_int_equal(bb_cbor_put_uint(&message, 5), BB_OK);
    assert_int_equal(bb_cbor_put_text(&message, "type"), BB_OK);
    assert_int_equal(bb_cbor_put_text(&message, "ready"), BB_OK);
    assert_int_equal(bb_ipc_type(bb_buf_view(&message), &type), BB_OK);
    assert_true(bb_view_equal(type, bb_view_str("ready")));
    for (size_t len = 0; len < message.len; len++)
        assert_int_equal(bb_ipc_type(bb_view(message.data, len), &type), BB_ERR_PROTOCOL);
    assert_int_equal(bb_ipc_type(bb_view_str("\xa1\x64type\x05"), &type), BB_ERR_PROTOCOL);
    assert_int_equal(bb_ipc_type(bb_view_str("hello"), &type), BB_ERR_PROTOCOL);
}

#define WITH_WIRE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_WIRE(messages_keep_their_edges),
        WITH_WIRE(the_largest_message_passes_and_a_larger_one_does_not),
        WITH_WIRE(a_descriptor_travels_along),
        WITH_WIRE(more_than_one_descriptor_is_refused),
        WITH_WIRE(a_full_socket_is_busy_and_a_closed_one_closed),
        WITH_WIRE(the_type_is_read_whatever_else_is_there),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
