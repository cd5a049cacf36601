/*
 * The NSM broker: init's answer to the gate's `attest` messages (docs/ARCHITECTURE.md section 3). It holds
 * the only way to the NSM. It trusts the gate to say what public_key, user_data and nonce mean, not to be
 * moderate: sizes are checked and requests are rate-limited here.
 */
#ifndef BB_ENCLAVE_BROKER_H
#define BB_ENCLAVE_BROKER_H

#include "enclave/nsm.h"

/* Attestation documents, on average and at once: each new connection asks for one, and a real NSM signs some
 * hundred a second. */
#define BB_BROKER_PER_SECOND 100u
#define BB_BROKER_BURST      200u

struct bb_broker {
    struct bb_nsm *nsm;
    int64_t filled_ms; /* the token bucket: thousandths of a document, at this monotonic time */
    int64_t thousandths;
};

void bb_broker_init(struct bb_broker *broker, struct bb_nsm *nsm, int64_t now_ms);
/*
 * Answers one message; appends the answer (a `document` message, with an error text where there is no
 * document) to reply. BB_ERR_PROTOCOL: the message is not an `attest` message of the agreed form. Any other
 * error: the NSM's connection is lost.
 */
BB_MUST_USE enum bb_err bb_broker_answer(struct bb_broker *broker, struct bb_view message, int64_t now_ms,
                                         struct bb_buf *reply);

#endif
