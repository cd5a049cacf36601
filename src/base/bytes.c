/* See bytes.h. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bb_view bb_view_str(const char *text) {
    return bb_view(text, strlen(text));
}

bool bb_view_equal(struct bb_view a, struct bb_view b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool bb_view_equal_consttime(struct bb_view a, struct bb_view b) {
    if (a.len != b.len)
        return false;
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < a.len; i++)
        difference = (uint8_t)(difference | (a.data[i] ^ b.data[i]));
    return difference == 0;
}

void bb_wipe(void *data, size_t len) {
    if (len > 0)
        explicit_bzero(data, len);
}

void bb_buf_done(struct bb_buf *buf) {
    bb_wipe(buf->data, buf->capacity);
    free(buf->data);
    *buf = BB_BUF_INIT(buf->ceiling);
}

void bb_buf_clear(struct bb_buf *buf) {
    bb_wipe(buf->data, buf->len);
    buf->len = 0;
}

/* Moves to a larger allocation by hand: realloc() could leave the old bytes behind unwiped. */
static enum bb_err grow(struct bb_buf *buf, size_t needed) {
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    uint8_t *data = malloc(capacity);
    if (data == NULL)
        return BB_ERR_NO_MEMORY;
    if (buf->len > 0)
        memcpy(data, buf->data, buf->len);
    data[buf->len] = 0;
    bb_wipe(buf->data, buf->capacity);
    free(buf->data);
    buf->data = data;
    buf->capacity = capacity;
    return BB_OK;
}

enum bb_err bb_buf_reserve(struct bb_buf *buf, size_t len, uint8_t **out) {
    if (len > buf->ceiling || buf->len > buf->ceiling - len)
        return BB_ERR_TOO_LARGE;
    size_t needed = buf->len + len + 1;
    if (needed > buf->capacity) {
        enum bb_err err = grow(buf, needed);
        if (err != BB_OK)
            return err;
    }
    *out = buf->data + buf->len;
    return BB_OK;
}

void bb_buf_commit(struct bb_buf *buf, size_t len) {
    buf->len += len;
    buf->data[buf->len] = 0;
}

enum bb_err bb_buf_append(struct bb_buf *buf, const void *data, size_t len) {
    uint8_t *to;
    enum bb_err err = bb_buf_reserve(buf, len, &to);
    if (err != BB_OK)
        return err;
    if (len > 0)
        memcpy(to, data, len);
    bb_buf_commit(buf, len);
    return BB_OK;
}

enum bb_err bb_buf_append_str(struct bb_buf *buf, const char *text) {
    return bb_buf_append(buf, text, strlen(text));
}

enum bb_err bb_buf_printf(struct bb_buf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return BB_ERR_ARGUMENT;
    uint8_t *to;
    enum bb_err err = bb_buf_reserve(buf, (size_t)len, &to);
    if (err != BB_OK)
        return err;
    va_start(args, format);
    vsnprintf((char *)to, (size_t)len + 1, format, args);
    va_end(args);
    bb_buf_commit(buf, (size_t)len);
    return BB_OK;
}

void bb_buf_consume(struct bb_buf *buf, size_t len) {
    if (len == 0)
        return;
    memmove(buf->data, buf->data + len, buf->len - len);
    bb_wipe(buf->data + buf->len - len, len);
    buf->len -= len;
}

void bb_buf_take(struct bb_buf *buf, uint8_t **data, size_t *len) {
    *data = buf->data;
    *len = buf->len;
    *buf = BB_BUF_INIT(buf->ceiling);
}

const char *bb_buf_str(const struct bb_buf *buf) {
    return buf->len == 0 ? "" : (const char *)buf->data;
}

void bb_cleanup_free(void *pointer_to_pointer) {
    free(*(void **)pointer_to_pointer);
}
