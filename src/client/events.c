/* See events.h. The stream is a stranger's: a line and an event are bounded, nothing else is kept. */
#include "client/events.h"

#include <string.h>

void bb_events_init(struct bb_events *events, size_t event_max, bb_events_take *take, void *context) {
    *events = (struct bb_events){
        .take = take, .context = context, .line = BB_BUF_INIT(event_max), .data = BB_BUF_INIT(event_max)};
}

void bb_events_done(struct bb_events *events) {
    bb_buf_done(&events->line);
    bb_buf_done(&events->data);
}

static enum bb_err end_event(struct bb_events *events) {
    if (!events->has_data)
        return BB_OK;
    enum bb_err err = events->take(events->context, bb_view(bb_buf_str(&events->data), events->data.len));
    bb_buf_clear(&events->data);
    events->has_data = false;
    return err;
}

static enum bb_err add_data(struct bb_events *events, const uint8_t *value, size_t len) {
    enum bb_err err = events->has_data ? bb_buf_append(&events->data, "\n", 1) : BB_OK;
    events->has_data = true;
    return err == BB_OK && len > 0 ? bb_buf_append(&events->data, value, len) : err;
}

static enum bb_err end_line(struct bb_events *events) {
    static const char mark[] = "\xef\xbb\xbf";
    const uint8_t *at = events->line.data;
    size_t len = events->line.len;
    if (!events->begun && len >= 3 && memcmp(at, mark, 3) == 0)
        at += 3, len -= 3;
    events->begun = true;
    if (len == 0)
        return end_event(events);
    const uint8_t *colon = memchr(at, ':', len);
    size_t name = colon != NULL ? (size_t)(colon - at) : len;
    if (name != 4 || memcmp(at, "data", 4) != 0)
        return BB_OK;
    size_t start = name + (colon != NULL);
    start += start < len && at[start] == ' ';
    return add_data(events, at + start, len - start);
}

/* The bytes before the next line end, or all of them. */
static size_t line_part(struct bb_view bytes) {
    size_t len = 0;
    while (len < bytes.len && bytes.data[len] != '\n' && bytes.data[len] != '\r')
        len++;
    return len;
}

enum bb_err bb_events_feed(struct bb_events *events, struct bb_view bytes) {
    enum bb_err err = BB_OK;
    while (bytes.len > 0 && err == BB_OK) {
        bool second = events->after_cr && *bytes.data == '\n';
        events->after_cr = false;
        size_t len = second ? 0 : line_part(bytes);
        if (len > 0)
            err = bb_buf_append(&events->line, bytes.data, len);
        bytes = bb_view(bytes.data + len, bytes.len - len);
        if (err != BB_OK || bytes.len == 0)
            return err;
        events->after_cr = *bytes.data == '\r';
        if (!second) {
            err = end_line(events);
            bb_buf_clear(&events->line);
        }
        bytes = bb_view(bytes.data + 1, bytes.len - 1);
    }
    return err;
}
