/* The model cache: right content under the right name, whatever was there before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/hex.h"
#include "host/model_cache.h"
#include "support.h"

#define MODEL_LEN ((size_t)700001) /* more than two pieces */
#define HEX_LEN   ((size_t)2 * BB_SHA256_LEN)

struct fixture {
    char folder[256];
    char name[sizeof "sha256/" + HEX_LEN]; /* the model's, below the cache's folder */
    uint8_t content[MODEL_LEN];
    uint8_t digest[BB_SHA256_LEN];
    struct bb_model_cache *cache;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->folder, sizeof f->folder, "%s", make_folder());
    for (size_t i = 0; i < MODEL_LEN; i++)
        f->content[i] = (uint8_t)(i * 31 + i / 251);
    assert_int_equal(bb_sha256(bb_view(f->content, MODEL_LEN), f->digest), BB_OK);
    char hex[HEX_LEN + 1];
    bb_hex_encode(bb_view(f->digest, BB_SHA256_LEN), hex);
    snprintf(f->name, sizeof f->name, "sha256/%s", hex);
    write_file(in_folder(f->folder, "model.bin"), bb_view(f->content, MODEL_LEN));
    assert_int_equal(bb_model_cache_new(in_folder(f->folder, "deep/down/cache"), &f->cache), BB_OK);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    bb_model_cache_free(f->cache);
    remove_folder(f->folder);
    free(f);
    return 0;
}

static const char *cached(const struct fixture *f) {
    static char path[512];
    snprintf(path, sizeof path, "%s/deep/down/cache/%s", f->folder, f->name);
    return path;
}

static void import_good(struct fixture *f) {
    uint8_t digest[BB_SHA256_LEN];
    uint64_t size;
    assert_int_equal(bb_model_cache_import(f->cache, in_folder(f->folder, "model.bin"), digest, &size),
                     BB_OK);
    assert_int_equal(size, MODEL_LEN);
    assert_memory_equal(digest, f->digest, sizeof digest);
}

static void assert_cached(struct fixture *f) {
    int fd BB_CLEANUP_FD = -1;
    uint64_t size;
    struct bb_buf content BB_CLEANUP_BUF = BB_BUF_INIT(2 * MODEL_LEN);
    assert_int_equal(bb_model_cache_open(f->cache, f->digest, &fd, &size), BB_OK);
    assert_int_equal(size, MODEL_LEN);
    assert_int_equal(bb_fd_read_to_end(fd, &content), BB_OK);
    assert_true(bb_view_equal(bb_buf_view(&content), bb_view(f->content, MODEL_LEN)));
}

static ino_t inode_of(const char *path) {
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    return status.st_ino;
}

static void imported_once(void **state) {
    struct fixture *f = *state;
    struct stat status;
    int fd = -1;
    uint64_t size;
    assert_int_equal(bb_model_cache_open(f->cache, f->digest, &fd, &size), BB_ERR_NOT_FOUND);
    import_good(f);
    assert_cached(f);
    assert_int_equal(stat(cached(f), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0444);
    ino_t before = inode_of(cached(f));
    import_good(f);
    assert_int_equal(inode_of(cached(f)), before);
    assert_int_equal(access(in_folder(f->folder, "deep/down/cache/sha256/.import"), F_OK), -1);
}

static void damage_is_repaired(void **state) {
    struct fixture *f = *state;
    f->content[MODEL_LEN - 1] ^= 1; /* one bit, same size */
    write_file(in_folder(f->folder, "wrong"), bb_view(f->content, MODEL_LEN));
    f->content[MODEL_LEN - 1] ^= 1;
    import_good(f);
    assert_int_equal(rename(in_folder(f->folder, "wrong"), cached(f)), 0);
    import_good(f);
    assert_cached(f);
    assert_int_equal(truncate(cached(f), 10), 0);
    import_good(f);
    assert_cached(f);
    assert_int_equal(unlink(cached(f)), 0);
    assert_int_equal(symlink(in_folder(f->folder, "model.bin"), cached(f)), 0);
    import_good(f);
    struct stat status;
    assert_int_equal(lstat(cached(f), &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

static void an_interrupted_import_does_no_harm(void **state) {
    struct fixture *f = *state;
    write_file(in_folder(f->folder, "deep/down/cache/sha256/.import"), bb_view_str("half"));
    import_good(f);
    assert_cached(f);
    assert_int_equal(access(in_folder(f->folder, "deep/down/cache/sha256/.import"), F_OK), -1);
}

static void only_regular_files_are_opened(void **state) {
    struct fixture *f = *state;
    int fd = -1;
    uint64_t size = 7;
    assert_int_equal(mkfifo(cached(f), 0600), 0);
    assert_int_equal(bb_model_cache_open(f->cache, f->digest, &fd, &size), BB_ERR_NOT_FOUND);
    assert_int_equal(unlink(cached(f)), 0);
    assert_int_equal(symlink("/etc/passwd", cached(f)), 0);
    assert_int_equal(bb_model_cache_open(f->cache, f->digest, &fd, &size), BB_ERR_NOT_FOUND);
    assert_int_equal(unlink(cached(f)), 0);
    assert_int_equal(mkdir(cached(f), 0700), 0);
    assert_int_equal(bb_model_cache_open(f->cache, f->digest, &fd, &size), BB_ERR_NOT_FOUND);
    assert_int_equal(fd, -1);
    assert_int_equal(size, 7);
}

static void bad_sources_are_refused(void **state) {
    struct fixture *f = *state;
    uint8_t digest[BB_SHA256_LEN];
    uint64_t size = 7;
    assert_int_equal(bb_model_cache_import(f->cache, in_folder(f->folder, "none"), digest, &size),
                     BB_ERR_NOT_FOUND);
    assert_int_equal(bb_model_cache_import(f->cache, f->folder, digest, &size), BB_ERR_IO);
    assert_int_equal(mkfifo(in_folder(f->folder, "fifo"), 0600), 0);
    assert_int_equal(bb_model_cache_import(f->cache, in_folder(f->folder, "fifo"), digest, &size), BB_ERR_IO);
    assert_int_equal(size, 7);
    struct bb_model_cache *cache = NULL;
    assert_int_equal(bb_model_cache_new(in_folder(f->folder, "model.bin"), &cache), BB_ERR_IO);
    assert_int_equal(bb_model_cache_new("", &cache), BB_ERR_ARGUMENT);
    assert_null(cache);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(imported_once),
        CASE(damage_is_repaired),
        CASE(an_interrupted_import_does_no_harm),
        CASE(only_regular_files_are_opened),
        CASE(bad_sources_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
