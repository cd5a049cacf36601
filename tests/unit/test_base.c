/* Tests of src/base: buffers, cursor, hexadecimal, endpoints, frames, sealed memory files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cursor.h"
#include "base/endpoint.h"
#include "base/fd.h"
#include "base/hex.h"

static void buffer_keeps_its_ceiling(void **state) {
    (void)state;
    struct bb_buf buf BB_CLEANUP_BUF = BB_BUF_INIT(8);
    assert_int_equal(bb_buf_append_str(&buf, "12345678"), BB_OK);
    assert_int_equal(bb_buf_append_str(&buf, "9"), BB_ERR_TOO_LARGE);
    assert_string_equal(bb_buf_str(&buf), "12345678");
    bb_buf_consume(&buf, 3);
    assert_string_equal(bb_buf_str(&buf), "45678");
    assert_int_equal(bb_buf_printf(&buf, "%d", 999), BB_OK);
    assert_string_equal(bb_buf_str(&buf), "45678999");
    uint8_t *to;
    assert_int_equal(bb_buf_reserve(&buf, SIZE_MAX, &to), BB_ERR_TOO_LARGE);
}

static void cursor_stops_at_the_end(void **state) {
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7};
    struct bb_cursor cursor = bb_cursor(bb_view(bytes, sizeof bytes));
    uint16_t u16;
    uint32_t u32;
    uint8_t u8;
    assert_int_equal(bb_cursor_u16(&cursor, &u16), BB_OK);
    assert_int_equal(u16, 0x0102);
    assert_int_equal(bb_cursor_u32(&cursor, &u32), BB_OK);
    assert_int_equal(u32, 0x03040506);
    assert_int_equal(bb_cursor_u16(&cursor, &u16), BB_ERR_TRUNCATED);
    assert_int_equal(bb_cursor_u8(&cursor, &u8), BB_OK);
    assert_int_equal(u8, 7);
    assert_int_equal(bb_cursor_u8(&cursor, &u8), BB_ERR_TRUNCATED);
}

static void hex_round_trip(void **state) {
    (void)state;
    const uint8_t bytes[] = {0x00, 0xab, 0xff};
    char text[7];
    bb_hex_encode(bb_view(bytes, 3), text);
    assert_string_equal(text, "00abff");
    uint8_t back[3] = {9, 9, 9};
    assert_int_equal(bb_hex_decode(bb_view_str("00ABfg"), back, 3), BB_ERR_HEX);
    assert_int_equal(back[0], 9);
    assert_int_equal(bb_hex_decode(bb_view_str("00ABf"), back, 3), BB_ERR_HEX);
    assert_int_equal(bb_hex_decode(bb_view_str("00ABff"), back, 3), BB_OK);
    assert_memory_equal(back, bytes, 3);
}

static void endpoint_notation(void **state) {
    (void)state;
    struct bb_endpoint e;
    assert_int_equal(bb_endpoint_parse("tcp:127.0.0.1:8443", &e), BB_OK);
    assert_string_equal(e.host, "127.0.0.1");
    assert_string_equal(e.port, "8443");
    assert_int_equal(bb_endpoint_parse("tcp:[::1]:1", &e), BB_OK);
    assert_string_equal(e.host, "::1");
    assert_int_equal(bb_endpoint_parse("fd:7", &e), BB_OK);
    assert_int_equal(e.fd, 7);
    assert_int_equal(bb_endpoint_parse_tcp("example.com", "443", &e), BB_OK);
    assert_string_equal(e.port, "443");
    const char *bad[] = {"",         "tcp:",  "tcp:host", "tcp::1", "tcp:h:65536", "tcp:h:-1",
                         "tcp:h:1x", "unix:", "fd:",      "fd:x",   "h:1",         "tcp:a:b:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(bb_endpoint_parse(bad[i], &e), BB_ERR_ARGUMENT);
}

static void endpoint_connects(void **state) {
    (void)state;
    struct bb_endpoint e;
    assert_int_equal(bb_endpoint_parse("tcp:127.0.0.1:0", &e), BB_OK);
    int listener BB_CLEANUP_FD = -1;
    assert_int_equal(bb_endpoint_listen(&e, 1, &listener), BB_OK);
    char address[64] = "tcp:";
    assert_int_equal(bb_endpoint_bound_address(listener, address + 4, sizeof address - 4), BB_OK);
    assert_int_equal(bb_endpoint_parse(address, &e), BB_OK);
    int client BB_CLEANUP_FD = -1;
    assert_int_equal(bb_endpoint_connect(&e, 2000, &client), BB_OK);
    bb_fd_close(&client);
    bb_fd_close(&listener);
    assert_int_equal(bb_endpoint_connect(&e, 2000, &client), BB_ERR_CONNECT);
}

static void frames_have_a_ceiling(void **state) {
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct bb_buf buf BB_CLEANUP_BUF = BB_BUF_INIT(5);
    assert_int_equal(bb_frame_write(pair[0], bb_view_str("hello"), 1000), BB_OK);
    assert_int_equal(bb_frame_read(pair[1], &buf, 1000), BB_OK);
    assert_string_equal(bb_buf_str(&buf), "hello");
    assert_int_equal(bb_frame_write(pair[0], bb_view_str("hello!"), 1000), BB_OK);
    assert_int_equal(bb_frame_read(pair[1], &buf, 1000), BB_ERR_TOO_LARGE);
    close(pair[0]);
    char rest[6];
    assert_int_equal(bb_fd_read_exactly(pair[1], rest, 6, 1000), BB_OK);
    assert_int_equal(bb_frame_read(pair[1], &buf, 1000), BB_ERR_CLOSED);
    close(pair[1]);
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(bb_fd_read_exactly(pair[0], rest, 1, 20), BB_ERR_TIMEOUT);
    assert_int_equal(write(pair[1], "\0\0\0\4ab", 6), 6);
    close(pair[1]);
    assert_int_equal(bb_frame_read(pair[0], &buf, 1000), BB_ERR_TRUNCATED);
    close(pair[0]);
}

static void sealed_memory_cannot_change(void **state) {
    (void)state;
    int fd BB_CLEANUP_FD = -1;
    uint64_t len = 0;
    assert_int_equal(bb_memfd_new("test", &fd), BB_OK);
    assert_int_equal(bb_fd_write_all(fd, bb_view_str("abc"), -1), BB_OK);
    assert_int_equal(bb_memfd_check_sealed(fd, 10, &len), BB_ERR_PROTOCOL);
    assert_int_equal(bb_memfd_seal(fd), BB_OK);
    assert_int_equal(bb_memfd_check_sealed(fd, 2, &len), BB_ERR_TOO_LARGE);
    assert_int_equal(bb_memfd_check_sealed(fd, 3, &len), BB_OK);
    assert_int_equal(len, 3);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(bb_memfd_check_sealed(pair[0], 10, &len), BB_ERR_PROTOCOL);
    close(pair[0]);
    close(pair[1]);
}

static void every_error_has_a_name_and_a_sentence(void **state) {
    (void)state;
    for (int err = 0; err < BB_ERR_COUNT; err++) {
        assert_true(strncmp(bb_err_name((enum bb_err)err), "BB_", 3) == 0);
        assert_true(strlen(bb_err_sentence((enum bb_err)err)) > 5);
    }
    assert_string_equal(bb_err_name((enum bb_err)9999), "BB_ERR_UNKNOWN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_keeps_its_ceiling),
        cmocka_unit_test(cursor_stops_at_the_end),
        cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(endpoint_notation),
        cmocka_unit_test(endpoint_connects),
        cmocka_unit_test(frames_have_a_ceiling),
        cmocka_unit_test(sealed_memory_cannot_change),
        cmocka_unit_test(every_error_has_a_name_and_a_sentence),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
