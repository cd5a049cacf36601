/* What keys and certificates share about OpenSSL's EVP_PKEY, between the files of this folder. */
#ifndef BB_CRYPTO_EVP_H
#define BB_CRYPTO_EVP_H

#include <openssl/evp.h>

#include "crypto/key.h"

/* An elliptic-curve key on that named curve; pkey may be NULL. */
bool bb_evp_on_curve(const EVP_PKEY *pkey, enum bb_curve curve);
/* ES384, signature r ‖ s. BB_ERR_COSE_SIGNATURE_LENGTH, BB_ERR_COSE_SIGNATURE. */
BB_MUST_USE enum bb_err bb_evp_verify_es384(EVP_PKEY *pkey, struct bb_view message, struct bb_view signature);

#endif
