/*
 * A push parser for multipart/form-data (RFC 7578, RFC 2046 section 5.1). It does no I/O and allocates
 * nothing: bytes go in as they come, parts come out through callbacks, file content in pieces.
 *
 * Refused: boundaries over 70 characters, parts without a name, folded part headers, part headers over
 * BB_MULTIPART_HEADER_MAX bytes, more than BB_MULTIPART_PARTS_MAX parts, transfer encodings, a body that ends
 * before its closing delimiter. What precedes the first delimiter and follows the last is ignored.
 */
#ifndef BB_GATE_MULTIPART_H
#define BB_GATE_MULTIPART_H

#include "base/bytes.h"

#define BB_MULTIPART_BOUNDARY_MAX 70u /* RFC 2046 section 5.1.1 */
#define BB_MULTIPART_HEADER_MAX   8192u
#define BB_MULTIPART_PARTS_MAX    64u
#define BB_MULTIPART_NAME_MAX     256u

struct bb_multipart_events {
    /* A part begins. name lives until the function returns. */
    enum bb_err (*part)(void *arg, struct bb_view name);
    enum bb_err (*data)(void *arg, struct bb_view bytes);
    enum bb_err (*end)(void *arg);
};

enum bb_multipart_state {
    BB_MULTIPART_PREAMBLE,
    BB_MULTIPART_DELIMITER, /* after a boundary: "--", or the rest of its line */
    BB_MULTIPART_HEADER,
    BB_MULTIPART_DATA,
    BB_MULTIPART_EPILOGUE,
    BB_MULTIPART_FAILED,
};

struct bb_multipart {
    const struct bb_multipart_events *events;
    void *arg;
    const char *reason; /* after BB_ERR_PROTOCOL, _TOO_LARGE, _TRUNCATED: a sentence without user data */
    enum bb_multipart_state state;
    unsigned parts;
    uint8_t delimiter[4 + BB_MULTIPART_BOUNDARY_MAX]; /* CR LF "--" boundary */
    size_t delimiter_len;
    size_t matched;  /* bytes of the delimiter seen so far */
    bool at_start;   /* of a part's content: its header's line end counts as the delimiter's */
    uint8_t tail[2]; /* DELIMITER: what followed the boundary */
    size_t tail_len;
    uint8_t header[BB_MULTIPART_HEADER_MAX];
    size_t header_len;
};

/*
 * Reads the boundary out of a Content-Type value. BB_ERR_UNSUPPORTED: not multipart/form-data;
 * BB_ERR_NOT_FOUND: no boundary; BB_ERR_TOO_LARGE: over 70 characters; BB_ERR_ARGUMENT: not a legal one.
 */
BB_MUST_USE enum bb_err bb_multipart_boundary(struct bb_view content_type,
                                              char boundary[BB_MULTIPART_BOUNDARY_MAX + 1]);
/* boundary as bb_multipart_boundary() gave it. */
void bb_multipart_init(struct bb_multipart *parser, const char *boundary,
                       const struct bb_multipart_events *events, void *arg);
/* Overwrites what the parser held. */
void bb_multipart_done(struct bb_multipart *parser);
/* Takes more bytes. A callback's error ends the parse and is returned. */
BB_MUST_USE enum bb_err bb_multipart_feed(struct bb_multipart *parser, struct bb_view bytes);
/* The body is over. BB_ERR_TRUNCATED when its closing delimiter has not come. */
BB_MUST_USE enum bb_err bb_multipart_finish(struct bb_multipart *parser);

#endif
