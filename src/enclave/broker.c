/* See broker.h. */
#include "enclave/broker.h"

#include "cbor/cbor.h"

#define ONE_DOCUMENT 1000

struct attest {
    uint64_t id;
    struct bb_view public_key, user_data, nonce;
};

void bb_broker_init(struct bb_broker *broker, struct bb_nsm *nsm, int64_t now_ms) {
    *broker = (struct bb_broker){
        .nsm = nsm, .filled_ms = now_ms, .thousandths = (int64_t)BB_BROKER_BURST * ONE_DOCUMENT};
}

static enum bb_err read_attest(struct bb_view message, struct attest *out) {
    struct bb_cbor reader;
    struct bb_view type;
    struct attest found = {0};
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &found.id, .required = true},
        {.key = "public_key", .type = BB_CBOR_BYTES, .out = &found.public_key},
        {.key = "user_data", .type = BB_CBOR_BYTES, .out = &found.user_data},
        {.key = "nonce", .type = BB_CBOR_BYTES, .out = &found.nonce},
    };
    bb_cbor_init(&reader, message);
    if (bb_cbor_read_fields(&reader, fields, sizeof fields / sizeof *fields, false) != BB_OK ||
        bb_cbor_finish(&reader) != BB_OK || !bb_view_equal(type, bb_view_str("attest")))
        return BB_ERR_PROTOCOL;
    *out = found;
    return BB_OK;
}

/* Takes one document's worth out of the token bucket, if there is one. */
static bool take_token(struct bb_broker *broker, int64_t now_ms) {
    const int64_t full = (int64_t)BB_BROKER_BURST * ONE_DOCUMENT;
    int64_t passed = now_ms - broker->filled_ms;
    if (passed > full) /* milliseconds enough to fill it at any rate of one a second or more */
        passed = full;
    broker->thousandths += passed * (int64_t)BB_BROKER_PER_SECOND;
    if (broker->thousandths > full)
        broker->thousandths = full;
    broker->filled_ms = now_ms;
    if (broker->thousandths < ONE_DOCUMENT)
        return false;
    broker->thousandths -= ONE_DOCUMENT;
    return true;
}

static enum bb_err put_head(struct bb_buf *reply, uint64_t id, const char *third_key) {
    enum bb_err err = bb_cbor_put_map(reply, 3);
    if (err == BB_OK)
        err = bb_cbor_put_text(reply, "type");
    if (err == BB_OK)
        err = bb_cbor_put_text(reply, "document");
    if (err == BB_OK)
        err = bb_cbor_put_text(reply, "id");
    if (err == BB_OK)
        err = bb_cbor_put_uint(reply, id);
    return err == BB_OK ? bb_cbor_put_text(reply, third_key) : err;
}

static enum bb_err put_error(struct bb_buf *reply, uint64_t id, const char *text) {
    enum bb_err err = put_head(reply, id, "error");
    return err == BB_OK ? bb_cbor_put_text(reply, text) : err;
}

static const char *oversized(const struct attest *attest) {
    if (attest->public_key.len > BB_NSM_PUBLIC_KEY_MAX)
        return "public_key must have at most 1024 bytes";
    if (attest->user_data.len > BB_NSM_USER_DATA_MAX)
        return "user_data must have at most 512 bytes";
    return attest->nonce.len > BB_NSM_NONCE_MAX ? "nonce must have at most 512 bytes" : NULL;
}

enum bb_err bb_broker_answer(struct bb_broker *broker, struct bb_view message, int64_t now_ms,
                             struct bb_buf *reply) {
    struct attest attest;
    enum bb_err err = read_attest(message, &attest);
    if (err != BB_OK)
        return err;
    const char *refusal = oversized(&attest);
    if (refusal == NULL && !take_token(broker, now_ms))
        refusal = "too many attestation requests, try again in a moment";
    if (refusal != NULL)
        return put_error(reply, attest.id, refusal);
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(256);
    struct bb_view document;
    err = bb_nsm_attest(broker->nsm, attest.public_key, attest.user_data, attest.nonce, &document, &reason);
    if (err == BB_ERR_NSM)
        return put_error(reply, attest.id, bb_buf_str(&reason));
    if (err == BB_OK)
        err = put_head(reply, attest.id, "document");
    return err == BB_OK ? bb_cbor_put_bytes(reply, document) : err;
}
