/* The head of an HTTP/1.1 answer, read strictly: for the one exchange that precedes everything else on a new
 * connection. Pure. */
#ifndef BB_CLIENT_HEAD_H
#define BB_CLIENT_HEAD_H

#include "base/bytes.h"

#define BB_CLIENT_HEAD_MAX 8192u /* bytes of status line and header fields */

struct bb_client_head {
    int status;
    size_t head_len;       /* bytes up to the body */
    size_t body_len;       /* Content-Length */
    bool is_cbor;          /* Content-Type: application/cbor */
    int64_t retry_after_s; /* -1: not said */
};

/*
 * BB_ERR_TRUNCATED: the head is not complete yet. BB_ERR_TOO_LARGE: nor will it be within
 * BB_CLIENT_HEAD_MAX. BB_ERR_HTTP_FORM: not a final HTTP/1.1 answer with exactly one Content-Length and no
 * Transfer-Encoding, or a malformed line.
 */
BB_MUST_USE enum bb_err bb_client_head_read(struct bb_view bytes, struct bb_client_head *out);

#endif
