/* Making certificates: see struct bb_cert_request in cert.h. */
#include <openssl/asn1.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "crypto/cert.h"
#include "crypto/evp.h"
#include "crypto/openssl_error.h"

/* RFC 5280 section 4.1.2.2: positive, at most 20 bytes. */
#define SERIAL_LEN 19u

static bool set_serial(X509 *x509) {
    uint8_t bytes[SERIAL_LEN];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != NULL;
    BN_free(number);
    return ok;
}

static bool add_name(X509_NAME *name, const char *field, const char *value) {
    return value == NULL || X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                                       (const unsigned char *)value, -1, -1, 0) == 1;
}

static bool set_names(X509 *x509, const struct bb_cert_request *request) {
    X509_NAME *subject = X509_NAME_new();
    bool ok = subject != NULL && add_name(subject, "O", request->organization) &&
              add_name(subject, "CN", request->common_name) && X509_set_subject_name(x509, subject) == 1;
    X509_NAME_free(subject);
    if (!ok || request->issuer == NULL)
        return ok && X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1;
    struct bb_view der = bb_cert_subject_der(request->issuer);
    const unsigned char *at = der.data;
    X509_NAME *issuer = d2i_X509_NAME(NULL, &at, (long)der.len);
    ok = issuer != NULL && X509_set_issuer_name(x509, issuer) == 1;
    X509_NAME_free(issuer);
    return ok;
}

static bool set_times(X509 *x509, const struct bb_cert_request *request) {
    return ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)(request->not_before_ms / 1000)) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(request->not_after_ms / 1000)) != NULL;
}

static bool add_basic_constraints(X509 *x509, const struct bb_cert_request *request) {
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    bool ok = constraints != NULL;
    if (ok) {
        constraints->ca = request->ca ? 0xff : 0;
        if (request->ca && request->path_length >= 0) {
            constraints->pathlen = ASN1_INTEGER_new();
            ok = constraints->pathlen != NULL &&
                 ASN1_INTEGER_set_int64(constraints->pathlen, request->path_length) == 1;
        }
    }
    ok = ok && X509_add1_ext_i2d(x509, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT) == 1;
    BASIC_CONSTRAINTS_free(constraints);
    return ok;
}

/* Bit numbers of KeyUsage, RFC 5280 section 4.2.1.3. */
enum { USAGE_DIGITAL_SIGNATURE = 0, USAGE_KEY_CERT_SIGN = 5, USAGE_CRL_SIGN = 6 };

static bool add_key_usage(X509 *x509, bool ca) {
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    bool ok = usage != NULL;
    if (ok && ca)
        ok = ASN1_BIT_STRING_set_bit(usage, USAGE_KEY_CERT_SIGN, 1) == 1 &&
             ASN1_BIT_STRING_set_bit(usage, USAGE_CRL_SIGN, 1) == 1;
    else if (ok)
        ok = ASN1_BIT_STRING_set_bit(usage, USAGE_DIGITAL_SIGNATURE, 1) == 1;
    ok = ok && X509_add1_ext_i2d(x509, NID_key_usage, usage, 1, X509V3_ADD_DEFAULT) == 1;
    ASN1_BIT_STRING_free(usage);
    return ok;
}

/* RFC 5280 section 4.2.1.2, method 1: SHA-1 over the key's bits, as an identifier only. */
static bool key_identifier(EVP_PKEY *pkey, ASN1_OCTET_STRING **out) {
    X509_PUBKEY *public_key = NULL;
    const unsigned char *bits = NULL;
    int len = 0;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    ASN1_OCTET_STRING *identifier = ASN1_OCTET_STRING_new();
    bool ok = identifier != NULL && X509_PUBKEY_set(&public_key, pkey) == 1 &&
              X509_PUBKEY_get0_param(NULL, &bits, &len, NULL, public_key) == 1 &&
              EVP_Digest(bits, (size_t)len, digest, &digest_len, EVP_sha1(), NULL) == 1 &&
              ASN1_OCTET_STRING_set(identifier, digest, (int)digest_len) == 1;
    X509_PUBKEY_free(public_key);
    if (!ok) {
        ASN1_OCTET_STRING_free(identifier);
        return false;
    }
    *out = identifier;
    return true;
}

static bool add_key_identifiers(X509 *x509, const struct bb_cert_request *request) {
    ASN1_OCTET_STRING *subject = NULL;
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    bool ok = authority != NULL && key_identifier(bb_key_evp(request->subject_key), &subject) &&
              key_identifier(bb_key_evp(request->issuer_key), &authority->keyid) &&
              X509_add1_ext_i2d(x509, NID_subject_key_identifier, subject, 0, X509V3_ADD_DEFAULT) == 1 &&
              X509_add1_ext_i2d(x509, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_OCTET_STRING_free(subject);
    AUTHORITY_KEYID_free(authority);
    return ok;
}

/* Takes value over. */
static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (name == NULL || value == NULL) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool push_dns_name(GENERAL_NAMES *names, const char *text) {
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (value != NULL && ASN1_STRING_set(value, text, -1) != 1) {
        ASN1_IA5STRING_free(value);
        value = NULL;
    }
    return push_name(names, GEN_DNS, value);
}

static bool push_ip_address(GENERAL_NAMES *names, const char *text) {
    return push_name(names, GEN_IPADD, a2i_IPADDRESS(text));
}

static bool add_alternative_names(X509 *x509, const struct bb_cert_request *request) {
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names != NULL;
    for (const char *const *name = request->dns_names; ok && name != NULL && *name != NULL; name++)
        ok = push_dns_name(names, *name);
    for (const char *const *address = request->ip_addresses; ok && address != NULL && *address != NULL;
         address++)
        ok = push_ip_address(names, *address);
    if (ok && sk_GENERAL_NAME_num(names) > 0)
        ok = X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

/* extnValue holds the DER encoding of an OCTET STRING, whose content is the document. */
static bool add_evidence(X509 *x509, struct bb_view evidence) {
    if (evidence.len == 0)
        return true;
    ASN1_OBJECT *oid = OBJ_txt2obj(BB_OID_EVIDENCE, 1);
    ASN1_OCTET_STRING *content = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    unsigned char *der = NULL;
    int len = 0;
    bool ok = oid != NULL && content != NULL && value != NULL &&
              ASN1_OCTET_STRING_set(content, evidence.data, (int)evidence.len) == 1 &&
              (len = i2d_ASN1_OCTET_STRING(content, &der)) > 0 &&
              ASN1_OCTET_STRING_set(value, der, len) == 1 &&
              (extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value)) != NULL &&
              X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    OPENSSL_free(der);
    ASN1_OCTET_STRING_free(value);
    ASN1_OCTET_STRING_free(content);
    ASN1_OBJECT_free(oid);
    return ok;
}

static bool fill(X509 *x509, const struct bb_cert_request *request) {
    EVP_PKEY *issuer_key = bb_key_evp(request->issuer_key);
    const EVP_MD *digest = bb_evp_on_curve(issuer_key, BB_CURVE_P384) ? EVP_sha384() : EVP_sha256();
    return X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) && set_names(x509, request) &&
           set_times(x509, request) && X509_set_pubkey(x509, bb_key_evp(request->subject_key)) == 1 &&
           add_basic_constraints(x509, request) && add_key_usage(x509, request->ca) &&
           add_key_identifiers(x509, request) && add_alternative_names(x509, request) &&
           add_evidence(x509, request->evidence) && X509_sign(x509, issuer_key, digest) > 0;
}

enum bb_err bb_cert_make(const struct bb_cert_request *request, struct bb_buf *out) {
    if (request->evidence.len > BB_CERT_MAX)
        return BB_ERR_TOO_LARGE;
    X509 *x509 = X509_new();
    unsigned char *der = NULL;
    int len = x509 != NULL && fill(x509, request) ? i2d_X509(x509, &der) : -1;
    X509_free(x509);
    if (len <= 0)
        return bb_openssl_error(BB_ERR_CRYPTO);
    enum bb_err err = bb_buf_append(out, der, (size_t)len);
    OPENSSL_free(der);
    return err;
}
