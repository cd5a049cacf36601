/* See model_cache.h. */
#include "host/model_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hex.h"

#define PIECE_LEN    (1u << 18)
#define PATH_LEN_MAX 4096u
#define NAME_LEN     (2 * BB_SHA256_LEN + 1)
#define LOCK_NAME    ".lock"
#define UNFINISHED   ".import" /* the copy being made; belongs to the holder of the lock */
#define NOTHING_OPEN (-1)

struct bb_model_cache {
    int dir; /* DIR/sha256 */
};

/* mkdir -p; path is changed while it works and restored. */
static enum bb_err make_dirs(char *path) {
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char end = *at;
        *at = '\0';
        bool bad = mkdir(path, 0700) != 0 && errno != EEXIST;
        *at = end;
        if (bad)
            return BB_ERR_IO;
        if (end == '\0')
            return BB_OK;
    }
}

enum bb_err bb_model_cache_new(const char *dir, struct bb_model_cache **out) {
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(PATH_LEN_MAX);
    if (*dir == '\0')
        return BB_ERR_ARGUMENT;
    enum bb_err err = bb_buf_printf(&path, "%s/sha256", dir);
    if (err == BB_OK)
        err = make_dirs((char *)path.data);
    if (err != BB_OK)
        return err;
    int fd BB_CLEANUP_FD = open(bb_buf_str(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return BB_ERR_IO;
    struct bb_model_cache *cache = malloc(sizeof *cache);
    if (cache == NULL)
        return BB_ERR_NO_MEMORY;
    cache->dir = bb_fd_take(&fd);
    *out = cache;
    return BB_OK;
}

void bb_model_cache_free(struct bb_model_cache *cache) {
    if (cache == NULL)
        return;
    bb_fd_close(&cache->dir);
    free(cache);
}

void bb_model_cache_cleanup(struct bb_model_cache **cache) {
    bb_model_cache_free(*cache);
}

static enum bb_err regular_size(int fd, uint64_t *size) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return BB_ERR_IO;
    if (!S_ISREG(status.st_mode))
        return BB_ERR_NOT_FOUND;
    *size = (uint64_t)status.st_size;
    return BB_OK;
}

static void name_of(const uint8_t digest[BB_SHA256_LEN], char name[NAME_LEN]) {
    bb_hex_encode(bb_view(digest, BB_SHA256_LEN), name);
}

enum bb_err bb_model_cache_open(struct bb_model_cache *cache, const uint8_t digest[BB_SHA256_LEN], int *fd,
                                uint64_t *size) {
    char name[NAME_LEN];
    name_of(digest, name);
    /* O_NONBLOCK: a FIFO of that name must not hold us up */
    int opened BB_CLEANUP_FD = openat(cache->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (opened < 0)
        return errno == ENOENT || errno == ELOOP ? BB_ERR_NOT_FOUND : BB_ERR_IO;
    enum bb_err err = regular_size(opened, size);
    if (err == BB_OK)
        *fd = bb_fd_take(&opened);
    return err;
}

/* Reads `from` to its end, hashing, and copies it to `to` unless that is NOTHING_OPEN. */
static enum bb_err hash_and_copy(int from, int to, struct bb_hash *hash, uint64_t *size) {
    uint8_t *piece BB_CLEANUP_FREE = malloc(PIECE_LEN);
    if (piece == NULL)
        return BB_ERR_NO_MEMORY;
    for (*size = 0;;) {
        ssize_t n = read(from, piece, PIECE_LEN);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? BB_OK : BB_ERR_IO;
        *size += (uint64_t)n;
        enum bb_err err = bb_hash_update(hash, bb_view(piece, (size_t)n));
        if (err == BB_OK && to != NOTHING_OPEN)
            err = bb_fd_write_all(to, bb_view(piece, (size_t)n), -1);
        if (err != BB_OK)
            return err;
    }
}

static enum bb_err digest_and_copy(int from, int to, uint8_t digest[BB_SHA256_LEN], uint64_t *size) {
    struct bb_hash *hash = NULL;
    enum bb_err err = lseek(from, 0, SEEK_SET) == 0 ? bb_hash_new(BB_SHA256, &hash) : BB_ERR_IO;
    if (err == BB_OK)
        err = hash_and_copy(from, to, hash, size);
    if (err == BB_OK)
        err = bb_hash_final(hash, digest);
    bb_hash_free(hash);
    return err;
}

/* Does the cache hold these very bytes already? */
static bool holds(struct bb_model_cache *cache, const uint8_t digest[BB_SHA256_LEN], uint64_t size) {
    int fd BB_CLEANUP_FD = NOTHING_OPEN;
    uint64_t found_size;
    uint8_t found[BB_SHA256_LEN];
    return bb_model_cache_open(cache, digest, &fd, &found_size) == BB_OK && found_size == size &&
           digest_and_copy(fd, NOTHING_OPEN, found, &found_size) == BB_OK &&
           memcmp(found, digest, sizeof found) == 0;
}

static enum bb_err lock_cache(struct bb_model_cache *cache, int *fd) {
    int made BB_CLEANUP_FD = openat(cache->dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (made < 0)
        return BB_ERR_IO;
    while (flock(made, LOCK_EX) != 0)
        if (errno != EINTR)
            return BB_ERR_IO;
    *fd = bb_fd_take(&made);
    return BB_OK;
}

/* Copies the file to its place; it must still have the digest that was found before. */
static enum bb_err add(struct bb_model_cache *cache, int from, const uint8_t digest[BB_SHA256_LEN]) {
    if (unlinkat(cache->dir, UNFINISHED, 0) != 0 && errno != ENOENT)
        return BB_ERR_IO;
    int to BB_CLEANUP_FD = openat(cache->dir, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return BB_ERR_IO;
    uint8_t copied[BB_SHA256_LEN];
    uint64_t size;
    char name[NAME_LEN];
    name_of(digest, name);
    enum bb_err err = digest_and_copy(from, to, copied, &size);
    if (err == BB_OK && memcmp(copied, digest, sizeof copied) != 0)
        err = BB_ERR_IO;
    if (err == BB_OK && (fchmod(to, 0444) != 0 || fsync(to) != 0 ||
                         renameat(cache->dir, UNFINISHED, cache->dir, name) != 0 || fsync(cache->dir) != 0))
        err = BB_ERR_IO;
    if (err != BB_OK)
        unlinkat(cache->dir, UNFINISHED, 0);
    return err;
}

enum bb_err bb_model_cache_import(struct bb_model_cache *cache, const char *path,
                                  uint8_t digest[BB_SHA256_LEN], uint64_t *size) {
    int from BB_CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return errno == ENOENT ? BB_ERR_NOT_FOUND : BB_ERR_IO;
    uint8_t found[BB_SHA256_LEN];
    uint64_t found_size;
    int lock BB_CLEANUP_FD = NOTHING_OPEN;
    enum bb_err err = regular_size(from, &found_size);
    if (err != BB_OK)
        return BB_ERR_IO;
    err = digest_and_copy(from, NOTHING_OPEN, found, &found_size);
    if (err == BB_OK)
        err = lock_cache(cache, &lock);
    if (err == BB_OK && !holds(cache, found, found_size))
        err = add(cache, from, found);
    if (err != BB_OK)
        return err;
    memcpy(digest, found, sizeof found);
    *size = found_size;
    return BB_OK;
}
