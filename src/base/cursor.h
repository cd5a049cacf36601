/*
 * The one way to read fixed-layout wire data: a cursor that cannot run past its end. Each read moves the
 * cursor and succeeds, or leaves it where it was and returns BB_ERR_TRUNCATED.
 */
#ifndef BB_BASE_CURSOR_H
#define BB_BASE_CURSOR_H

#include "base/bytes.h"

struct bb_cursor {
    const uint8_t *at;
    size_t left;
};

static inline struct bb_cursor bb_cursor(struct bb_view bytes) {
    return (struct bb_cursor){.at = bytes.data, .left = bytes.len};
}

BB_MUST_USE enum bb_err bb_cursor_take(struct bb_cursor *cursor, size_t len, struct bb_view *out);
/* Big-endian (network order) integers. */
BB_MUST_USE enum bb_err bb_cursor_u8(struct bb_cursor *cursor, uint8_t *out);
BB_MUST_USE enum bb_err bb_cursor_u16(struct bb_cursor *cursor, uint16_t *out);
BB_MUST_USE enum bb_err bb_cursor_u32(struct bb_cursor *cursor, uint32_t *out);

#endif
