/* Elliptic-curve key pairs (P-256 for TLS, P-384 for attestation) and ECDSA signatures in COSE's form (r ‖
 * s). */
#ifndef BB_CRYPTO_KEY_H
#define BB_CRYPTO_KEY_H

#include "base/bytes.h"

enum bb_curve { BB_CURVE_P256, BB_CURVE_P384 };

#define BB_ES384_SIGNATURE_LEN 96u

struct bb_key;

BB_MUST_USE enum bb_err bb_key_generate(enum bb_curve curve, struct bb_key **out);
/* PKCS#8 PEM. */
BB_MUST_USE enum bb_err bb_key_from_pem(struct bb_view pem, struct bb_key **out);
BB_MUST_USE enum bb_err bb_key_to_pem(const struct bb_key *key, struct bb_buf *out);
/* SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), DER. */
BB_MUST_USE enum bb_err bb_key_spki(const struct bb_key *key, struct bb_buf *out);
/* ECDSA with SHA-384 over message with a P-384 key: r ‖ s, 48 bytes each (RFC 9053 section 2.1). */
BB_MUST_USE enum bb_err bb_key_sign_es384(const struct bb_key *key, struct bb_view message,
                                          uint8_t signature[BB_ES384_SIGNATURE_LEN]);
void bb_key_free(struct bb_key *key);
void bb_key_cleanup(struct bb_key **key);
#define BB_CLEANUP_KEY __attribute__((cleanup(bb_key_cleanup)))

/* The EVP_PKEY behind the key, borrowed; for src/tls only. */
struct evp_pkey_st;
struct evp_pkey_st *bb_key_evp(const struct bb_key *key);

#endif
