/*
 * Documents that callers ask for: /enclave/attestation?nonce=… and /.well-known/blindbox/evidence. Asked of
 * the broker one by one, equal requests in flight together. user_data is ours alone (about the connection
 * that asks); the caller chooses the nonce, which is what it is for.
 */
#ifndef BB_GATE_ATTESTATION_H
#define BB_GATE_ATTESTATION_H

#include "base/bytes.h"
#include "enclave/gate/control.h"

#define BB_ATTESTATION_NONCE_MAX     64u /* bytes */
#define BB_ATTESTATION_USER_DATA_MAX 128u
#define BB_ATTESTATIONS_MAX          48u /* different requests in flight */
/* Documents for callers, on average and at once. The broker gives more: its rest is for the renewal of the
 * evidence, which callers must not be able to starve. */
#define BB_ATTESTATIONS_PER_SECOND 80u
#define BB_ATTESTATIONS_BURST      160u

struct bb_attestation;
struct bb_attestation_wait;

/* public_key goes into every document; it must outlive the object, as must control. */
BB_MUST_USE enum bb_err bb_attestation_new(struct bb_control *control, struct bb_view public_key,
                                           struct bb_attestation **out);
void bb_attestation_free(struct bb_attestation *attestation);
/*
 * Asks for a document with this user_data and nonce; `done` is called once, later. BB_ERR_BUSY when too many
 * are in flight, or were asked for lately. *wait is good until `done` is called.
 */
BB_MUST_USE enum bb_err bb_attestation_request(struct bb_attestation *attestation, struct bb_view user_data,
                                               struct bb_view nonce, bb_attest_cb *done, void *arg,
                                               struct bb_attestation_wait **wait);
/* `done` will not be called any more. */
void bb_attestation_cancel(struct bb_attestation_wait *wait);

#endif
