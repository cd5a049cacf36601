/* OpenSSL's error queue, between the files of this folder. */
#ifndef BB_CRYPTO_OPENSSL_ERROR_H
#define BB_CRYPTO_OPENSSL_ERROR_H

#include <blindbox/error.h>

/* Empties this thread's error queue: BB_ERR_NO_MEMORY when memory was what failed, else `otherwise`. */
BB_MUST_USE enum bb_err bb_openssl_error(enum bb_err otherwise);

#endif
