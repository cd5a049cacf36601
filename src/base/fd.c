/* See fd.h. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cursor.h"

void bb_fd_close(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int bb_fd_take(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}

enum bb_err bb_fd_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return BB_ERR_IO;
    return BB_OK;
}

/* Waits until fd is ready for `events` or the deadline (monotonic ms, -1: none) passes. */
static enum bb_err wait_ready(int fd, short events, int64_t deadline_ms) {
    for (;;) {
        int timeout = -1;
        if (deadline_ms >= 0) {
            int64_t left = deadline_ms - bb_clock_monotonic_ms();
            timeout = left < 0 ? 0 : (int)left;
        }
        struct pollfd entry = {.fd = fd, .events = events};
        int ready = poll(&entry, 1, timeout);
        if (ready > 0)
            return BB_OK;
        if (ready == 0)
            return BB_ERR_TIMEOUT;
        if (errno != EINTR)
            return BB_ERR_IO;
    }
}

static int64_t deadline_after(int timeout_ms) {
    return timeout_ms < 0 ? -1 : bb_clock_monotonic_ms() + timeout_ms;
}

enum bb_err bb_fd_read_exactly(int fd, void *data, size_t len, int timeout_ms) {
    int64_t deadline = deadline_after(timeout_ms);
    size_t done = 0;
    while (done < len) {
        enum bb_err err = wait_ready(fd, POLLIN, deadline);
        if (err != BB_OK)
            return err;
        ssize_t n = read(fd, (uint8_t *)data + done, len - done);
        if (n == 0)
            return done == 0 ? BB_ERR_CLOSED : BB_ERR_TRUNCATED;
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return errno == ECONNRESET ? BB_ERR_CLOSED : BB_ERR_IO;
    }
    return BB_OK;
}

enum bb_err bb_fd_write_all(int fd, struct bb_view bytes, int timeout_ms) {
    int64_t deadline = deadline_after(timeout_ms);
    size_t done = 0;
    while (done < bytes.len) {
        enum bb_err err = wait_ready(fd, POLLOUT, deadline);
        if (err != BB_OK)
            return err;
        ssize_t n = write(fd, bytes.data + done, bytes.len - done);
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno != EINTR && errno != EAGAIN)
            return errno == EPIPE || errno == ECONNRESET ? BB_ERR_CLOSED : BB_ERR_IO;
    }
    return BB_OK;
}

enum bb_err bb_fd_read_to_end(int fd, struct bb_buf *buf) {
    for (;;) {
        uint8_t chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n == 0)
            return BB_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return BB_ERR_IO;
        enum bb_err err = bb_buf_append(buf, chunk, (size_t)n);
        bb_wipe(chunk, (size_t)n);
        if (err != BB_OK)
            return err;
    }
}

enum bb_err bb_file_read(const char *path, struct bb_buf *buf) {
    if (strcmp(path, "-") == 0)
        return bb_fd_read_to_end(STDIN_FILENO, buf);
    int fd BB_CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? BB_ERR_NOT_FOUND : BB_ERR_IO;
    return bb_fd_read_to_end(fd, buf);
}

enum bb_err bb_file_write(const char *path, struct bb_view bytes, unsigned mode) {
    struct bb_buf temporary BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    enum bb_err err = bb_buf_printf(&temporary, "%s.XXXXXX", path);
    if (err != BB_OK)
        return err;
    char *name = (char *)temporary.data;
    int fd BB_CLEANUP_FD = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return BB_ERR_IO;
    err = fchmod(fd, (mode_t)mode) == 0 ? bb_fd_write_all(fd, bytes, -1) : BB_ERR_IO;
    if (err == BB_OK && rename(name, path) != 0)
        err = BB_ERR_IO;
    if (err != BB_OK)
        unlink(name);
    return err;
}

enum bb_err bb_memfd_new(const char *name, int *fd) {
    int made = -1;
#ifdef MFD_NOEXEC_SEAL
    made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
#endif
    if (made < 0) /* a kernel before 6.3, which has no MFD_NOEXEC_SEAL */
        made = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0)
        return BB_ERR_IO;
    *fd = made;
    return BB_OK;
}

static const int all_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

enum bb_err bb_memfd_seal(int fd) {
    return fcntl(fd, F_ADD_SEALS, all_seals) == 0 ? BB_OK : BB_ERR_IO;
}

enum bb_err bb_memfd_check_sealed(int fd, uint64_t max_len, uint64_t *len) {
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & all_seals) != all_seals)
        return BB_ERR_PROTOCOL;
    struct stat status;
    if (fstat(fd, &status) != 0)
        return BB_ERR_IO;
    if ((uint64_t)status.st_size > max_len)
        return BB_ERR_TOO_LARGE;
    *len = (uint64_t)status.st_size;
    return BB_OK;
}

enum bb_err bb_frame_write(int fd, struct bb_view bytes, int timeout_ms) {
    if (bytes.len > UINT32_MAX)
        return BB_ERR_TOO_LARGE;
    uint8_t head[4] = {(uint8_t)(bytes.len >> 24), (uint8_t)(bytes.len >> 16), (uint8_t)(bytes.len >> 8),
                       (uint8_t)bytes.len};
    enum bb_err err = bb_fd_write_all(fd, bb_view(head, sizeof head), timeout_ms);
    return err == BB_OK ? bb_fd_write_all(fd, bytes, timeout_ms) : err;
}

enum bb_err bb_frame_read(int fd, struct bb_buf *buf, int timeout_ms) {
    bb_buf_clear(buf);
    uint8_t head[4];
    enum bb_err err = bb_fd_read_exactly(fd, head, sizeof head, timeout_ms);
    if (err != BB_OK)
        return err;
    struct bb_cursor cursor = bb_cursor(bb_view(head, sizeof head));
    uint32_t len;
    uint8_t *to;
    err = bb_cursor_u32(&cursor, &len);
    if (err == BB_OK)
        err = bb_buf_reserve(buf, len, &to);
    if (err == BB_OK)
        err = bb_fd_read_exactly(fd, to, len, timeout_ms);
    if (err == BB_OK)
        bb_buf_commit(buf, len);
    return err == BB_ERR_CLOSED ? BB_ERR_TRUNCATED : err;
}
