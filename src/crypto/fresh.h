/*
 * The user_data of fresh evidence: what an enclave's document says about the connection on which it was asked
 * for (docs/ARCHITECTURE.md section 4). Written by the gate, read by the verifier.
 */
#ifndef BB_CRYPTO_FRESH_H
#define BB_CRYPTO_FRESH_H

#include "base/bytes.h"
#include "crypto/hash.h"

/* The keying material of RFC 9266: this label, no context, this many bytes. */
#define BB_FRESH_EXPORTER_LABEL "EXPORTER-Channel-Binding"
#define BB_FRESH_EXPORTER_LEN   32u

/* "BBEVID01" ‖ exporter ‖ SHA-256(SubjectPublicKeyInfo) ‖ SHA-256(certificate DER). */
#define BB_FRESH_USER_DATA_LEN 104u

struct bb_fresh {
    uint8_t exporter[BB_FRESH_EXPORTER_LEN];
    uint8_t spki_sha256[BB_SHA256_LEN];
    uint8_t certificate_sha256[BB_SHA256_LEN];
};

void bb_fresh_write(const struct bb_fresh *fresh, uint8_t user_data[BB_FRESH_USER_DATA_LEN]);
/* BB_ERR_USER_DATA: not of that layout. */
BB_MUST_USE enum bb_err bb_fresh_read(struct bb_view user_data, struct bb_fresh *out);

#endif
