/*
 * Parsing certificates: see cert.h. Every byte comes from a peer; what is not the one DER encoding of an
 * X.509 v3 certificate is refused, and everything that a caller may ask is taken out here, once.
 */
#include "crypto/cert.h"

#include <limits.h>
#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/evp.h"
#include "crypto/openssl_error.h"

#define TEXT_MAX 256u

struct bb_cert {
    X509 *x509;
    struct bb_buf der;
    unsigned char *spki;
    int spki_len;
    struct bb_view subject, issuer;
    char subject_text[TEXT_MAX], common_name[TEXT_MAX];
    int64_t not_before_ms, not_after_ms;
};

static bool parse_time(const ASN1_TIME *time, int64_t *out_ms) {
    struct tm broken_down;
    if (time == NULL || ASN1_TIME_to_tm(time, &broken_down) != 1)
        return false;
    *out_ms = (int64_t)timegm(&broken_down) * 1000;
    return true;
}

static bool name_der(const X509_NAME *name, struct bb_view *out) {
    const unsigned char *der = NULL;
    size_t len = 0;
    if (name == NULL || X509_NAME_get0_der(name, &der, &len) != 1)
        return false;
    *out = bb_view(der, len);
    return true;
}

/* Takes bio over. */
static bool take_text(BIO *bio, bool written, char out[TEXT_MAX]) {
    bool ok = written;
    if (ok && BIO_pending(bio) > 0)
        ok = BIO_read(bio, out, TEXT_MAX - 1) > 0;
    BIO_free(bio);
    return ok;
}

/* Everything outside printable ASCII comes out escaped: the text goes into people's terminals. */
static bool describe_subject(struct bb_cert *cert) {
    const X509_NAME *name = X509_get_subject_name(cert->x509);
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned long form = (XN_FLAG_RFC2253 & ~(unsigned long)XN_FLAG_SEP_MASK) | XN_FLAG_SEP_CPLUS_SPC;
    return bio != NULL && take_text(bio, X509_NAME_print_ex(bio, name, 0, form) >= 0, cert->subject_text);
}

static bool describe_common_name(struct bb_cert *cert) {
    const X509_NAME *name = X509_get_subject_name(cert->x509);
    int at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, -1);
    if (at < 0) {
        memcpy(cert->common_name, cert->subject_text, TEXT_MAX);
        return true;
    }
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    BIO *bio = BIO_new(BIO_s_mem());
    return bio != NULL &&
           take_text(bio, ASN1_STRING_print_ex(bio, value, ASN1_STRFLGS_RFC2253) >= 0, cert->common_name);
}

/*
 * OpenSSL accepts some encodings that are not DER; all that are not signed over must come out as they went in
 * (what is signed over cannot have been changed by anybody but the signer).
 */
static bool is_canonical(const X509 *x509, struct bb_view der) {
    unsigned char *again = NULL;
    int len = i2d_X509((X509 *)(uintptr_t)x509, &again);
    bool same = len > 0 && bb_view_equal(bb_view(again, (size_t)len), der);
    OPENSSL_free(again);
    return same;
}

static enum bb_err fill(struct bb_cert *cert, struct bb_view der) {
    const unsigned char *at = der.data;
    enum bb_err err = bb_buf_append(&cert->der, der.data, der.len);
    if (err != BB_OK)
        return err;
    cert->x509 = d2i_X509(NULL, &at, (long)der.len);
    if (cert->x509 == NULL || at != der.data + der.len || !is_canonical(cert->x509, der))
        return bb_openssl_error(BB_ERR_CHAIN_PARSE);
    cert->spki_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert->x509), &cert->spki);
    uint32_t flags = X509_get_extension_flags(cert->x509);
    bool ok = cert->spki_len > 0 && X509_get_version(cert->x509) == X509_VERSION_3 &&
              (flags & EXFLAG_INVALID) == 0 && X509_get0_pubkey(cert->x509) != NULL &&
              name_der(X509_get_subject_name(cert->x509), &cert->subject) &&
              name_der(X509_get_issuer_name(cert->x509), &cert->issuer) &&
              parse_time(X509_get0_notBefore(cert->x509), &cert->not_before_ms) &&
              parse_time(X509_get0_notAfter(cert->x509), &cert->not_after_ms) && describe_subject(cert) &&
              describe_common_name(cert);
    return ok ? BB_OK : bb_openssl_error(BB_ERR_CHAIN_PARSE);
}

enum bb_err bb_cert_parse(struct bb_view der, struct bb_cert **out) {
    if (der.len == 0 || der.len > BB_CERT_MAX)
        return BB_ERR_CHAIN_PARSE;
    struct bb_cert *cert = calloc(1, sizeof *cert);
    if (cert == NULL)
        return BB_ERR_NO_MEMORY;
    cert->der = BB_BUF_INIT(BB_CERT_MAX);
    enum bb_err err = fill(cert, der);
    if (err != BB_OK) {
        bb_cert_free(cert);
        return err;
    }
    *out = cert;
    return BB_OK;
}

void bb_cert_free(struct bb_cert *cert) {
    if (cert == NULL)
        return;
    OPENSSL_free(cert->spki);
    X509_free(cert->x509);
    bb_buf_done(&cert->der);
    free(cert);
}

void bb_cert_cleanup(struct bb_cert **cert) {
    bb_cert_free(*cert);
    *cert = NULL;
}

struct bb_view bb_cert_der(const struct bb_cert *cert) {
    return bb_buf_view(&cert->der);
}

struct bb_view bb_cert_spki(const struct bb_cert *cert) {
    return bb_view(cert->spki, (size_t)cert->spki_len);
}

struct bb_view bb_cert_subject_der(const struct bb_cert *cert) {
    return cert->subject;
}

struct bb_view bb_cert_issuer_der(const struct bb_cert *cert) {
    return cert->issuer;
}

const char *bb_cert_subject_text(const struct bb_cert *cert) {
    return cert->subject_text;
}

const char *bb_cert_common_name(const struct bb_cert *cert) {
    return cert->common_name;
}

int64_t bb_cert_not_before_ms(const struct bb_cert *cert) {
    return cert->not_before_ms;
}

int64_t bb_cert_not_after_ms(const struct bb_cert *cert) {
    return cert->not_after_ms;
}

bool bb_cert_is_ca(const struct bb_cert *cert) {
    uint32_t wanted = EXFLAG_BCONS | EXFLAG_CA;
    return (X509_get_extension_flags(cert->x509) & wanted) == wanted;
}

int bb_cert_path_length(const struct bb_cert *cert) {
    long length = X509_get_pathlen(cert->x509);
    return length > INT_MAX ? INT_MAX : (int)length;
}

bool bb_cert_on_curve(const struct bb_cert *cert, enum bb_curve curve) {
    return bb_evp_on_curve(X509_get0_pubkey(cert->x509), curve);
}

bool bb_cert_may_sign_certificates(const struct bb_cert *cert) {
    bool stated = (X509_get_extension_flags(cert->x509) & EXFLAG_KUSAGE) != 0;
    return stated && (X509_get_key_usage(cert->x509) & KU_KEY_CERT_SIGN) != 0;
}

bool bb_cert_may_sign_data(const struct bb_cert *cert) {
    return (X509_get_key_usage(cert->x509) & KU_DIGITAL_SIGNATURE) != 0;
}

/* Known are those that this folder's getters answer for; OpenSSL's own list is longer than what is enforced.
 */
bool bb_cert_has_unknown_critical(const struct bb_cert *cert) {
    for (int i = 0; i < X509_get_ext_count(cert->x509); i++) {
        X509_EXTENSION *extension = X509_get_ext(cert->x509, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        if (X509_EXTENSION_get_critical(extension) && nid != NID_basic_constraints && nid != NID_key_usage)
            return true;
    }
    return false;
}

static enum bb_err find_extension(const X509 *x509, const char *oid, X509_EXTENSION **out) {
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    if (object == NULL)
        return bb_openssl_error(BB_ERR_ARGUMENT);
    int at = X509_get_ext_by_OBJ(x509, object, -1);
    bool twice = at >= 0 && X509_get_ext_by_OBJ(x509, object, at) >= 0;
    ASN1_OBJECT_free(object);
    if (at < 0)
        return BB_ERR_NOT_FOUND;
    if (twice)
        return BB_ERR_CHAIN_PARSE;
    *out = X509_get_ext(x509, at);
    return BB_OK;
}

/* The definite-length DER head of an OCTET STRING, read in place so that the content can be borrowed. */
static enum bb_err octet_string_content(struct bb_view der, struct bb_view *out) {
    const unsigned char *at = der.data;
    long len = 0;
    int tag = 0, class = 0;
    int form = ASN1_get_object(&at, &len, &tag, &class, (long)der.len);
    if (form != 0 || tag != V_ASN1_OCTET_STRING || class != V_ASN1_UNIVERSAL ||
        at + len != der.data + der.len)
        return bb_openssl_error(BB_ERR_CHAIN_PARSE);
    *out = bb_view(at, (size_t)len);
    return BB_OK;
}

enum bb_err bb_cert_extension(const struct bb_cert *cert, const char *oid, struct bb_view *out) {
    X509_EXTENSION *extension = NULL;
    enum bb_err err = find_extension(cert->x509, oid, &extension);
    if (err != BB_OK)
        return err;
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    return octet_string_content(bb_view(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)),
                                out);
}

enum bb_err bb_cert_check_signature(const struct bb_cert *cert, const struct bb_cert *issuer) {
    int algorithm = X509_get_signature_nid(cert->x509);
    if (algorithm != NID_ecdsa_with_SHA384 && algorithm != NID_ecdsa_with_SHA256)
        return BB_ERR_CHAIN_SIGNATURE;
    if (X509_verify(cert->x509, X509_get0_pubkey(issuer->x509)) != 1)
        return bb_openssl_error(BB_ERR_CHAIN_SIGNATURE);
    return BB_OK;
}

enum bb_err bb_cert_verify_es384(const struct bb_cert *cert, struct bb_view message,
                                 struct bb_view signature) {
    return bb_evp_verify_es384(X509_get0_pubkey(cert->x509), message, signature);
}
