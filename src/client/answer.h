/* The service's JSON answers: what they say when all is well, and the sentence in those that report an error.
 */
#ifndef BB_CLIENT_ANSWER_H
#define BB_CLIENT_ANSWER_H

#include "base/bytes.h"

/* {"text": "…"}, with or without other members: appends the text. BB_ERR_HTTP_FORM. */
BB_MUST_USE enum bb_err bb_client_answer_text(struct bb_view json, struct bb_buf *out);

/*
 * {"error":{"message":"…"}}, {"error":"…"} or {"detail":"…"}: appends the sentence. BB_ERR_NOT_FOUND when the
 * answer is of none of these forms.
 */
BB_MUST_USE enum bb_err bb_client_answer_error(struct bb_view json, struct bb_buf *out);

#endif
