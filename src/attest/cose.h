/*
 * COSE_Sign1 (RFC 9052 section 4.2) as far as attestation documents use it: one signature, ES384 (RFC 9053
 * section 2.1), payload inside.
 */
#ifndef BB_ATTEST_COSE_H
#define BB_ATTEST_COSE_H

#include "attest/verdict.h"
#include "crypto/cert.h"

#define BB_COSE_TAG_SIGN1   18u
#define BB_COSE_ALG_ES384   (-35)
#define BB_COSE_MAX_HEADERS 16u /* parameters in both headers together */

/* Views into the bytes that were read. */
struct bb_cose {
    bool tagged;
    struct bb_view protected_header; /* content of the byte string */
    struct bb_view payload;
    struct bb_view signature;
    bool has_algorithm; /* in the protected header, and a number */
    int64_t algorithm;
    bool has_critical;
};

/*
 * Takes the structure apart. BB_ERR_TRUNCATED, BB_ERR_TRAILING, or BB_ERR_COSE_FORM for everything that is
 * not one whole COSE_Sign1; *reason then is why, static text. What the algorithm and the signature's length
 * are is for bb_cose_check().
 */
BB_MUST_USE enum bb_err bb_cose_read(struct bb_view bytes, struct bb_cose *out, const char **reason);
/* Algorithm exactly ES384, nothing critical, signature of 96 bytes. */
BB_MUST_USE enum bb_err bb_cose_check(const struct bb_cose *cose, struct bb_verdict *verdict);
/* Does the signature verify with the certificate's key? */
BB_MUST_USE enum bb_err bb_cose_verify(const struct bb_cose *cose, const struct bb_cert *leaf);

#endif
