/* /enclave…: attestation for clients that exist already (nitriding's and the first BlindBox's). */
#include <stdlib.h>

#include "base/hex.h"
#include "crypto/hash.h"
#include "enclave/gate/document.h"
#include "enclave/gate/request.h"

#define BASE64_MAX 32768u
#define NONCE_LEN  20u /* as nitriding's clients send it */

static const char text_plain[] = "text/plain; charset=utf-8";

void bb_route_enclave(struct bb_request *request) {
    bb_request_say(request, text_plain,
                   bb_view_str("This is a BlindBox enclave. GET /enclave/attestation shows its evidence.\n"));
}

void bb_route_enclave_cert(struct bb_request *request) {
    bb_request_say(request, "application/x-x509-ca-cert",
                   bb_buf_view(&bb_request_evidence(request)->certificate));
}

/* The request's state while the broker is asked. */
struct asking {
    struct bb_request *request;
    struct bb_attestation_wait *wait; /* NULL: answered */
};

static void stop_asking(void *state) {
    struct asking *asking = state;
    if (asking->wait != NULL)
        bb_attestation_cancel(asking->wait);
    free(asking);
}

static void fail_busy(struct bb_request *request) {
    struct bb_fault fault;
    bb_fault_set(&fault, 503, "No attestation document can be had just now; try again");
    fault.retry_after_s = 1;
    bb_request_fail(request, &fault);
}

static void on_document(void *arg, enum bb_err err, struct bb_view document) {
    struct asking *asking = arg;
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(BASE64_MAX);
    asking->wait = NULL;
    if (err == BB_OK)
        err = bb_base64_encode(document, &text);
    if (err == BB_OK)
        err = bb_buf_append_str(&text, "\n");
    if (err == BB_OK)
        bb_request_say(asking->request, text_plain, bb_buf_view(&text));
    else
        fail_busy(asking->request);
}

static void ask(struct bb_request *request, const uint8_t nonce[NONCE_LEN]) {
    struct asking *asking = calloc(1, sizeof *asking);
    if (asking == NULL) {
        fail_busy(request);
        return;
    }
    uint8_t user_data[BB_USER_DATA_MULTIHASH_LEN];
    bb_user_data_multihash(bb_request_evidence(request)->certificate_sha256, user_data);
    asking->request = request;
    request->state = asking;
    request->end = stop_asking;
    if (bb_attestation_request(request->gate->attestation, bb_view(user_data, sizeof user_data),
                               bb_view(nonce, NONCE_LEN), on_document, asking, &asking->wait) != BB_OK)
        fail_busy(request);
}

void bb_route_enclave_attestation(struct bb_request *request) {
    struct bb_view text;
    uint8_t nonce[NONCE_LEN];
    if (!bb_route_query(request->query, "nonce", &text)) {
        bb_request_say(request, "application/cbor", bb_buf_view(&bb_request_evidence(request)->attestation));
        return;
    }
    if (bb_hex_decode(text, nonce, sizeof nonce) == BB_OK) {
        ask(request, nonce);
        return;
    }
    struct bb_fault fault;
    bb_fault_set(&fault, 400, "The nonce must be 40 hexadecimal digits");
    bb_request_fail(request, &fault);
}
