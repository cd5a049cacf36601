/* See model_fetch.h. */
#include "enclave/model_fetch.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hex.h"

#define LINE_MAX_BYTES 256u
#define CHUNK_BYTES    (256u * 1024u)

struct fetch {
    int store;
    int stall_ms;
    int64_t deadline_ms;
    char name[2 * BB_SHA256_LEN + 1];
    struct bb_buf *reason;
};

__attribute__((format(printf, 3, 4))) static enum bb_err refuse(struct fetch *fetch, enum bb_err err,
                                                                const char *format, ...) {
    char detail[320];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    if (len < 0 || bb_buf_printf(fetch->reason, "model sha256:%.12s…: %s", fetch->name, detail) != BB_OK)
        return BB_ERR_NO_MEMORY;
    return err;
}

/* How long the next read may wait: no longer than a stall, no longer than what is left of the whole. */
static int patience(const struct fetch *fetch) {
    int64_t left = fetch->deadline_ms - bb_clock_monotonic_ms();
    if (left < 0)
        left = 0;
    return left < fetch->stall_ms ? (int)left : fetch->stall_ms;
}

/* At least one byte, at most len, within the patience that is left. */
static enum bb_err read_some(struct fetch *fetch, uint8_t *to, size_t len, size_t *got) {
    struct pollfd entry = {.fd = fetch->store, .events = POLLIN};
    int ready;
    do
        ready = poll(&entry, 1, patience(fetch));
    while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return BB_ERR_TIMEOUT;
    ssize_t n;
    do
        n = read(fetch->store, to, len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? BB_ERR_CLOSED : BB_ERR_IO;
    if (n == 0)
        return BB_ERR_CLOSED;
    *got = (size_t)n;
    return BB_OK;
}

static enum bb_err explain_read(struct fetch *fetch, enum bb_err err, const char *where) {
    if (err == BB_ERR_TIMEOUT)
        return refuse(fetch, err, "the store sent nothing in time %s", where);
    if (err == BB_ERR_CLOSED)
        return refuse(fetch, BB_ERR_TRUNCATED, "the store hung up %s", where);
    return refuse(fetch, err, "the store cannot be read %s", where);
}

/* One line, byte by byte because weights follow it; without its line feed. */
static enum bb_err read_line(struct fetch *fetch, char line[LINE_MAX_BYTES]) {
    for (size_t len = 0; len < LINE_MAX_BYTES; len++) {
        uint8_t byte;
        size_t got;
        enum bb_err err = read_some(fetch, &byte, 1, &got);
        if (err != BB_OK)
            return explain_read(fetch, err, "before its answer was complete");
        if (byte == '\n') {
            line[len] = '\0';
            return BB_OK;
        }
        if (byte < ' ' || byte > '~')
            return refuse(fetch, BB_ERR_PROTOCOL, "the store's answer is not a line of text");
        line[len] = (char)byte;
    }
    return refuse(fetch, BB_ERR_PROTOCOL, "the store's answer is longer than %u bytes", LINE_MAX_BYTES);
}

static enum bb_err read_size(struct fetch *fetch, const char *line, uint64_t max_bytes, uint64_t *size) {
    if (strncmp(line, "ERR ", 4) == 0)
        return refuse(fetch, BB_ERR_NOT_FOUND, "the store says: %s", line + 4);
    size_t digits = strncmp(line, "OK ", 3) == 0 ? strspn(line + 3, "0123456789") : 0;
    if (digits == 0 || line[3 + digits] != '\0')
        return refuse(fetch, BB_ERR_PROTOCOL, "the store answered neither OK and a size nor ERR");
    uint64_t value = digits > 18 ? UINT64_MAX : strtoull(line + 3, NULL, 10);
    if (value > max_bytes)
        return refuse(fetch, BB_ERR_TOO_LARGE, "%s bytes are more than the %llu that are allowed", line + 3,
                      (unsigned long long)max_bytes);
    if (value == 0)
        return refuse(fetch, BB_ERR_PROTOCOL, "the store announced an empty model");
    *size = value;
    return BB_OK;
}

/* Copies the announced bytes into the memory file, hashing them. Memory grows with what came, not with what
 * was said.
 */
static enum bb_err receive(struct fetch *fetch, uint64_t size, int file, struct bb_hash *hash) {
    uint8_t *chunk BB_CLEANUP_FREE = malloc(CHUNK_BYTES);
    if (chunk == NULL)
        return BB_ERR_NO_MEMORY;
    for (uint64_t left = size; left > 0;) {
        size_t got = 0;
        size_t want = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        enum bb_err err = read_some(fetch, chunk, want, &got);
        if (err != BB_OK) {
            char where[64];
            snprintf(where, sizeof where, "with %llu of %llu bytes missing", (unsigned long long)left,
                     (unsigned long long)size);
            return explain_read(fetch, err, where);
        }
        err = bb_hash_update(hash, bb_view(chunk, got));
        if (err == BB_OK)
            err = bb_fd_write_all(file, bb_view(chunk, got), -1);
        if (err != BB_OK)
            return refuse(fetch, err, "%s", bb_err_sentence(err));
        left -= got;
    }
    return BB_OK;
}

static enum bb_err receive_checked(struct fetch *fetch, uint64_t size, const uint8_t *digest, int file) {
    struct bb_hash *hash = NULL;
    uint8_t found[BB_SHA256_LEN];
    enum bb_err err = bb_hash_new(BB_SHA256, &hash);
    if (err == BB_OK)
        err = receive(fetch, size, file, hash);
    if (err == BB_OK)
        err = bb_hash_final(hash, found);
    bb_hash_free(hash);
    if (err != BB_OK)
        return err;
    if (memcmp(found, digest, sizeof found) == 0)
        return BB_OK;
    char name[2 * BB_SHA256_LEN + 1];
    bb_hex_encode(bb_view(found, sizeof found), name);
    return refuse(fetch, BB_ERR_MODEL_DIGEST, "what the store sent has the SHA-256 %s", name);
}

static enum bb_err request(struct fetch *fetch) {
    struct bb_buf line BB_CLEANUP_BUF = BB_BUF_INIT(LINE_MAX_BYTES);
    enum bb_err err = bb_buf_printf(&line, "GET sha256:%s\n", fetch->name);
    if (err != BB_OK)
        return err;
    err = bb_fd_write_all(fetch->store, bb_buf_view(&line), patience(fetch));
    return err == BB_OK ? BB_OK : refuse(fetch, err, "the store takes no request");
}

enum bb_err bb_model_fetch(int store, const uint8_t digest[BB_SHA256_LEN],
                           const struct bb_model_fetch *limits, int *fd, struct bb_buf *reason) {
    struct fetch fetch = {.store = store,
                          .stall_ms = limits->stall_ms,
                          .deadline_ms = bb_clock_monotonic_ms() + limits->total_ms,
                          .reason = reason};
    bb_hex_encode(bb_view(digest, BB_SHA256_LEN), fetch.name);
    char line[LINE_MAX_BYTES];
    uint64_t size = 0;
    int file BB_CLEANUP_FD = -1;
    enum bb_err err = request(&fetch);
    if (err == BB_OK)
        err = read_line(&fetch, line);
    if (err == BB_OK)
        err = read_size(&fetch, line, limits->max_bytes, &size);
    if (err == BB_OK)
        err = bb_memfd_new("blindbox-model", &file);
    if (err == BB_OK)
        err = receive_checked(&fetch, size, digest, file);
    if (err == BB_OK)
        err = bb_memfd_seal(file);
    if (err == BB_OK)
        *fd = bb_fd_take(&file);
    return err;
}
