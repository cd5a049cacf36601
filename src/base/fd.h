/*
 * File descriptors with an owner: closing at the end of a scope, whole reads and writes under a deadline, and
 * sealed memory files, in which audio and model weights travel between processes.
 */
#ifndef BB_BASE_FD_H
#define BB_BASE_FD_H

#include <stdint.h>

#include "base/bytes.h"

/* Closes *fd when it is ≥ 0 and sets it to -1. */
void bb_fd_close(int *fd);
#define BB_CLEANUP_FD __attribute__((cleanup(bb_fd_close)))
/* Hands the descriptor over: returns *fd and sets it to -1. */
int bb_fd_take(int *fd);

BB_MUST_USE enum bb_err bb_fd_set_nonblocking(int fd);

/*
 * Reads exactly len bytes, or fails: BB_ERR_CLOSED when the stream ends before the first byte,
 * BB_ERR_TRUNCATED when it ends later, BB_ERR_TIMEOUT when timeout_ms pass in all (-1: no limit). Works on
 * blocking and non-blocking descriptors.
 */
BB_MUST_USE enum bb_err bb_fd_read_exactly(int fd, void *data, size_t len, int timeout_ms);
BB_MUST_USE enum bb_err bb_fd_write_all(int fd, struct bb_view bytes, int timeout_ms);
/* Reads to the end of the stream, at most buf's ceiling (BB_ERR_TOO_LARGE). */
BB_MUST_USE enum bb_err bb_fd_read_to_end(int fd, struct bb_buf *buf);
/* Opens and reads a whole file ("-": standard input). */
BB_MUST_USE enum bb_err bb_file_read(const char *path, struct bb_buf *buf);
/* Writes a file with the given mode by way of a temporary name beside it and rename(2). */
BB_MUST_USE enum bb_err bb_file_write(const char *path, struct bb_view bytes, unsigned mode);

/* An empty memory file (memfd_create(2)), close-on-exec, not executable. name shows in /proc only: no user's
 * data in it. */
BB_MUST_USE enum bb_err bb_memfd_new(const char *name, int *fd);
/* Forbids every later change of content and size (fcntl(2) F_ADD_SEALS: seal, shrink, grow, write). */
BB_MUST_USE enum bb_err bb_memfd_seal(int fd);
/* Checks that a received descriptor carries all four seals and at most max_len bytes; *len is its size. */
BB_MUST_USE enum bb_err bb_memfd_check_sealed(int fd, uint64_t max_len, uint64_t *len);

/* Messages on a stream: 4 bytes big-endian length, then the bytes; at most `ceiling` of them. */
BB_MUST_USE enum bb_err bb_frame_write(int fd, struct bb_view bytes, int timeout_ms);
/* Clears buf first; its ceiling bounds the length that the peer may announce (BB_ERR_TOO_LARGE). */
BB_MUST_USE enum bb_err bb_frame_read(int fd, struct bb_buf *buf, int timeout_ms);

#endif
