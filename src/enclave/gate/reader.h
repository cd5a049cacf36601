/*
 * Reads HTTP/1.1 requests (RFC 9112) from a stream of bytes, over llhttp in its strict mode. No I/O: bytes go
 * in as they come, what they mean comes out.
 *
 * Refused with a fault that says why: what is not HTTP/1.x, both Content-Length and Transfer-Encoding or
 * either one twice, folded fields, control characters, bare line feeds, a missing or second Host, headers
 * (with trailers and chunk extensions) over header_bytes, targets over BB_READER_TARGET_MAX, bodies over
 * body_bytes. After a refusal the connection cannot go on.
 */
#ifndef BB_GATE_READER_H
#define BB_GATE_READER_H

#include <llhttp.h>

#include "base/bytes.h"
#include "enclave/gate/fault.h"
#include "enclave/limits.h"

#define BB_READER_TARGET_MAX 8192u
#define BB_READER_VALUE_MAX  1024u /* Content-Type, Expect, Host */

enum bb_reader_event {
    BB_READER_MORE,    /* all bytes taken; more are needed */
    BB_READER_HEADER,  /* a header is complete: the fields below hold */
    BB_READER_MESSAGE, /* the request is complete; the next feed begins another one */
    BB_READER_STOPPED, /* the body function said stop */
    BB_READER_REFUSED, /* fault says why */
};

struct bb_reader {
    /* Takes the next bytes of a body; false: stop. */
    bool (*body)(void *arg, struct bb_view bytes);
    void *arg;
    const struct bb_limits *limits;
    struct bb_fault fault;

    /* of the current request, from BB_READER_HEADER on */
    const char *method; /* static */
    struct bb_buf target;
    struct bb_buf content_type;
    struct bb_buf expect;
    bool http_1_0;
    bool has_body;
    bool keep_alive;

    /* its own */
    llhttp_t parser;
    bool paused;
    bool begun; /* a request's first byte has come */
    bool header_done;
    size_t header_len;
    uint64_t body_len;
    char field[32];
    size_t field_len;
    struct bb_buf host;
    struct bb_buf *value;
};

/* limits must outlive the reader. */
void bb_reader_init(struct bb_reader *reader, const struct bb_limits *limits,
                    bool (*body)(void *arg, struct bb_view bytes), void *arg);
void bb_reader_done(struct bb_reader *reader);
/* Takes bytes up to the next event; *taken is how many. Call again after HEADER, also without new bytes. */
enum bb_reader_event bb_reader_feed(struct bb_reader *reader, struct bb_view bytes, size_t *taken);
/* Forgets the request that is complete. */
void bb_reader_next(struct bb_reader *reader);

#endif
