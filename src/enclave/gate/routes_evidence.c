/*
 * POST /.well-known/blindbox/evidence: a document with the caller's nonce, bound to the connection that asks
 * (docs/ARCHITECTURE.md section 4). The caller chooses the nonce and nothing else; bodies of any other form
 * than {"nonce":"<base64>"} are refused, as are nonces that are too short to be fresh.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "crypto/fresh.h"
#include "crypto/hash.h"
#include "enclave/gate/request.h"

#define BODY_MAX  1024u /* bytes */
#define NONCE_MIN 16u
#define NONCE_MAX BB_ATTESTATION_NONCE_MAX

/* The request's state. */
struct asking {
    struct bb_request *request;
    struct bb_buf body;
    struct bb_attestation_wait *wait; /* while the broker is asked */
};

static void stop_asking(void *state) {
    struct asking *asking = state;
    if (asking->wait != NULL)
        bb_attestation_cancel(asking->wait);
    bb_buf_done(&asking->body);
    free(asking);
}

static void fail_busy(struct bb_request *request) {
    struct bb_fault fault;
    bb_fault_set(&fault, 503, "No attestation document can be had just now; try again");
    fault.retry_after_s = 1;
    bb_request_fail(request, &fault);
}

void bb_route_evidence_begin(struct bb_request *request) {
    struct asking *asking = calloc(1, sizeof *asking);
    if (asking == NULL) {
        fail_busy(request);
        return;
    }
    *asking = (struct asking){.request = request, .body = BB_BUF_INIT(BODY_MAX)};
    request->state = asking;
    request->end = stop_asking;
}

void bb_route_evidence_body(struct bb_request *request, struct bb_view bytes) {
    struct asking *asking = request->state;
    struct bb_fault fault;
    enum bb_err err = bb_buf_append(&asking->body, bytes.data, bytes.len);
    if (err == BB_OK)
        return;
    if (err != BB_ERR_TOO_LARGE) {
        fail_busy(request);
        return;
    }
    bb_fault_set(&fault, 413, "The body is longer than %u bytes", BODY_MAX);
    bb_request_fail(request, &fault);
}

/* The nonce, appended to out. Otherwise the sentence for the caller. */
static const char *read_nonce(const json_t *root, struct bb_buf *out) {
    static const char shape[] = "The body must be the JSON object {\"nonce\":\"<base64 of 16 to 64 bytes>\"}";
    const json_t *nonce = json_object_get(root, "nonce");
    if (!json_is_string(nonce))
        return shape;
    if (json_object_size(root) != 1)
        return "The body has a member that is not known; there is nonce alone";
    struct bb_view text = bb_view(json_string_value(nonce), json_string_length(nonce));
    enum bb_err err = bb_base64_decode(text, out);
    if (err == BB_ERR_BASE64)
        return "The nonce is not base64 (RFC 4648 section 4)";
    if (err != BB_OK)
        return shape;
    return out->len >= NONCE_MIN && out->len <= NONCE_MAX ? NULL : "The nonce must have 16 to 64 bytes";
}

static bool parse_body(struct bb_request *request, struct bb_view body, struct bb_buf *nonce) {
    struct bb_fault fault;
    json_t *root = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    const char *sentence = read_nonce(root, nonce);
    json_decref(root);
    if (sentence == NULL)
        return true;
    bb_fault_set(&fault, 400, "%s", sentence);
    bb_request_fail(request, &fault);
    return false;
}

static void on_document(void *arg, enum bb_err err, struct bb_view document) {
    struct asking *asking = arg;
    asking->wait = NULL;
    if (err == BB_OK)
        bb_request_say(asking->request, "application/cbor", document);
    else
        fail_busy(asking->request);
}

/* What is said about this connection: all of it our own knowledge. */
static enum bb_err describe(const struct bb_request *request, uint8_t user_data[BB_FRESH_USER_DATA_LEN]) {
    struct bb_fresh fresh;
    enum bb_err err = bb_request_exporter(request, fresh.exporter);
    if (err == BB_OK)
        err = bb_sha256(bb_evidence_public_key(request->gate->evidence), fresh.spki_sha256);
    if (err != BB_OK)
        return err;
    memcpy(fresh.certificate_sha256, bb_request_evidence(request)->certificate_sha256, BB_SHA256_LEN);
    bb_fresh_write(&fresh, user_data);
    return BB_OK;
}

void bb_route_evidence(struct bb_request *request) {
    struct asking *asking = request->state;
    uint8_t user_data[BB_FRESH_USER_DATA_LEN];
    struct bb_buf nonce BB_CLEANUP_BUF = BB_BUF_INIT(BODY_MAX);
    if (!parse_body(request, bb_buf_view(&asking->body), &nonce))
        return;
    enum bb_err err = describe(request, user_data);
    if (err == BB_OK)
        err = bb_attestation_request(request->gate->attestation, bb_view(user_data, sizeof user_data),
                                     bb_buf_view(&nonce), on_document, asking, &asking->wait);
    if (err != BB_OK)
        fail_busy(request);
}
