/*
 * Tests of a tunnel that passed: bytes arrive whole and in order both ways, ends of stream pass through,
 * slow readers slow writers down, and no way of ending it leaves a thread behind or a caller waiting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <blindbox/tunnel.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "evidence.h"
#include "server.h"

#define BIG ((size_t)24 * 1024 * 1024)

static struct evidence_source source;
static struct evidence evidence;
static struct bb_policy *policy;

static int set_up(void **state) {
    (void)state;
    evidence_source_init(&source);
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    policy = evidence_policy(&source);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    bb_policy_free(policy);
    evidence_done(&evidence);
    evidence_source_done(&source);
    return 0;
}

struct pair {
    struct test_server server;
    struct bb_tunnel *tunnel;
    int fd;
};

static void pair_start(struct pair *pair, struct test_server_plan plan) {
    plan.certificates[0] = bb_buf_view(&evidence.certificate);
    plan.key = bb_key_evp(evidence.key);
    plan.source = &source;
    plan.evidence = &evidence;
    test_server_start(&pair->server, &plan);
    assert_int_equal(bb_tunnel_new(pair->server.address, policy, &pair->tunnel), BB_OK);
    pair->fd = -1;
}

static void pair_stop(struct pair *pair) {
    bb_tunnel_free(pair->tunnel);
    bb_fd_close(&pair->fd);
    test_server_stop(&pair->server);
    test_server_done(&pair->server);
}

static void a_request_and_its_answer(void **state) {
    (void)state;
    static const char request[] = "GET / HTTP/1.1\r\n\r\n";
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0});
    assert_false(bb_tunnel_is_ready(pair.tunnel));
    assert_int_equal(bb_tunnel_connect(pair.tunnel), BB_OK);
    assert_true(bb_tunnel_is_ready(pair.tunnel));
    assert_int_equal(bb_tunnel_open(pair.tunnel, &pair.fd), BB_OK);
    assert_false(bb_tunnel_is_ready(pair.tunnel));
    assert_non_null(bb_tunnel_document(pair.tunnel));
    assert_string_equal(bb_tunnel_error_text(pair.tunnel), "");
    for (int i = 0; i < 3; i++) {
        char answer[512];
        assert_int_equal(bb_fd_write_all(pair.fd, bb_view_str(request), 2000), BB_OK);
        ssize_t len = recv(pair.fd, answer, sizeof answer - 1, 0);
        assert_true(len > 15);
        answer[len] = '\0';
        assert_string_equal(answer + len - 15, "{\"text\":\"good\"}");
    }
    assert_int_equal(bb_tunnel_connect(pair.tunnel), BB_ERR_ARGUMENT); /* once */
    bb_tunnel_free(pair.tunnel); /* with the socket still open: its other end is gone */
    char byte;
    assert_int_equal(recv(pair.fd, &byte, 1, 0), 0);
    pair.tunnel = NULL;
    bb_fd_close(&pair.fd);
    test_server_stop(&pair.server);
    assert_int_equal(pair.server.seen.len, 3 * (sizeof request - 1));
    test_server_done(&pair.server);
}

struct writer {
    int fd;
    enum bb_err err;
};

static uint8_t byte_at(size_t i) {
    return (uint8_t)(i * 31 + i / 251);
}

static void *write_big(void *pointer) {
    struct writer *writer = pointer;
    uint8_t *bytes = malloc(BIG);
    for (size_t i = 0; bytes != NULL && i < BIG; i++)
        bytes[i] = byte_at(i);
    writer->err = bytes == NULL ? BB_ERR_NO_MEMORY : bb_fd_write_all(writer->fd, bb_view(bytes, BIG), 20000);
    if (writer->err == BB_OK && shutdown(writer->fd, SHUT_WR) != 0)
        writer->err = BB_ERR_IO;
    free(bytes);
    return NULL;
}

/* Reads back what write_big() wrote, slowly at first: nothing may pile up, nothing may be lost. */
static void read_big(int fd) {
    static uint8_t piece[65536];
    size_t total = 0;
    usleep(200 * 1000);
    for (;;) {
        ssize_t len = recv(fd, piece, sizeof piece, 0);
        assert_true(len >= 0);
        if (len == 0)
            break;
        for (ssize_t i = 0; i < len; i++)
            assert_int_equal(piece[i], byte_at(total + (size_t)i));
        total += (size_t)len;
    }
    assert_int_equal(total, BIG);
}

static void much_goes_both_ways_and_ends(void **state) {
    (void)state;
    struct pair pair;
    pthread_t thread;
    pair_start(&pair, (struct test_server_plan){.echo = true});
    assert_int_equal(bb_tunnel_open(pair.tunnel, &pair.fd), BB_OK);
    struct writer writer = {.fd = pair.fd};
    assert_int_equal(pthread_create(&thread, NULL, write_big, &writer), 0);
    read_big(pair.fd);
    pthread_join(thread, NULL);
    assert_int_equal(writer.err, BB_OK);
    assert_int_equal(bb_tunnel_error(pair.tunnel), BB_OK);
    pair_stop(&pair);
}

struct runner {
    struct bb_tunnel *tunnel;
    int fd;
    enum bb_err err;
};

static void *run_tunnel(void *pointer) {
    struct runner *runner = pointer;
    runner->err = bb_tunnel_run(runner->tunnel, runner->fd);
    return NULL;
}

static void run_carries_in_the_callers_thread(void **state) {
    (void)state;
    struct pair pair;
    int sockets[2];
    pthread_t thread, writing;
    pair_start(&pair, (struct test_server_plan){.echo = true});
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    struct runner runner = {.tunnel = pair.tunnel, .fd = sockets[0]};
    assert_int_equal(pthread_create(&thread, NULL, run_tunnel, &runner), 0);
    struct writer writer = {.fd = sockets[1]};
    assert_int_equal(pthread_create(&writing, NULL, write_big, &writer), 0);
    read_big(sockets[1]);
    pthread_join(writing, NULL);
    pthread_join(thread, NULL);
    assert_int_equal(runner.err, BB_OK);
    bb_fd_close(&sockets[0]);
    bb_fd_close(&sockets[1]);
    pair_stop(&pair);
}

static void what_was_written_arrives_after_close(void **state) {
    (void)state;
    struct pair pair;
    static uint8_t bytes[300000];
    pair_start(&pair, (struct test_server_plan){.echo = true});
    assert_int_equal(bb_tunnel_open(pair.tunnel, &pair.fd), BB_OK);
    assert_int_equal(bb_fd_write_all(pair.fd, bb_view(bytes, sizeof bytes), 5000), BB_OK);
    bb_fd_close(&pair.fd);
    int64_t begun_ms = bb_clock_monotonic_ms();
    while (bb_tunnel_error(pair.tunnel) == BB_OK && bb_clock_monotonic_ms() - begun_ms < 5000)
        usleep(1000);
    assert_int_equal(bb_tunnel_error(pair.tunnel), BB_ERR_CLOSED); /* the echo found nobody */
    bb_tunnel_free(pair.tunnel);
    test_server_stop(&pair.server);
    assert_true(pair.server.echoed > 0);
    test_server_done(&pair.server);
}

static void a_cut_stream_is_told_from_an_ended_one(void **state) {
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct pair pair;
        char bytes[1024];
        size_t total = 0;
        ssize_t len;
        pair_start(&pair, (struct test_server_plan){.close_after_answer = true, .cut = cut == 1});
        assert_int_equal(bb_tunnel_open(pair.tunnel, &pair.fd), BB_OK);
        assert_int_equal(bb_fd_write_all(pair.fd, bb_view_str("GET / HTTP/1.1\r\n\r\n"), 2000), BB_OK);
        while ((len = recv(pair.fd, bytes, sizeof bytes, 0)) > 0)
            total += (size_t)len;
        assert_int_equal(len, 0);
        assert_true(total > 15);
        assert_int_equal(bb_tunnel_error(pair.tunnel), cut == 1 ? BB_ERR_TRUNCATED : BB_OK);
        pair_stop(&pair);
    }
}

static void a_server_that_left_is_noticed(void **state) {
    (void)state;
    struct pair pair;
    char byte;
    pair_start(&pair, (struct test_server_plan){.leaves = true});
    assert_int_equal(bb_tunnel_connect(pair.tunnel), BB_OK);
    int64_t begun_ms = bb_clock_monotonic_ms();
    while (bb_tunnel_is_ready(pair.tunnel) && bb_clock_monotonic_ms() - begun_ms < 2000)
        usleep(1000);
    assert_false(bb_tunnel_is_ready(pair.tunnel));
    assert_int_equal(bb_tunnel_open(pair.tunnel, &pair.fd),
                     BB_OK); /* who does not ask learns it by reading */
    assert_int_equal(recv(pair.fd, &byte, 1, 0), 0);
    pair_stop(&pair);
}

/* In this process nobody ignores or handles SIGPIPE: one would end it. */
static void no_signal_is_raised(void **state) {
    (void)state;
    struct pair pair;
    struct sigaction action;
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
    static uint8_t bytes[65536];
    pair_start(&pair, (struct test_server_plan){.close_after_request = true});
    assert_int_equal(bb_tunnel_open(pair.tunnel, &pair.fd), BB_OK);
    assert_int_equal(bb_fd_write_all(pair.fd, bb_view_str("GET / HTTP/1.1\r\n\r\n"), 2000), BB_OK);
    for (int i = 0; i < 50; i++) {
        (void)send(pair.fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        usleep(1000);
    }
    pair_stop(&pair);
}

static void arguments_are_checked(void **state) {
    (void)state;
    struct bb_tunnel *tunnel = NULL;
    assert_int_equal(bb_tunnel_new(NULL, policy, &tunnel), BB_ERR_ARGUMENT);
    assert_int_equal(bb_tunnel_new("host", NULL, &tunnel), BB_ERR_ARGUMENT);
    assert_int_equal(bb_tunnel_new("user@host", policy, &tunnel), BB_ERR_ARGUMENT);
    assert_null(tunnel);
    bb_tunnel_free(NULL);
    assert_int_equal(bb_tunnel_new("[::1]:1", policy, &tunnel), BB_OK);
    assert_string_equal(bb_tunnel_address(tunnel), "[::1]:1");
    int fd = -1;
    assert_int_equal(bb_tunnel_open(tunnel, &fd), BB_ERR_CONNECT);
    assert_non_null(strstr(bb_tunnel_error_text(tunnel), "the connection cannot be made"));
    assert_int_equal(bb_tunnel_run(tunnel, 0), BB_ERR_CONNECT);
    bb_tunnel_free(tunnel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_and_its_answer),
        cmocka_unit_test(much_goes_both_ways_and_ends),
        cmocka_unit_test(run_carries_in_the_callers_thread),
        cmocka_unit_test(what_was_written_arrives_after_close),
        cmocka_unit_test(a_cut_stream_is_told_from_an_ended_one),
        cmocka_unit_test(a_server_that_left_is_noticed),
        cmocka_unit_test(no_signal_is_raised),
        cmocka_unit_test(arguments_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
