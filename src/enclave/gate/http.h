/* HTTP/1.1 answers (RFC 9110, RFC 9112): status line and header fields. */
#ifndef BB_GATE_HTTP_H
#define BB_GATE_HTTP_H

#include "base/bytes.h"

struct bb_answer {
    int status;
    const char *content_type; /* NULL: no content */
    struct bb_view body;
    int retry_after_s; /* 0: no Retry-After */
    const char *allow; /* NULL: no Allow */
};

/* The reason phrase of a status ("Not Found"); "Unknown" for those that the gate never sends. */
const char *bb_http_reason(int status);
/*
 * Appends a whole answer with Content-Length, Date, Cache-Control: no-store, and Connection: close where
 * `close` says so. head: without the body, whose length is told all the same.
 */
BB_MUST_USE enum bb_err bb_http_write(const struct bb_answer *answer, bool head, bool close, int64_t now_ms,
                                      struct bb_buf *out);

#endif
