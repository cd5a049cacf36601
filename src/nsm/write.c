/* Writing the Nitro Security Module's messages: see messages.h. Keys come in the order of the module's own
 * source. */
#include "cbor/cbor.h"
#include "nsm/messages.h"

/* {operation: map of `pairs`}, up to where the pairs begin. */
static enum bb_err put_head(struct bb_buf *out, enum bb_nsm_operation operation, size_t pairs) {
    enum bb_err err = bb_cbor_put_map(out, 1);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, bb_nsm_operation_name(operation));
    return err == BB_OK ? bb_cbor_put_map(out, pairs) : err;
}

static enum bb_err put_number(struct bb_buf *out, const char *key, uint64_t number) {
    enum bb_err err = bb_cbor_put_text(out, key);
    return err == BB_OK ? bb_cbor_put_uint(out, number) : err;
}

/* NULL bytes become null. */
static enum bb_err put_blob(struct bb_buf *out, const char *key, struct bb_view bytes) {
    enum bb_err err = bb_cbor_put_text(out, key);
    if (err != BB_OK)
        return err;
    return bytes.data == NULL ? bb_cbor_put_null(out) : bb_cbor_put_bytes(out, bytes);
}

static enum bb_err put_text(struct bb_buf *out, const char *key, struct bb_view text) {
    enum bb_err err = bb_cbor_put_text(out, key);
    return err == BB_OK ? bb_cbor_put_text_view(out, text) : err;
}

static enum bb_err put_one_number(struct bb_buf *out, enum bb_nsm_operation operation, const char *key,
                                  uint64_t number) {
    enum bb_err err = put_head(out, operation, 1);
    return err == BB_OK ? put_number(out, key, number) : err;
}

static enum bb_err put_one_blob(struct bb_buf *out, enum bb_nsm_operation operation, const char *key,
                                struct bb_view bytes) {
    enum bb_err err = put_head(out, operation, 1);
    return err == BB_OK ? put_blob(out, key, bytes) : err;
}

static enum bb_err put_extend(struct bb_buf *out, const struct bb_nsm_request *request) {
    enum bb_err err = put_head(out, request->operation, 2);
    if (err == BB_OK)
        err = put_number(out, "index", request->of.extend_pcr.index);
    return err == BB_OK ? put_blob(out, "data", request->of.extend_pcr.data) : err;
}

static enum bb_err put_attestation(struct bb_buf *out, const struct bb_nsm_request *request) {
    enum bb_err err = put_head(out, request->operation, 3);
    if (err == BB_OK)
        err = put_blob(out, "user_data", request->of.attestation.user_data);
    if (err == BB_OK)
        err = put_blob(out, "nonce", request->of.attestation.nonce);
    return err == BB_OK ? put_blob(out, "public_key", request->of.attestation.public_key) : err;
}

enum bb_err bb_nsm_request_write(const struct bb_nsm_request *request, struct bb_buf *out) {
    switch (request->operation) {
    case BB_NSM_DESCRIBE_PCR:
        return put_one_number(out, request->operation, "index", request->of.describe_pcr.index);
    case BB_NSM_EXTEND_PCR:
        return put_extend(out, request);
    case BB_NSM_LOCK_PCR:
        return put_one_number(out, request->operation, "index", request->of.lock_pcr.index);
    case BB_NSM_LOCK_PCRS:
        return put_one_number(out, request->operation, "range", request->of.lock_pcrs.range);
    case BB_NSM_ATTESTATION:
        return put_attestation(out, request);
    case BB_NSM_DESCRIBE_NSM:
    case BB_NSM_GET_RANDOM:
        return bb_cbor_put_text(out, bb_nsm_operation_name(request->operation));
    case BB_NSM_ERROR:
        break;
    }
    return BB_ERR_ARGUMENT;
}

static enum bb_err put_pcr(struct bb_buf *out, const struct bb_nsm_response *response) {
    enum bb_err err = put_head(out, response->operation, 2);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "lock");
    if (err == BB_OK)
        err = bb_cbor_put_bool(out, response->of.describe_pcr.lock);
    return err == BB_OK ? put_blob(out, "data", response->of.describe_pcr.data) : err;
}

static enum bb_err put_locked(struct bb_buf *out, uint32_t locked) {
    enum bb_err err = bb_cbor_put_text(out, "locked_pcrs");
    if (err == BB_OK)
        err = bb_cbor_put_array(out, (size_t)__builtin_popcount(locked));
    for (uint64_t i = 0; err == BB_OK && i < BB_NSM_PCR_COUNT; i++)
        if ((locked & UINT32_C(1) << i) != 0)
            err = bb_cbor_put_uint(out, i);
    return err;
}

static enum bb_err put_description(struct bb_buf *out, const struct bb_nsm_response *response) {
    enum bb_err err = put_head(out, response->operation, 7);
    if (err == BB_OK)
        err = put_number(out, "version_major", response->of.describe_nsm.version_major);
    if (err == BB_OK)
        err = put_number(out, "version_minor", response->of.describe_nsm.version_minor);
    if (err == BB_OK)
        err = put_number(out, "version_patch", response->of.describe_nsm.version_patch);
    if (err == BB_OK)
        err = put_text(out, "module_id", response->of.describe_nsm.module_id);
    if (err == BB_OK)
        err = put_number(out, "max_pcrs", response->of.describe_nsm.max_pcrs);
    if (err == BB_OK)
        err = put_locked(out, response->of.describe_nsm.locked_pcrs);
    return err == BB_OK ? put_text(out, "digest", response->of.describe_nsm.digest) : err;
}

static enum bb_err put_error(struct bb_buf *out, enum bb_nsm_error error) {
    enum bb_err err = bb_cbor_put_map(out, 1);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, bb_nsm_operation_name(BB_NSM_ERROR));
    return err == BB_OK ? bb_cbor_put_text(out, bb_nsm_error_name(error)) : err;
}

enum bb_err bb_nsm_response_write(const struct bb_nsm_response *response, struct bb_buf *out) {
    switch (response->operation) {
    case BB_NSM_DESCRIBE_PCR:
        return put_pcr(out, response);
    case BB_NSM_EXTEND_PCR:
        return put_one_blob(out, response->operation, "data", response->of.extend_pcr.data);
    case BB_NSM_DESCRIBE_NSM:
        return put_description(out, response);
    case BB_NSM_ATTESTATION:
        return put_one_blob(out, response->operation, "document", response->of.attestation.document);
    case BB_NSM_GET_RANDOM:
        return put_one_blob(out, response->operation, "random", response->of.get_random.random);
    case BB_NSM_LOCK_PCR:
    case BB_NSM_LOCK_PCRS:
        return bb_cbor_put_text(out, bb_nsm_operation_name(response->operation));
    case BB_NSM_ERROR:
        return put_error(out, response->of.error);
    }
    return BB_ERR_ARGUMENT;
}
