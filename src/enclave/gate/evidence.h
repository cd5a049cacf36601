/*
 * The gate's key, the evidence certificates made for it one after another, and their renewal. A connection
 * keeps the evidence that it was made with; new connections get the newest.
 */
#ifndef BB_GATE_EVIDENCE_H
#define BB_GATE_EVIDENCE_H

#include "base/bytes.h"
#include "crypto/hash.h"
#include "enclave/gate/control.h"
#include "enclave/gate/metrics.h"
#include "tls/server.h"

#define BB_EVIDENCE_RETRY_MS 5000

struct bb_evidence {
    unsigned references;
    struct bb_tls_server *tls;
    struct bb_buf certificate; /* DER */
    uint8_t certificate_sha256[BB_SHA256_LEN];
    struct bb_buf attestation; /* a document whose user_data names the certificate */
    int64_t made_ms;           /* monotonic */
    int64_t life_ms;           /* of the certificate that signed it, from then on */
};

struct bb_evidence *bb_evidence_ref(struct bb_evidence *evidence);
void bb_evidence_unref(struct bb_evidence *evidence); /* NULL is fine */
/* Will clients still accept it? */
bool bb_evidence_is_fresh(const struct bb_evidence *evidence, int64_t now_ms);

struct bb_evidence_keeper;

/*
 * Makes the key and asks for the first evidence; `renewed` is called each time that new evidence is in place.
 * control and metrics must outlive the keeper.
 */
BB_MUST_USE enum bb_err bb_evidence_keeper_new(struct event_base *base, struct bb_control *control,
                                               struct bb_metrics *metrics, unsigned renew_seconds,
                                               void (*renewed)(void *arg), void *arg,
                                               struct bb_evidence_keeper **out);
void bb_evidence_keeper_free(struct bb_evidence_keeper *keeper);
/* The newest evidence, borrowed; NULL before the first. */
struct bb_evidence *bb_evidence_current(const struct bb_evidence_keeper *keeper);
/* SubjectPublicKeyInfo of the key that all its certificates have. */
struct bb_view bb_evidence_public_key(const struct bb_evidence_keeper *keeper);

#endif
