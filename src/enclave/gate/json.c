/* See json.h. */
#include "enclave/gate/json.h"

static int append(const char *bytes, size_t len, void *out) {
    return bb_buf_append(out, bytes, len) == BB_OK ? 0 : -1;
}

enum bb_err bb_json_write(struct bb_buf *out, json_t *value) {
    if (value == NULL)
        return BB_ERR_NO_MEMORY;
    int rc = json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    return rc == 0 ? BB_OK : BB_ERR_TOO_LARGE;
}
