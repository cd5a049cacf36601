/* See hash.h. */
#include "crypto/hash.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/openssl_error.h"

struct bb_hash {
    EVP_MD_CTX *context;
};

static enum bb_err digest(const EVP_MD *algorithm, struct bb_view bytes, uint8_t *out, size_t out_len) {
    uint8_t value[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(bytes.data, bytes.len, value, &len, algorithm, NULL) != 1 || len != out_len)
        return bb_openssl_error(BB_ERR_CRYPTO);
    memcpy(out, value, out_len);
    return BB_OK;
}

enum bb_err bb_sha256(struct bb_view bytes, uint8_t out[BB_SHA256_LEN]) {
    return digest(EVP_sha256(), bytes, out, BB_SHA256_LEN);
}

enum bb_err bb_sha384(struct bb_view bytes, uint8_t out[BB_SHA384_LEN]) {
    return digest(EVP_sha384(), bytes, out, BB_SHA384_LEN);
}

enum bb_err bb_hash_new(enum bb_hash_algorithm algorithm, struct bb_hash **out) {
    struct bb_hash *hash = calloc(1, sizeof *hash);
    if (hash == NULL)
        return BB_ERR_NO_MEMORY;
    hash->context = EVP_MD_CTX_new();
    const EVP_MD *type = algorithm == BB_SHA256 ? EVP_sha256() : EVP_sha384();
    if (hash->context == NULL || EVP_DigestInit_ex(hash->context, type, NULL) != 1) {
        bb_hash_free(hash);
        return bb_openssl_error(BB_ERR_CRYPTO);
    }
    *out = hash;
    return BB_OK;
}

enum bb_err bb_hash_update(struct bb_hash *hash, struct bb_view bytes) {
    if (EVP_DigestUpdate(hash->context, bytes.data, bytes.len) != 1)
        return bb_openssl_error(BB_ERR_CRYPTO);
    return BB_OK;
}

enum bb_err bb_hash_final(struct bb_hash *hash, uint8_t *out) {
    uint8_t value[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_DigestFinal_ex(hash->context, value, &len) != 1)
        return bb_openssl_error(BB_ERR_CRYPTO);
    memcpy(out, value, len);
    return BB_OK;
}

void bb_hash_free(struct bb_hash *hash) {
    if (hash == NULL)
        return;
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

enum bb_err bb_pcr_extend(uint8_t pcr[BB_SHA384_LEN], struct bb_view data) {
    struct bb_hash *hash;
    enum bb_err err = bb_hash_new(BB_SHA384, &hash);
    if (err != BB_OK)
        return err;
    err = bb_hash_update(hash, bb_view(pcr, BB_SHA384_LEN));
    if (err == BB_OK)
        err = bb_hash_update(hash, data);
    if (err == BB_OK)
        err = bb_hash_final(hash, pcr);
    bb_hash_free(hash);
    return err;
}

enum bb_err bb_random(uint8_t *out, size_t len) {
    if (len > INT_MAX)
        return BB_ERR_TOO_LARGE;
    if (RAND_bytes(out, (int)len) != 1)
        return bb_openssl_error(BB_ERR_CRYPTO);
    return BB_OK;
}
