/*
 * The content-addressed cache of model weights: DIR/sha256/<64 hex>, one read-only file per model, named by
 * the SHA-256 of its content.
 *
 * What is in the directory is trusted as little as the store that hands it out: the enclave hashes what it
 * gets. Importing checks, so that a damaged file is replaced by a good one.
 */
#ifndef BB_HOST_MODEL_CACHE_H
#define BB_HOST_MODEL_CACHE_H

#include "base/bytes.h"
#include "crypto/hash.h"

struct bb_model_cache;

/* Makes DIR and DIR/sha256 where missing (0700). BB_ERR_IO. */
BB_MUST_USE enum bb_err bb_model_cache_new(const char *dir, struct bb_model_cache **out);
void bb_model_cache_free(struct bb_model_cache *cache);
void bb_model_cache_cleanup(struct bb_model_cache **cache);
#define BB_CLEANUP_MODEL_CACHE __attribute__((cleanup(bb_model_cache_cleanup)))

/*
 * Puts a copy of a file into the cache, unless it is there already with the right content; *digest and *size
 * are the file's. Interrupted at any point, the cache holds either the whole file under its name or nothing.
 * BB_ERR_NOT_FOUND, BB_ERR_IO.
 */
BB_MUST_USE enum bb_err bb_model_cache_import(struct bb_model_cache *cache, const char *path,
                                              uint8_t digest[BB_SHA256_LEN], uint64_t *size);

/* Opens a model for reading. BB_ERR_NOT_FOUND when the cache has none of that name (or not a regular file).
 */
BB_MUST_USE enum bb_err bb_model_cache_open(struct bb_model_cache *cache, const uint8_t digest[BB_SHA256_LEN],
                                            int *fd, uint64_t *size);

#endif
