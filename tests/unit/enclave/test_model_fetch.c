/* Tests of src/enclave/model_fetch.c against the real store and against stores that lie in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "crypto/hash.h"
#include "enclave/model_fetch.h"
#include "host/store.h"

#define CONTENT_LEN 300000u

static uint8_t content[CONTENT_LEN];
static uint8_t digest[BB_SHA256_LEN];

/* A store that says `head`, then bytes of the content, then perhaps waits instead of hanging up. */
struct liar {
    int fd;
    const char *head;
    size_t content_len;
    size_t flip; /* index of a byte that is sent wrong; ≥ content_len: none */
    int pause_ms;
};

static void *lie(void *argument) {
    struct liar *liar = argument;
    char request[128];
    ssize_t n = read(liar->fd, request, sizeof request);
    size_t head_len = strlen(liar->head);
    bool good = n > 0 && (head_len == 0 || write(liar->fd, liar->head, head_len) == (ssize_t)head_len);
    for (size_t at = 0; good && at < liar->content_len; at++) {
        size_t len = liar->content_len - at < 32768 ? liar->content_len - at : 32768;
        uint8_t piece[32768];
        memcpy(piece, content + at, len);
        if (liar->flip >= at && liar->flip < at + len)
            piece[liar->flip - at] ^= 1;
        good = send(liar->fd, piece, len, MSG_NOSIGNAL) == (ssize_t)len;
        at += len - 1;
    }
    usleep((useconds_t)liar->pause_ms * 1000);
    close(liar->fd);
    return NULL;
}

static enum bb_err fetch_from(struct liar liar, const struct bb_model_fetch *limits, int *fd,
                              struct bb_buf *reason) {
    int pair[2];
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    liar.fd = pair[1];
    assert_int_equal(pthread_create(&thread, NULL, lie, &liar), 0);
    enum bb_err err = bb_model_fetch(pair[0], digest, limits, fd, reason);
    close(pair[0]);
    pthread_join(thread, NULL);
    return err;
}

#define SOUND CONTENT_LEN

static const struct {
    struct liar liar;
    enum bb_err err;
    const char *says;
} lies[] = {
    {{.head = "ERR no such model\n"}, BB_ERR_NOT_FOUND, "the store says: no such model"},
    {{.head = ""}, BB_ERR_TRUNCATED, "the store hung up before its answer was complete"},
    {{.head = "OK 3000"}, BB_ERR_TRUNCATED, "the store hung up before its answer was complete"},
    {{.head = "OK 300000\n", .content_len = 299999, .flip = SOUND},
     BB_ERR_TRUNCATED,
     "the store hung up with 1 of 300000 bytes missing"},
    {{.head = "OK 300000\n", .content_len = CONTENT_LEN, .flip = 0},
     BB_ERR_MODEL_DIGEST,
     "what the store sent has the SHA-256 "},
    {{.head = "OK 300000\n", .content_len = CONTENT_LEN, .flip = CONTENT_LEN - 1},
     BB_ERR_MODEL_DIGEST,
     "what the store sent has the SHA-256 "},
    {{.head = "OK 299999\n", .content_len = CONTENT_LEN, .flip = SOUND},
     BB_ERR_MODEL_DIGEST,
     "what the store sent has the SHA-256 "},
    {{.head = "OK 300001\n"}, BB_ERR_TOO_LARGE, "300001 bytes are more than the 300000 that are allowed"},
    {{.head = "OK 99999999999999999999999999\n"}, BB_ERR_TOO_LARGE, "are more than the 300000"},
    {{.head = "OK 0\n"}, BB_ERR_PROTOCOL, "the store announced an empty model"},
    {{.head = "OK -1\n"}, BB_ERR_PROTOCOL, "neither OK and a size nor ERR"},
    {{.head = "OK 12 \n"}, BB_ERR_PROTOCOL, "neither OK and a size nor ERR"},
    {{.head = "OK\n"}, BB_ERR_PROTOCOL, "neither OK and a size nor ERR"},
    {{.head = "HTTP/1.1 200 OK\n"}, BB_ERR_PROTOCOL, "neither OK and a size nor ERR"},
    {{.head = "\n"}, BB_ERR_PROTOCOL, "neither OK and a size nor ERR"},
    {{.head = "OK \x1b[2J\n"}, BB_ERR_PROTOCOL, "the store's answer is not a line of text"},
    {{.head = "OK 300000\n", .content_len = 10, .flip = SOUND, .pause_ms = 600},
     BB_ERR_TIMEOUT,
     "the store sent nothing in time with 299990 of 300000 bytes missing"},
    {{.head = "", .pause_ms = 600},
     BB_ERR_TIMEOUT,
     "the store sent nothing in time before its answer was complete"},
};

static void every_lie_is_refused_with_a_reason(void **state) {
    (void)state;
    const struct bb_model_fetch limits = {.max_bytes = CONTENT_LEN, .stall_ms = 200, .total_ms = 5000};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
        int fd = -1;
        assert_int_equal(fetch_from(lies[i].liar, &limits, &fd, &reason), lies[i].err);
        assert_int_equal(fd, -1);
        if (strstr(bb_buf_str(&reason), lies[i].says) == NULL)
            fail_msg("'%s' does not say '%s'", bb_buf_str(&reason), lies[i].says);
        assert_true(strncmp(bb_buf_str(&reason), "model sha256:", 13) == 0);
    }
}

static void an_endless_line_is_cut(void **state) {
    (void)state;
    char line[1000];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    const struct bb_model_fetch limits = BB_MODEL_FETCH_DEFAULT;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
    int fd = -1;
    assert_int_equal(fetch_from((struct liar){.head = line}, &limits, &fd, &reason), BB_ERR_PROTOCOL);
    assert_non_null(strstr(bb_buf_str(&reason), "longer than 256 bytes"));
}

/* One byte now and then is progress, so no stall; the whole has its own limit. */
static void *drip(void *argument) {
    int fd = *(int *)argument;
    (void)!write(fd, "OK 300000\n", 10);
    while (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
        usleep(20000);
    close(fd);
    return NULL;
}

static void a_slow_store_meets_the_limit_of_the_whole(void **state) {
    (void)state;
    const struct bb_model_fetch limits = {.max_bytes = CONTENT_LEN, .stall_ms = 1000, .total_ms = 300};
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
    int pair[2];
    int fd = -1;
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pthread_create(&thread, NULL, drip, &pair[1]), 0);
    int64_t begun = bb_clock_monotonic_ms();
    assert_int_equal(bb_model_fetch(pair[0], digest, &limits, &fd, &reason), BB_ERR_TIMEOUT);
    int64_t passed = bb_clock_monotonic_ms() - begun;
    assert_true(passed >= 250 && passed < 5000);
    close(pair[0]);
    pthread_join(thread, NULL);
}

struct keeper {
    struct bb_model_cache *cache;
    int fd;
};

static void *keep_store(void *argument) {
    struct keeper *keeper = argument;
    while (bb_store_serve_one(keeper->cache, keeper->fd) == BB_OK)
        ;
    close(keeper->fd);
    return NULL;
}

/* The real store over a real cache; twice over the same connection. */
static void the_real_store_is_understood(void **state) {
    (void)state;
    char dir[] = "/tmp/blindbox-test-fetch-XXXXXX";
    char file[64];
    uint8_t imported[BB_SHA256_LEN];
    uint64_t size = 0;
    struct keeper keeper = {0};
    int pair[2];
    pthread_t thread;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/file", dir);
    assert_int_equal(bb_file_write(file, bb_view(content, CONTENT_LEN), 0600), BB_OK);
    assert_int_equal(bb_model_cache_new(dir, &keeper.cache), BB_OK);
    assert_int_equal(bb_model_cache_import(keeper.cache, file, imported, &size), BB_OK);
    assert_memory_equal(imported, digest, sizeof digest);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    keeper.fd = pair[1];
    assert_int_equal(pthread_create(&thread, NULL, keep_store, &keeper), 0);
    const struct bb_model_fetch limits = BB_MODEL_FETCH_DEFAULT;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
    for (int i = 0; i < 2; i++) {
        int fd BB_CLEANUP_FD = -1;
        uint64_t len = 0;
        assert_int_equal(bb_model_fetch(pair[0], digest, &limits, &fd, &reason), BB_OK);
        assert_int_equal(bb_memfd_check_sealed(fd, CONTENT_LEN, &len), BB_OK);
        assert_int_equal(len, CONTENT_LEN);
        void *map = mmap(NULL, CONTENT_LEN, PROT_READ, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(map, MAP_FAILED);
        assert_memory_equal(map, content, CONTENT_LEN);
        munmap(map, CONTENT_LEN);
    }
    uint8_t unknown[BB_SHA256_LEN] = {1, 2, 3};
    int fd = -1;
    assert_int_equal(bb_model_fetch(pair[0], unknown, &limits, &fd, &reason), BB_ERR_NOT_FOUND);
    close(pair[0]);
    pthread_join(thread, NULL);
    bb_model_cache_free(keeper.cache);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static int make_content(void **state) {
    (void)state;
    for (size_t i = 0; i < CONTENT_LEN; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    return bb_sha256(bb_view(content, CONTENT_LEN), digest) == BB_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lie_is_refused_with_a_reason),
        cmocka_unit_test(an_endless_line_is_cut),
        cmocka_unit_test(a_slow_store_meets_the_limit_of_the_whole),
        cmocka_unit_test(the_real_store_is_understood),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_content, NULL);
}
