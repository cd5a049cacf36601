/*
 * Documents for /enclave/attestation?nonce=…: asked of the broker one by one, equal requests in flight
 * together. user_data is ours alone (the certificate of the connection that asks); the caller chooses the
 * nonce, which is what it is for.
 */
#ifndef BB_GATE_ATTESTATION_H
#define BB_GATE_ATTESTATION_H

#include "base/bytes.h"
#include "enclave/gate/control.h"
#include "enclave/gate/evidence.h"

#define BB_ATTESTATION_NONCE_LEN 20u
#define BB_ATTESTATIONS_MAX      32u /* different requests in flight */
/* Documents for callers, on average and at once. The broker gives more: its rest is for the renewal of the
 * evidence, which callers must not be able to starve. */
#define BB_ATTESTATIONS_PER_SECOND 15u
#define BB_ATTESTATIONS_BURST      30u

struct bb_attestation;
struct bb_attestation_wait;

/* public_key goes into every document; it must outlive the object, as must control. */
BB_MUST_USE enum bb_err bb_attestation_new(struct bb_control *control, struct bb_view public_key,
                                           struct bb_attestation **out);
void bb_attestation_free(struct bb_attestation *attestation);
/*
 * Asks for a document that binds the certificate and the nonce; `done` is called once, later. BB_ERR_BUSY
 * when too many are in flight, or were asked for lately. *wait is good until `done` is called.
 */
BB_MUST_USE enum bb_err bb_attestation_request(struct bb_attestation *attestation,
                                               const struct bb_evidence *evidence,
                                               const uint8_t nonce[BB_ATTESTATION_NONCE_LEN],
                                               bb_attest_cb *done, void *arg,
                                               struct bb_attestation_wait **wait);
/* `done` will not be called any more. */
void bb_attestation_cancel(struct bb_attestation_wait *wait);

#endif
