/* See cursor.h. */
#include "base/cursor.h"

enum bb_err bb_cursor_take(struct bb_cursor *cursor, size_t len, struct bb_view *out) {
    if (len > cursor->left)
        return BB_ERR_TRUNCATED;
    *out = bb_view(cursor->at, len);
    if (len > 0)
        cursor->at += len;
    cursor->left -= len;
    return BB_OK;
}

static enum bb_err take_integer(struct bb_cursor *cursor, size_t len, uint64_t *out) {
    struct bb_view bytes;
    enum bb_err err = bb_cursor_take(cursor, len, &bytes);
    if (err != BB_OK)
        return err;
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value << 8 | bytes.data[i];
    *out = value;
    return BB_OK;
}

enum bb_err bb_cursor_u8(struct bb_cursor *cursor, uint8_t *out) {
    uint64_t value;
    enum bb_err err = take_integer(cursor, 1, &value);
    if (err == BB_OK)
        *out = (uint8_t)value;
    return err;
}

enum bb_err bb_cursor_u16(struct bb_cursor *cursor, uint16_t *out) {
    uint64_t value;
    enum bb_err err = take_integer(cursor, 2, &value);
    if (err == BB_OK)
        *out = (uint16_t)value;
    return err;
}

enum bb_err bb_cursor_u32(struct bb_cursor *cursor, uint32_t *out) {
    uint64_t value;
    enum bb_err err = take_integer(cursor, 4, &value);
    if (err == BB_OK)
        *out = (uint32_t)value;
    return err;
}
