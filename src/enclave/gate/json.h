/* JSON answers, over jansson. */
#ifndef BB_GATE_JSON_H
#define BB_GATE_JSON_H

#include <jansson.h>

#include "base/bytes.h"

/* Appends the value (any kind; taken, also on failure; NULL: BB_ERR_NO_MEMORY) in its compact form. */
BB_MUST_USE enum bb_err bb_json_write(struct bb_buf *out, json_t *value);

#endif
