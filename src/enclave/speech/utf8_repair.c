/* See utf8_repair.h. What is well-formed follows table 3-7 of the Unicode standard (the same set as RFC
 * 3629). */
#include "enclave/speech/utf8_repair.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* What may follow a first byte; later bytes are 0x80 to 0xbf always. */
static const struct {
    uint8_t first, last, len, second_low, second_high;
} leads[] = {
    {0x00, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

struct step {
    size_t len;  /* bytes that belong together, ≥ 1 */
    bool valid;  /* they are a character */
    bool partly; /* they could become one, but the text ends */
};

static struct step next_step(const uint8_t *at, size_t left) {
    size_t row = 0;
    while (row < sizeof leads / sizeof leads[0] && (at[0] < leads[row].first || at[0] > leads[row].last))
        row++;
    if (row == sizeof leads / sizeof leads[0])
        return (struct step){.len = 1};
    for (size_t i = 1; i < leads[row].len; i++) {
        if (i == left)
            return (struct step){.len = i, .partly = true};
        uint8_t low = i == 1 ? leads[row].second_low : 0x80, high = i == 1 ? leads[row].second_high : 0xbf;
        if (at[i] < low || at[i] > high)
            return (struct step){.len = i};
    }
    return (struct step){.len = leads[row].len, .valid = true};
}

/* Text without anything held back before it. */
static enum bb_err feed_rest(struct bb_utf8_repair *repair, struct bb_view text, struct bb_buf *out) {
    for (size_t at = 0; at < text.len;) {
        struct step step = next_step(text.data + at, text.len - at);
        if (step.partly) {
            memcpy(repair->held, text.data + at, step.len);
            repair->held_len = step.len;
            return BB_OK;
        }
        enum bb_err err =
            step.valid ? bb_buf_append(out, text.data + at, step.len) : bb_buf_append_str(out, REPLACEMENT);
        if (err != BB_OK)
            return err;
        at += step.len;
    }
    return BB_OK;
}

enum bb_err bb_utf8_repair_feed(struct bb_utf8_repair *repair, struct bb_view text, struct bb_buf *out) {
    if (repair->held_len == 0)
        return feed_rest(repair, text, out);
    struct bb_buf joined BB_CLEANUP_BUF = BB_BUF_INIT(text.len + sizeof repair->held);
    enum bb_err err = bb_buf_append(&joined, repair->held, repair->held_len);
    if (err == BB_OK)
        err = bb_buf_append(&joined, text.data, text.len);
    if (err != BB_OK)
        return err;
    repair->held_len = 0;
    return feed_rest(repair, bb_buf_view(&joined), out);
}

enum bb_err bb_utf8_repair_finish(struct bb_utf8_repair *repair, struct bb_buf *out) {
    if (repair->held_len == 0)
        return BB_OK;
    bb_wipe(repair, sizeof *repair);
    return bb_buf_append_str(out, REPLACEMENT);
}

struct bb_view bb_utf8_head(struct bb_view text, size_t max) {
    if (text.len <= max)
        return text;
    while (max > 0 && (text.data[max] & 0xc0) == 0x80)
        max--;
    return bb_view(text.data, max);
}
