/* See utf8.h. */
#include "cbor/utf8.h"

#include "base/cursor.h"

/* What a lead byte promises: how many bytes follow, and the smallest code point that needs so many. */
struct lead {
    uint8_t mask, pattern;
    unsigned following;
    uint32_t smallest;
};

static const struct lead leads[] = {
    {0x80, 0x00, 0, 0},
    {0xe0, 0xc0, 1, 0x80},
    {0xf0, 0xe0, 2, 0x800},
    {0xf8, 0xf0, 3, 0x10000},
};

static const struct lead *find_lead(uint8_t byte) {
    for (size_t i = 0; i < sizeof leads / sizeof *leads; i++)
        if ((byte & leads[i].mask) == leads[i].pattern)
            return &leads[i];
    return NULL;
}

static bool take_character(struct bb_cursor *cursor) {
    uint8_t byte;
    if (bb_cursor_u8(cursor, &byte) != BB_OK)
        return false;
    const struct lead *lead = find_lead(byte);
    if (lead == NULL)
        return false;
    uint32_t code = byte & (uint8_t)~lead->mask;
    for (unsigned i = 0; i < lead->following; i++) {
        if (bb_cursor_u8(cursor, &byte) != BB_OK || (byte & 0xc0) != 0x80)
            return false;
        code = code << 6 | (byte & 0x3fu);
    }
    return code >= lead->smallest && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
}

bool bb_utf8_valid(struct bb_view text) {
    struct bb_cursor cursor = bb_cursor(text);
    while (cursor.left > 0)
        if (!take_character(&cursor))
            return false;
    return true;
}
