/*
 * Makes valid UTF-8 of text that arrives in pieces cut anywhere: a character whose bytes are spread over two
 * pieces is held back until it is whole, and what can be no character becomes U+FFFD.
 */
#ifndef BB_SPEECH_UTF8_REPAIR_H
#define BB_SPEECH_UTF8_REPAIR_H

#include "base/bytes.h"

struct bb_utf8_repair {
    uint8_t held[3]; /* the beginning of a character */
    size_t held_len;
};

/* Appends what is complete; holds the beginning of a character back for the next call. */
BB_MUST_USE enum bb_err bb_utf8_repair_feed(struct bb_utf8_repair *repair, struct bb_view text,
                                            struct bb_buf *out);
/* No more text comes: appends U+FFFD where something was held back. */
BB_MUST_USE enum bb_err bb_utf8_repair_finish(struct bb_utf8_repair *repair, struct bb_buf *out);
/* The longest start of valid text that has at most max bytes and ends between characters. */
struct bb_view bb_utf8_head(struct bb_view text, size_t max);

#endif
