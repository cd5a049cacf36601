/*
 * Borrowed byte ranges and an owned, growable buffer that declares its ceiling and wipes what it held.
 */
#ifndef BB_BASE_BYTES_H
#define BB_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blindbox/error.h>

/* Bytes that somebody else owns. data may be NULL when len is 0. */
struct bb_view {
    const uint8_t *data;
    size_t len;
};

static inline struct bb_view bb_view(const void *data, size_t len) {
    return (struct bb_view){.data = data, .len = len};
}

/* The bytes of a C string without its terminator. */
struct bb_view bb_view_str(const char *text);
bool bb_view_equal(struct bb_view a, struct bb_view b);
/* Same length and content, in time that does not depend on the content. */
bool bb_view_equal_consttime(struct bb_view a, struct bb_view b);

/* Overwrites memory in a way that the compiler may not leave out. */
void bb_wipe(void *data, size_t len);

/*
 * A growable buffer. It never holds more than `ceiling` bytes: appending past it is BB_ERR_TOO_LARGE and
 * leaves the content as it was. Memory is wiped when it is given back. One byte past `len` is always
 * allocated and zero once anything was appended, so text may be used as a C string.
 */
struct bb_buf {
    uint8_t *data;
    size_t len;
    size_t capacity;
    size_t ceiling;
};

#define BB_BUF_INIT(ceiling_bytes) ((struct bb_buf){.ceiling = (ceiling_bytes)})

void bb_buf_done(struct bb_buf *buf);
/* Wipes the content and keeps the memory. */
void bb_buf_clear(struct bb_buf *buf);
BB_MUST_USE enum bb_err bb_buf_append(struct bb_buf *buf, const void *data, size_t len);
BB_MUST_USE enum bb_err bb_buf_append_str(struct bb_buf *buf, const char *text);
BB_MUST_USE enum bb_err bb_buf_printf(struct bb_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Makes room for len more bytes and returns where they go (*out); bb_buf_commit() then adds what was written.
 */
BB_MUST_USE enum bb_err bb_buf_reserve(struct bb_buf *buf, size_t len, uint8_t **out);
void bb_buf_commit(struct bb_buf *buf, size_t len);
/* Removes the first len bytes (len ≤ buf->len). */
void bb_buf_consume(struct bb_buf *buf, size_t len);
/* Hands the memory over: the caller owns *data (malloc) and the buffer is empty. */
void bb_buf_take(struct bb_buf *buf, uint8_t **data, size_t *len);

static inline struct bb_view bb_buf_view(const struct bb_buf *buf) {
    return bb_view(buf->data, buf->len);
}
/* The content as a C string; "" when empty. */
const char *bb_buf_str(const struct bb_buf *buf);

#define BB_CLEANUP_BUF __attribute__((cleanup(bb_buf_done)))

/* free() at the end of the scope, for memory that holds no secrets: char *x BB_CLEANUP_FREE = NULL; */
void bb_cleanup_free(void *pointer_to_pointer);
#define BB_CLEANUP_FREE __attribute__((cleanup(bb_cleanup_free)))

#endif
