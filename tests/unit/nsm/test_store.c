/* The store's protocol: models by digest, refusals for everything else, and peers that misbehave. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/hex.h"
#include "host/store.h"
#include "support.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MODEL_LEN    ((size_t)3 << 20) /* more than a socket holds */
#define WAIT_MS      10000
#define WRITE_MAX    32768 /* what vhost-device-vsock bears; not the code's own constant */
#define PACKET_MAX   ((size_t)4 * WRITE_MAX)

struct fixture {
    char folder[256];
    char request[128];
    char path[512]; /* of the cached file */
    uint8_t *content;
    struct bb_model_cache *cache;
    int client, server;
    pthread_t thread;
    enum bb_err served; /* what the thread's call returned */
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->folder, sizeof f->folder, "%s", make_folder());
    f->content = malloc(MODEL_LEN);
    assert_non_null(f->content);
    for (size_t i = 0; i < MODEL_LEN; i++)
        f->content[i] = (uint8_t)(i * 17 + i / 509);
    write_file(in_folder(f->folder, "model"), bb_view(f->content, MODEL_LEN));
    uint8_t digest[BB_SHA256_LEN];
    uint64_t size;
    char hex[2 * BB_SHA256_LEN + 1];
    assert_int_equal(bb_model_cache_new(f->folder, &f->cache), BB_OK);
    assert_int_equal(bb_model_cache_import(f->cache, in_folder(f->folder, "model"), digest, &size), BB_OK);
    bb_hex_encode(bb_view(digest, sizeof digest), hex);
    snprintf(f->request, sizeof f->request, "GET sha256:%s\n", hex);
    snprintf(f->path, sizeof f->path, "%s/sha256/%s", f->folder, hex);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    f->client = pair[0];
    f->server = pair[1];
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    bb_fd_close(&f->client);
    bb_fd_close(&f->server);
    bb_model_cache_free(f->cache);
    remove_folder(f->folder);
    free(f->content);
    free(f);
    return 0;
}

static void *serve(void *context) {
    struct fixture *f = context;
    f->served = bb_store_serve_one(f->cache, f->server);
    return NULL;
}

static void start(struct fixture *f, const char *request) {
    assert_int_equal(bb_fd_write_all(f->client, bb_view_str(request), WAIT_MS), BB_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void join(struct fixture *f, enum bb_err expected) {
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    assert_int_equal(f->served, expected);
}

static void read_line(struct fixture *f, char line[256]) {
    memset(line, 0, 256);
    for (size_t n = 0; n < 255 && (n == 0 || line[n - 1] != '\n'); n++)
        assert_int_equal(bb_fd_read_exactly(f->client, &line[n], 1, WAIT_MS), BB_OK);
}

static void assert_model_comes(struct fixture *f) {
    char line[256], expected[64];
    uint8_t *received = malloc(MODEL_LEN);
    assert_non_null(received);
    start(f, f->request);
    read_line(f, line);
    snprintf(expected, sizeof expected, "OK %zu\n", MODEL_LEN);
    assert_string_equal(line, expected);
    assert_int_equal(bb_fd_read_exactly(f->client, received, MODEL_LEN, WAIT_MS), BB_OK);
    assert_memory_equal(received, f->content, MODEL_LEN);
    free(received);
    join(f, BB_OK);
}

static void models_come_by_digest(void **state) {
    struct fixture *f = *state;
    assert_model_comes(f);
    assert_model_comes(f); /* a connection takes several requests */
    bb_fd_close(&f->client);
    assert_int_equal(bb_store_serve_one(f->cache, f->server), BB_ERR_CLOSED);
}

static void other_requests_are_refused(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {
        "\n",
        "GET\n",
        "GET sha256:\n",
        "GET sha256:../../../../../../../../../../../../../../../../../../../../../etc/passwd\n",
        "get sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        "GET sha384:0000000000000000000000000000000000000000000000000000000000000000\n",
        "GET  sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
        "GET sha256:000000000000000000000000000000000000000000000000000000000000000\n",
        "GET sha256:00000000000000000000000000000000000000000000000000000000000000000\n",
        "GET sha256:000000000000000000000000000000000000000000000000000000000000000g\n",
        "GET sha256:0000000000000000000000000000000000000000000000000000000000000000\r\n",
    };
    char line[256];
    for (size_t i = 0; i < COUNT(bad); i++) {
        start(f, bad[i]);
        read_line(f, line);
        join(f, BB_OK);
        assert_string_equal(line, "ERR not a request of the form GET sha256:<64 hexadecimal digits>\n");
    }
    start(f, "GET sha256:0000000000000000000000000000000000000000000000000000000000000000\n");
    read_line(f, line);
    join(f, BB_OK);
    assert_string_equal(line, "ERR no model with this digest\n");
    assert_model_comes(f);
}

static void endless_lines_are_cut_off(void **state) {
    struct fixture *f = *state;
    char line[256];
    char endless[2u * BB_STORE_LINE_MAX];
    memset(endless, 'G', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    start(f, endless);
    read_line(f, line);
    assert_string_equal(line, "ERR the request is too long\n");
    join(f, BB_ERR_TOO_LARGE);
}

static void half_a_request_is_an_error(void **state) {
    struct fixture *f = *state;
    f->request[40] = '\0';
    start(f, f->request);
    assert_int_equal(shutdown(f->client, SHUT_WR), 0);
    join(f, BB_ERR_TRUNCATED);
}

static void peers_may_leave_in_the_middle(void **state) {
    struct fixture *f = *state;
    char line[256];
    start(f, f->request);
    read_line(f, line);
    bb_fd_close(&f->client);
    join(f, BB_ERR_CLOSED);
}

static void files_that_shrink_end_the_connection(void **state) {
    struct fixture *f = *state;
    char line[256];
    uint8_t *received = malloc(MODEL_LEN);
    assert_non_null(received);
    start(f, f->request);
    read_line(f, line);
    assert_int_equal(truncate(f->path, MODEL_LEN / 2), 0);
    assert_int_equal(bb_fd_read_exactly(f->client, received, MODEL_LEN / 2, WAIT_MS), BB_OK);
    join(f, BB_ERR_IO);
    free(received);
}

/* Packets keep the boundaries of writes. */
static void writes_are_small(void **state) {
    struct fixture *f = *state;
    int pair[2];
    uint8_t *packet = malloc(PACKET_MAX);
    assert_non_null(packet);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    bb_fd_close(&f->client);
    bb_fd_close(&f->server);
    f->client = pair[0];
    f->server = pair[1];
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    for (const char *at = f->request; *at != '\0'; at++)
        assert_int_equal(send(f->client, at, 1, 0), 1);
    assert_true(recv(f->client, packet, PACKET_MAX, 0) > 0); /* the OK line */
    for (size_t got = 0; got < MODEL_LEN;) {
        ssize_t n = recv(f->client, packet, PACKET_MAX, 0);
        assert_true(n > 0 && n <= WRITE_MAX);
        got += (size_t)n;
    }
    join(f, BB_OK);
    free(packet);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(models_come_by_digest),
        CASE(other_requests_are_refused),
        CASE(endless_lines_are_cut_off),
        CASE(half_a_request_is_an_error),
        CASE(peers_may_leave_in_the_middle),
        CASE(files_that_shrink_end_the_connection),
        CASE(writes_are_small),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
