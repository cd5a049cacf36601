/* See nsm.h. */
#include "enclave/nsm.h"

#include <string.h>

#include "base/fd.h"
#include "crypto/hash.h"

void bb_nsm_init(struct bb_nsm *nsm, int fd) {
    *nsm = (struct bb_nsm){.fd = fd,
                           .simulated = true,
                           .request = BB_BUF_INIT(BB_NSM_REQUEST_MAX),
                           .response = BB_BUF_INIT(BB_NSM_RESPONSE_MAX)};
}

void bb_nsm_done(struct bb_nsm *nsm) {
    bb_fd_close(&nsm->fd);
    bb_buf_done(&nsm->request);
    bb_buf_done(&nsm->response);
}

/* Sends a request and reads the answer to it, which must be of the same operation. */
static enum bb_err ask(struct bb_nsm *nsm, const struct bb_nsm_request *request, struct bb_nsm_response *out,
                       struct bb_buf *reason) {
    bb_buf_clear(&nsm->request);
    struct bb_nsm_response response;
    enum bb_err err = bb_nsm_request_write(request, &nsm->request);
    if (err == BB_OK)
        err = bb_frame_write(nsm->fd, bb_buf_view(&nsm->request), BB_NSM_TIMEOUT_MS);
    if (err == BB_OK)
        err = bb_frame_read(nsm->fd, &nsm->response, BB_NSM_TIMEOUT_MS);
    if (err == BB_OK)
        err = bb_nsm_response_read(bb_buf_view(&nsm->response), &response);
    if (err != BB_OK)
        return err;
    if (response.operation == BB_NSM_ERROR) {
        err = bb_buf_printf(reason, "the NSM answered %s to %s", bb_nsm_error_name(response.of.error),
                            bb_nsm_operation_name(request->operation));
        return err == BB_OK ? BB_ERR_NSM : err;
    }
    if (response.operation != request->operation)
        return BB_ERR_PROTOCOL;
    *out = response;
    return BB_OK;
}

enum bb_err bb_nsm_extend(struct bb_nsm *nsm, uint16_t index, struct bb_view data, struct bb_buf *reason) {
    struct bb_nsm_request request = {.operation = BB_NSM_EXTEND_PCR,
                                     .of.extend_pcr = {.index = index, .data = data}};
    struct bb_nsm_response response;
    return ask(nsm, &request, &response, reason);
}

enum bb_err bb_nsm_lock(struct bb_nsm *nsm, uint16_t index, struct bb_buf *reason) {
    struct bb_nsm_request request = {.operation = BB_NSM_LOCK_PCR, .of.lock_pcr = {.index = index}};
    struct bb_nsm_response response;
    return ask(nsm, &request, &response, reason);
}

enum bb_err bb_nsm_describe_pcr(struct bb_nsm *nsm, uint16_t index, bool *locked,
                                uint8_t value[BB_NSM_PCR_LEN], struct bb_buf *reason) {
    struct bb_nsm_request request = {.operation = BB_NSM_DESCRIBE_PCR, .of.describe_pcr = {.index = index}};
    struct bb_nsm_response response;
    enum bb_err err = ask(nsm, &request, &response, reason);
    if (err != BB_OK)
        return err;
    if (response.of.describe_pcr.data.len != BB_NSM_PCR_LEN)
        return BB_ERR_PROTOCOL;
    *locked = response.of.describe_pcr.lock;
    memcpy(value, response.of.describe_pcr.data.data, BB_NSM_PCR_LEN);
    return BB_OK;
}

static struct bb_view null_when_empty(struct bb_view bytes) {
    return bytes.len > 0 ? bytes : (struct bb_view){0};
}

enum bb_err bb_nsm_attest(struct bb_nsm *nsm, struct bb_view public_key, struct bb_view user_data,
                          struct bb_view nonce, struct bb_view *document, struct bb_buf *reason) {
    struct bb_nsm_request request = {.operation = BB_NSM_ATTESTATION,
                                     .of.attestation = {.user_data = null_when_empty(user_data),
                                                        .nonce = null_when_empty(nonce),
                                                        .public_key = null_when_empty(public_key)}};
    struct bb_nsm_response response;
    enum bb_err err = ask(nsm, &request, &response, reason);
    if (err == BB_OK)
        *document = response.of.attestation.document;
    return err;
}

enum bb_err bb_nsm_record(struct bb_nsm *nsm, uint16_t index, struct bb_view digest, struct bb_buf *reason) {
    uint8_t expected[BB_NSM_PCR_LEN] = {0};
    uint8_t found[BB_NSM_PCR_LEN];
    bool locked = false;
    enum bb_err err = BB_OK;
    if (digest.len > 0) {
        err = bb_pcr_extend(expected, digest);
        if (err == BB_OK)
            err = bb_nsm_extend(nsm, index, digest, reason);
    }
    if (err == BB_OK)
        err = bb_nsm_lock(nsm, index, reason);
    if (err == BB_OK)
        err = bb_nsm_describe_pcr(nsm, index, &locked, found, reason);
    if (err != BB_OK)
        return err;
    if (locked && memcmp(found, expected, sizeof found) == 0)
        return BB_OK;
    err = bb_buf_printf(reason, "PCR%u is %s after it was extended and locked", (unsigned)index,
                        locked ? "not the expected value" : "not locked");
    return err == BB_OK ? BB_ERR_NSM : err;
}
