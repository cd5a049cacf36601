/* Little-endian integers off a cursor: RIFF, Ogg and ggml files are written so. */
#ifndef BB_SPEECH_LITTLE_H
#define BB_SPEECH_LITTLE_H

#include "base/cursor.h"

BB_MUST_USE static inline enum bb_err bb_little_u16(struct bb_cursor *cursor, uint16_t *out) {
    struct bb_view bytes;
    enum bb_err err = bb_cursor_take(cursor, 2, &bytes);
    if (err == BB_OK)
        *out = (uint16_t)(bytes.data[0] | bytes.data[1] << 8);
    return err;
}

BB_MUST_USE static inline enum bb_err bb_little_u32(struct bb_cursor *cursor, uint32_t *out) {
    struct bb_view bytes;
    enum bb_err err = bb_cursor_take(cursor, 4, &bytes);
    if (err == BB_OK)
        *out = (uint32_t)bytes.data[0] | (uint32_t)bytes.data[1] << 8 | (uint32_t)bytes.data[2] << 16 |
               (uint32_t)bytes.data[3] << 24;
    return err;
}

#endif
