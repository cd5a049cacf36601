/* SHA-256 and SHA-384 (FIPS 180-4), random bytes, base64 (RFC 4648 section 4): thin over OpenSSL. */
#ifndef BB_CRYPTO_HASH_H
#define BB_CRYPTO_HASH_H

#include "base/bytes.h"

#define BB_SHA256_LEN 32u
#define BB_SHA384_LEN 48u

BB_MUST_USE enum bb_err bb_sha256(struct bb_view bytes, uint8_t out[BB_SHA256_LEN]);
BB_MUST_USE enum bb_err bb_sha384(struct bb_view bytes, uint8_t out[BB_SHA384_LEN]);

/* A hash over data that arrives in pieces. */
enum bb_hash_algorithm { BB_SHA256, BB_SHA384 };
struct bb_hash;
BB_MUST_USE enum bb_err bb_hash_new(enum bb_hash_algorithm algorithm, struct bb_hash **out);
BB_MUST_USE enum bb_err bb_hash_update(struct bb_hash *hash, struct bb_view bytes);
/* Writes BB_SHA256_LEN or BB_SHA384_LEN bytes; the object can only be freed afterwards. */
BB_MUST_USE enum bb_err bb_hash_final(struct bb_hash *hash, uint8_t *out);
void bb_hash_free(struct bb_hash *hash);

/* PCR = SHA384(PCR ‖ data): how the Nitro Security Module extends a register. */
BB_MUST_USE enum bb_err bb_pcr_extend(uint8_t pcr[BB_SHA384_LEN], struct bb_view data);

BB_MUST_USE enum bb_err bb_random(uint8_t *out, size_t len);

BB_MUST_USE enum bb_err bb_base64_encode(struct bb_view bytes, struct bb_buf *out);
/* Accepts padding only where it belongs, no white space. BB_ERR_BASE64. */
BB_MUST_USE enum bb_err bb_base64_decode(struct bb_view text, struct bb_buf *out);

#endif
