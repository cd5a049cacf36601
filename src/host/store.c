/* See store.h. */
#include "host/store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hex.h"

#define REQUEST_HEAD "GET sha256:"

/* Reads up to and with the line feed, which is left out of *len. BB_ERR_TOO_LARGE. */
static enum bb_err read_line(int fd, char line[BB_STORE_LINE_MAX], size_t *len) {
    int64_t deadline = bb_clock_monotonic_ms() + BB_STORE_REQUEST_MS;
    for (size_t n = 0; n < BB_STORE_LINE_MAX; n++) {
        int64_t left = deadline - bb_clock_monotonic_ms();
        enum bb_err err = bb_fd_read_exactly(fd, &line[n], 1, left > 0 ? (int)left : 0);
        if (err != BB_OK)
            return err == BB_ERR_CLOSED && n > 0 ? BB_ERR_TRUNCATED : err;
        if (line[n] == '\n') {
            *len = n;
            return BB_OK;
        }
    }
    return BB_ERR_TOO_LARGE;
}

/* BB_ERR_PROTOCOL when the line is not `GET sha256:<64 hex>`. */
static enum bb_err parse_request(struct bb_view line, uint8_t digest[BB_SHA256_LEN]) {
    struct bb_view head = bb_view_str(REQUEST_HEAD);
    if (line.len < head.len || !bb_view_equal(bb_view(line.data, head.len), head))
        return BB_ERR_PROTOCOL;
    struct bb_view hex = bb_view(line.data + head.len, line.len - head.len);
    return bb_hex_decode(hex, digest, BB_SHA256_LEN) == BB_OK ? BB_OK : BB_ERR_PROTOCOL;
}

static enum bb_err refuse(int fd, const char *reason) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(256);
    enum bb_err err = bb_buf_printf(&answer, "ERR %s\n", reason);
    return err == BB_OK ? bb_fd_write_all(fd, bb_buf_view(&answer), BB_STORE_STALL_MS) : err;
}

/* Sends exactly size bytes of the file; a file that turns out shorter ends the connection. */
static enum bb_err send_file(int fd, int file, uint64_t size) {
    uint8_t piece[BB_STORE_WRITE_MAX];
    while (size > 0) {
        size_t wanted = size < sizeof piece ? (size_t)size : sizeof piece;
        ssize_t n = read(file, piece, wanted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return BB_ERR_IO;
        enum bb_err err = bb_fd_write_all(fd, bb_view(piece, (size_t)n), BB_STORE_STALL_MS);
        if (err != BB_OK)
            return err;
        size -= (uint64_t)n;
    }
    return BB_OK;
}

static enum bb_err answer(struct bb_model_cache *cache, int fd, const uint8_t digest[BB_SHA256_LEN]) {
    int file BB_CLEANUP_FD = -1;
    uint64_t size = 0;
    enum bb_err err = bb_model_cache_open(cache, digest, &file, &size);
    if (err == BB_ERR_NOT_FOUND)
        return refuse(fd, "no model with this digest");
    if (err != BB_OK)
        return refuse(fd, "the model cannot be read");
    struct bb_buf head BB_CLEANUP_BUF = BB_BUF_INIT(64);
    err = bb_buf_printf(&head, "OK %" PRIu64 "\n", size);
    if (err == BB_OK)
        err = bb_fd_write_all(fd, bb_buf_view(&head), BB_STORE_STALL_MS);
    return err == BB_OK ? send_file(fd, file, size) : err;
}

enum bb_err bb_store_serve_one(struct bb_model_cache *cache, int fd) {
    char line[BB_STORE_LINE_MAX];
    size_t len = 0;
    uint8_t digest[BB_SHA256_LEN];
    /* A blocking write could wait past the time limit for a peer that has stopped reading. */
    enum bb_err err = bb_fd_set_nonblocking(fd);
    if (err == BB_OK)
        err = read_line(fd, line, &len);
    if (err == BB_ERR_TOO_LARGE) { /* where the next request begins is unknown */
        enum bb_err told = refuse(fd, "the request is too long");
        return told == BB_OK ? err : told;
    }
    if (err != BB_OK)
        return err;
    if (parse_request(bb_view(line, len), digest) != BB_OK)
        return refuse(fd, "not a request of the form GET sha256:<64 hexadecimal digits>");
    return answer(cache, fd, digest);
}
