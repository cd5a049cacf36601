/* Certificates in PEM (RFC 7468): see cert.h. */
#include <limits.h>
#include <openssl/pem.h>
#include <string.h>

#include "crypto/cert.h"
#include "crypto/openssl_error.h"

/* One block of any kind; BB_ERR_NOT_FOUND for other kinds than a plain certificate. */
static enum bb_err read_block(BIO *bio, struct bb_cert **out) {
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    if (PEM_read_bio(bio, &name, &header, &der, &len) != 1)
        return bb_openssl_error(BB_ERR_PEM);
    enum bb_err err = BB_ERR_NOT_FOUND;
    if (strcmp(name, PEM_STRING_X509) == 0)
        err = header[0] == '\0' ? bb_cert_parse(bb_view(der, (size_t)len), out) : BB_ERR_PEM;
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)len); /* a file may hold a private key beside the certificate */
    return err;
}

enum bb_err bb_cert_parse_pem(struct bb_view pem, struct bb_cert **out, struct bb_view *rest) {
    if (pem.len == 0 || pem.len > INT_MAX)
        return BB_ERR_PEM;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL)
        return bb_openssl_error(BB_ERR_CRYPTO);
    enum bb_err err;
    do
        err = read_block(bio, out);
    while (err == BB_ERR_NOT_FOUND);
    size_t left = BIO_ctrl_pending(bio);
    BIO_free(bio);
    if (err == BB_OK)
        *rest = bb_view(pem.data + (pem.len - left), left);
    return err;
}

enum bb_err bb_cert_der_to_pem(struct bb_view der, struct bb_buf *out) {
    if (der.len == 0 || der.len > BB_CERT_MAX)
        return BB_ERR_ARGUMENT;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL)
        return bb_openssl_error(BB_ERR_CRYPTO);
    char *text = NULL;
    long len = 0;
    if (PEM_write_bio(bio, PEM_STRING_X509, "", der.data, (long)der.len) > 0)
        len = BIO_get_mem_data(bio, &text);
    enum bb_err err = len > 0 ? bb_buf_append(out, text, (size_t)len) : bb_openssl_error(BB_ERR_CRYPTO);
    BIO_free(bio);
    return err;
}
