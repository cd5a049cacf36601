/* X.509 certificates (RFC 5280): parsing into what a verifier asks, and making them. Pure: no clock, no
 * files. */
#ifndef BB_CRYPTO_CERT_H
#define BB_CRYPTO_CERT_H

#include "base/bytes.h"
#include "crypto/hash.h"
#include "crypto/key.h"

#define BB_CERT_MAX 32768u /* bytes of DER; larger certificates are refused */

/*
 * The extension that carries attestation evidence in a TLS certificate: the DER encoding of an OCTET STRING
 * whose content is the attestation document (COSE_Sign1, untagged CBOR), not critical. The identifier is a
 * UUID-based one (ITU-T X.667), which needs no registration: urn:uuid:0ea9d94c-c82b-4e5c-a9b6-f0a5d5c6c9f2.
 */
#define BB_OID_EVIDENCE "2.25.19491097476254907414874394232724310514"

struct bb_cert;

BB_MUST_USE enum bb_err bb_cert_parse(struct bb_view der,
                                      struct bb_cert **out); /* trailing bytes: BB_ERR_CHAIN_PARSE */
/* The first certificate of a PEM file; *rest is what follows it (empty at the end). BB_ERR_PEM when there is
 * none. */
BB_MUST_USE enum bb_err bb_cert_parse_pem(struct bb_view pem, struct bb_cert **out, struct bb_view *rest);
void bb_cert_free(struct bb_cert *cert);
void bb_cert_cleanup(struct bb_cert **cert);
#define BB_CLEANUP_CERT __attribute__((cleanup(bb_cert_cleanup)))

/* Views live as long as the certificate. */
struct bb_view bb_cert_der(const struct bb_cert *cert);
struct bb_view bb_cert_spki(const struct bb_cert *cert);
struct bb_view bb_cert_subject_der(const struct bb_cert *cert);
struct bb_view bb_cert_issuer_der(const struct bb_cert *cert);
/* One line, "CN=…, O=…", for people; at most 255 bytes, printable ASCII only (the rest escaped as in RFC
 * 2253). */
const char *bb_cert_subject_text(const struct bb_cert *cert);
/* The same for its CN alone; all of it when it has none. */
const char *bb_cert_common_name(const struct bb_cert *cert);
/* Appended, for people: the issuer in the form of bb_cert_subject_text(), uncut; the key's kind ("P-384",
 * "RSA, 2048 bits"). */
BB_MUST_USE enum bb_err bb_cert_issuer_text(const struct bb_cert *cert, struct bb_buf *out);
BB_MUST_USE enum bb_err bb_cert_key_text(const struct bb_cert *cert, struct bb_buf *out);
int64_t bb_cert_not_before_ms(const struct bb_cert *cert);
int64_t bb_cert_not_after_ms(const struct bb_cert *cert);
bool bb_cert_is_ca(const struct bb_cert *cert);
int bb_cert_path_length(const struct bb_cert *cert); /* -1: no constraint */
bool bb_cert_on_curve(const struct bb_cert *cert, enum bb_curve curve);
bool bb_cert_may_sign_certificates(const struct bb_cert *cert); /* keyUsage keyCertSign (absent: false) */
bool bb_cert_may_sign_data(const struct bb_cert *cert);         /* keyUsage digitalSignature (absent: true) */
/* Known are basicConstraints and keyUsage, which the getters above answer for. */
bool bb_cert_has_unknown_critical(const struct bb_cert *cert);
/*
 * The content of an extension whose value is an OCTET STRING. BB_ERR_NOT_FOUND; another type of value or
 * twice the same extension: BB_ERR_CHAIN_PARSE.
 */
BB_MUST_USE enum bb_err bb_cert_extension(const struct bb_cert *cert, const char *oid, struct bb_view *out);
/* Is cert's signature made by issuer's key? With ecdsa-with-SHA384 or -SHA256 only. BB_ERR_CHAIN_SIGNATURE.
 */
BB_MUST_USE enum bb_err bb_cert_check_signature(const struct bb_cert *cert, const struct bb_cert *issuer);
/* ES384 signature r ‖ s over message by the certificate's key. BB_ERR_COSE_SIGNATURE_LENGTH, _SIGNATURE. */
BB_MUST_USE enum bb_err bb_cert_verify_es384(const struct bb_cert *cert, struct bb_view message,
                                             struct bb_view signature);

/* What to put into a new certificate. */
struct bb_cert_request {
    const char *common_name;
    const char *organization; /* may be NULL */
    const struct bb_key *subject_key;
    const struct bb_key *issuer_key; /* the same as subject_key: self-signed */
    const struct bb_cert *issuer;    /* NULL: self-signed */
    int64_t not_before_ms, not_after_ms;
    bool ca;
    int path_length;                 /* -1: none */
    const char *const *dns_names;    /* subjectAltName, NULL-terminated, may be NULL */
    const char *const *ip_addresses; /* the same, textual */
    struct bb_view evidence;         /* content of BB_OID_EVIDENCE, empty: none */
};
/* Signs with ECDSA and the digest of the issuer's curve's size; serial number random; appends DER to out. */
BB_MUST_USE enum bb_err bb_cert_make(const struct bb_cert_request *request, struct bb_buf *out);
BB_MUST_USE enum bb_err bb_cert_der_to_pem(struct bb_view der, struct bb_buf *out);

#endif
