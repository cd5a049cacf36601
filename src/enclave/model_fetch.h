/*
 * Fetching model weights from the store (docs/ARCHITECTURE.md section 3, init and store). The store is not
 * trusted: what it sends is hashed as it comes and refused unless it is what was asked for, and no answer can
 * make init wait or allocate without bound.
 */
#ifndef BB_ENCLAVE_MODEL_FETCH_H
#define BB_ENCLAVE_MODEL_FETCH_H

#include "base/bytes.h"
#include "crypto/hash.h"

#define BB_MODEL_MAX_BYTES (UINT64_C(8) << 30)
#define BB_MODEL_STALL_MS  10000   /* without a byte from the store */
#define BB_MODEL_FETCH_MS  1800000 /* from the request to the last byte */

struct bb_model_fetch {
    uint64_t max_bytes;
    int stall_ms, total_ms;
};
#define BB_MODEL_FETCH_DEFAULT                                                                               \
    ((struct bb_model_fetch){                                                                                \
        .max_bytes = BB_MODEL_MAX_BYTES, .stall_ms = BB_MODEL_STALL_MS, .total_ms = BB_MODEL_FETCH_MS})

/*
 * Asks the store for the weights with that digest; *fd is a sealed memory file that holds exactly them. On
 * failure a sentence is appended to reason: BB_ERR_NOT_FOUND (the store has none), BB_ERR_TOO_LARGE,
 * BB_ERR_MODEL_DIGEST, BB_ERR_TIMEOUT, BB_ERR_TRUNCATED, BB_ERR_PROTOCOL.
 */
BB_MUST_USE enum bb_err bb_model_fetch(int store, const uint8_t digest[BB_SHA256_LEN],
                                       const struct bb_model_fetch *limits, int *fd, struct bb_buf *reason);

#endif
