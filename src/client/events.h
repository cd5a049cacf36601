/*
 * Server-sent events (WHATWG HTML section 9.2), as far as answers use them: each event's data, in pieces of
 * any size. Names, ids and retry times of events are read over, as are comments.
 */
#ifndef BB_CLIENT_EVENTS_H
#define BB_CLIENT_EVENTS_H

#include "base/bytes.h"

/* Gets the data of one event, lines joined by '\n', terminated; gone after the return. */
typedef enum bb_err bb_events_take(void *context, struct bb_view data);

struct bb_events {
    bb_events_take *take;
    void *context;
    struct bb_buf line; /* the one that has not ended yet */
    struct bb_buf data; /* of the event that has not ended yet */
    bool has_data;
    bool after_cr; /* the last byte was CR: an LF now is part of the same line end */
    bool begun;    /* the first line, which may start with a byte order mark, is over */
};

/* No line and no event's data may be longer than event_max bytes. */
void bb_events_init(struct bb_events *events, size_t event_max, bb_events_take *take, void *context);
void bb_events_done(struct bb_events *events);

/*
 * BB_ERR_TOO_LARGE, BB_ERR_NO_MEMORY, or what take returned; after an error nothing more may be fed. An event
 * that the stream's end leaves without its empty line does not exist.
 */
BB_MUST_USE enum bb_err bb_events_feed(struct bb_events *events, struct bb_view bytes);

#endif
