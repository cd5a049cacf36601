/* See key.h. Keys on other curves than those of enum bb_curve are refused on the way in. */
#include "crypto/key.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/evp.h"
#include "crypto/openssl_error.h"

#define HALF              (BB_ES384_SIGNATURE_LEN / 2)
#define DER_SIGNATURE_MAX 128u

struct bb_key {
    EVP_PKEY *pkey;
};

static const char *const group_names[] = {
    [BB_CURVE_P256] = "prime256v1",
    [BB_CURVE_P384] = "secp384r1",
};

bool bb_evp_on_curve(const EVP_PKEY *pkey, enum bb_curve curve) {
    char name[32];
    size_t len = 0;
    return pkey != NULL && EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof name, &len) == 1 &&
           strcmp(name, group_names[curve]) == 0;
}

/* Takes pkey over, also on failure. */
static enum bb_err wrap(EVP_PKEY *pkey, struct bb_key **out) {
    struct bb_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return BB_ERR_NO_MEMORY;
    }
    key->pkey = pkey;
    *out = key;
    return BB_OK;
}

enum bb_err bb_key_generate(enum bb_curve curve, struct bb_key **out) {
    EVP_PKEY *pkey = EVP_EC_gen(group_names[curve]);
    return pkey == NULL ? bb_openssl_error(BB_ERR_CRYPTO) : wrap(pkey, out);
}

/* Answers for encrypted files: there is no passphrase, and nobody is asked for one. */
static int no_passphrase(char *buf, int size, int writing, void *user) {
    (void)buf;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

enum bb_err bb_key_from_pem(struct bb_view pem, struct bb_key **out) {
    if (pem.len == 0 || pem.len > INT_MAX)
        return BB_ERR_PEM;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL)
        return bb_openssl_error(BB_ERR_CRYPTO);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (pkey == NULL)
        return bb_openssl_error(BB_ERR_PEM);
    if (!bb_evp_on_curve(pkey, BB_CURVE_P256) && !bb_evp_on_curve(pkey, BB_CURVE_P384)) {
        EVP_PKEY_free(pkey);
        return bb_openssl_error(BB_ERR_UNSUPPORTED);
    }
    return wrap(pkey, out);
}

enum bb_err bb_key_to_pem(const struct bb_key *key, struct bb_buf *out) {
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio == NULL)
        return bb_openssl_error(BB_ERR_CRYPTO);
    enum bb_err err;
    char *text = NULL;
    long len = 0;
    if (PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1)
        len = BIO_get_mem_data(bio, &text);
    if (len > 0)
        err = bb_buf_append(out, text, (size_t)len);
    else
        err = bb_openssl_error(BB_ERR_CRYPTO);
    if (len > 0)
        bb_wipe(text, (size_t)len);
    BIO_free(bio);
    return err;
}

enum bb_err bb_key_spki(const struct bb_key *key, struct bb_buf *out) {
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);
    if (len <= 0)
        return bb_openssl_error(BB_ERR_CRYPTO);
    enum bb_err err = bb_buf_append(out, der, (size_t)len);
    OPENSSL_free(der);
    return err;
}

/* DER SEQUENCE { r, s } to r ‖ s of fixed width. */
static enum bb_err signature_from_der(const uint8_t *der, size_t len,
                                      uint8_t signature[BB_ES384_SIGNATURE_LEN]) {
    ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &der, (long)len);
    if (parts == NULL)
        return bb_openssl_error(BB_ERR_CRYPTO);
    uint8_t raw[BB_ES384_SIGNATURE_LEN];
    bool fits = BN_bn2binpad(ECDSA_SIG_get0_r(parts), raw, HALF) == (int)HALF &&
                BN_bn2binpad(ECDSA_SIG_get0_s(parts), raw + HALF, HALF) == (int)HALF;
    ECDSA_SIG_free(parts);
    if (!fits)
        return bb_openssl_error(BB_ERR_CRYPTO);
    memcpy(signature, raw, sizeof raw);
    return BB_OK;
}

enum bb_err bb_key_sign_es384(const struct bb_key *key, struct bb_view message,
                              uint8_t signature[BB_ES384_SIGNATURE_LEN]) {
    if (!bb_evp_on_curve(key->pkey, BB_CURVE_P384))
        return BB_ERR_ARGUMENT;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t der[DER_SIGNATURE_MAX];
    size_t len = sizeof der;
    bool ok = context != NULL && EVP_DigestSignInit(context, NULL, EVP_sha384(), NULL, key->pkey) == 1 &&
              EVP_DigestSign(context, der, &len, message.data, message.len) == 1;
    EVP_MD_CTX_free(context);
    return ok ? signature_from_der(der, len, signature) : bb_openssl_error(BB_ERR_CRYPTO);
}

/* r ‖ s to DER; *out is to be freed with OPENSSL_free(). */
static enum bb_err signature_to_der(struct bb_view signature, unsigned char **out, int *len) {
    ECDSA_SIG *parts = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.data, HALF, NULL);
    BIGNUM *s = BN_bin2bn(signature.data + HALF, HALF, NULL);
    unsigned char *der = NULL;
    int der_len = -1;
    if (parts != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(parts, r, s) == 1) {
        r = s = NULL;
        der_len = i2d_ECDSA_SIG(parts, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(parts);
    if (der_len <= 0)
        return bb_openssl_error(BB_ERR_CRYPTO);
    *out = der;
    *len = der_len;
    return BB_OK;
}

enum bb_err bb_evp_verify_es384(EVP_PKEY *pkey, struct bb_view message, struct bb_view signature) {
    if (signature.len != BB_ES384_SIGNATURE_LEN)
        return BB_ERR_COSE_SIGNATURE_LENGTH;
    if (!bb_evp_on_curve(pkey, BB_CURVE_P384))
        return bb_openssl_error(BB_ERR_COSE_SIGNATURE);
    unsigned char *der = NULL;
    int len = 0;
    enum bb_err err = signature_to_der(signature, &der, &len);
    if (err != BB_OK)
        return err;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context != NULL && EVP_DigestVerifyInit(context, NULL, EVP_sha384(), NULL, pkey) == 1 &&
              EVP_DigestVerify(context, der, (size_t)len, message.data, message.len) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    return ok ? BB_OK : bb_openssl_error(BB_ERR_COSE_SIGNATURE);
}

void bb_key_free(struct bb_key *key) {
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

void bb_key_cleanup(struct bb_key **key) {
    bb_key_free(*key);
    *key = NULL;
}

EVP_PKEY *bb_key_evp(const struct bb_key *key) {
    return key->pkey;
}
