/* What a certificate says about its issuer and its key, in words for people: see cert.h. */
#include <openssl/x509.h>

#include "crypto/cert.h"
#include "crypto/evp.h"
#include "crypto/openssl_error.h"

/* Everything outside printable ASCII comes out escaped. */
static enum bb_err print_name(const X509_NAME *name, struct bb_buf *out) {
    unsigned long form = (XN_FLAG_RFC2253 & ~(unsigned long)XN_FLAG_SEP_MASK) | XN_FLAG_SEP_CPLUS_SPC;
    enum bb_err err = BB_ERR_NO_MEMORY;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, form) >= 0) {
        char *text;
        long len = BIO_get_mem_data(bio, &text);
        err = bb_buf_append(out, text, len > 0 ? (size_t)len : 0);
    }
    BIO_free(bio);
    return err;
}

enum bb_err bb_cert_issuer_text(const struct bb_cert *cert, struct bb_buf *out) {
    struct bb_view der = bb_cert_issuer_der(cert);
    const unsigned char *at = der.data;
    X509_NAME *name = d2i_X509_NAME(NULL, &at, (long)der.len);
    if (name == NULL)
        return bb_openssl_error(BB_ERR_CHAIN_PARSE);
    enum bb_err err = print_name(name, out);
    X509_NAME_free(name);
    return err;
}

enum bb_err bb_cert_key_text(const struct bb_cert *cert, struct bb_buf *out) {
    if (bb_cert_on_curve(cert, BB_CURVE_P384))
        return bb_buf_append_str(out, "P-384");
    if (bb_cert_on_curve(cert, BB_CURVE_P256))
        return bb_buf_append_str(out, "P-256");
    struct bb_view spki = bb_cert_spki(cert);
    const unsigned char *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (key == NULL)
        return bb_openssl_error(BB_ERR_CHAIN_PARSE);
    const char *kind = EVP_PKEY_get0_type_name(key);
    enum bb_err err =
        bb_buf_printf(out, "%s, %d bits", kind != NULL ? kind : "unknown", EVP_PKEY_get_bits(key));
    EVP_PKEY_free(key);
    return err;
}
