/*
 * Verification of attestation evidence: pure functions of bytes, a clock value and a policy. They log
 * nothing, open nothing and keep nothing.
 *
 * Not verified here: that the enclave's code does what its source says (compare PCRs with a build you made or
 * trust), that the parent instance delivers anything at all, and revocation of AWS's certificates (leaves
 * live about 3 hours).
 */
#ifndef BLINDBOX_VERIFY_H
#define BLINDBOX_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blindbox/error.h>
#include <blindbox/policy.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* A parsed attestation document. Every pointer that a getter returns lives as long as the document. */
struct bb_document;

void bb_document_free(struct bb_document *document);
const char *bb_document_module_id(const struct bb_document *document);
const char *bb_document_digest(const struct bb_document *document);   /* "SHA384" */
int64_t bb_document_timestamp_ms(const struct bb_document *document); /* since 1970-01-01T00:00:00Z */
/* BB_PCR_LEN bytes, or NULL when the document has no such PCR. */
const uint8_t *bb_document_pcr(const struct bb_document *document, unsigned index);
/* Optional fields: NULL and *len = 0 when absent or null. */
const uint8_t *bb_document_public_key(const struct bb_document *document, size_t *len);
const uint8_t *bb_document_user_data(const struct bb_document *document, size_t *len);
const uint8_t *bb_document_nonce(const struct bb_document *document, size_t *len);
/* Certificates, root first, leaf last; DER. */
size_t bb_document_certificate_count(const struct bb_document *document);
const uint8_t *bb_document_certificate(const struct bb_document *document, size_t index, size_t *len);

/*
 * The list of what was checked, in order, each passed or failed with its own code and a sentence that names
 * expected and actual. Everything that can still be judged after a failure is judged, so the list may hold
 * several failures; the first is the cause.
 */
struct bb_report;

struct bb_report *bb_report_new(void); /* NULL when out of memory */
void bb_report_free(struct bb_report *report);
size_t bb_report_count(const struct bb_report *report);
/* The i-th check: a short name ("PCR0"), its code (BB_OK: passed) and its sentence; NULL sentence never. */
const char *bb_report_name(const struct bb_report *report, size_t i);
enum bb_err bb_report_err(const struct bb_report *report, size_t i);
const char *bb_report_sentence(const struct bb_report *report, size_t i);
/* The first failure's sentence ("PCR0 is ab12…, expected cd34…"), or NULL when nothing failed. */
const char *bb_report_failure(const struct bb_report *report);

/* What the document must carry besides the policy's demands. A NULL pointer means: not asked for. */
struct bb_expectation {
    const uint8_t *public_key; /* the document's public_key must be exactly these bytes */
    size_t public_key_len;
    const uint8_t *nonce;
    size_t nonce_len;
    const uint8_t *user_data;
    size_t user_data_len;
};

/*
 * Judges one attestation document (COSE_Sign1, tagged or not; at most BB_DOCUMENT_MAX bytes) at time now_ms.
 * now_ms is milliseconds since 1970-01-01T00:00:00Z. On BB_OK *document is the parsed document, to be
 * freed. On failure it is left untouched; the code is the first failure's. report may be NULL; what it held
 * is replaced.
 */
#define BB_DOCUMENT_MAX 16384u
BB_MUST_USE enum bb_err bb_verify_document(const uint8_t *bytes, size_t len, const struct bb_policy *policy,
                                           const struct bb_expectation *expectation, int64_t now_ms,
                                           struct bb_report *report, struct bb_document **document);

/*
 * Judges a server's evidence certificate (DER; docs/ARCHITECTURE.md, "Evidence certificate"): self-signed,
 * P-256, valid at now_ms, with a document in its extension whose public_key is the certificate's own
 * SubjectPublicKeyInfo. The caller must get the certificate from a TLS 1.3 handshake: only the handshake
 * proves possession of the key.
 */
BB_MUST_USE enum bb_err bb_verify_certificate(const uint8_t *der, size_t len, const struct bb_policy *policy,
                                              int64_t now_ms, struct bb_report *report,
                                              struct bb_document **document);

/*
 * For showing a document to people, and for nothing else: NOTHING IN IT IS VERIFIED, neither its signature
 * nor its age nor that it ever came from an enclave; anybody can write such bytes. Decide by
 * bb_verify_document() alone. Gives out whatever can be read, also of documents that a verification refuses:
 * what cannot be read is as if absent (module_id NULL, digest "", timestamp 0, PCRs and certificates NULL),
 * and texts may hold any characters but NUL. Fails, leaving *document untouched, when the bytes are not one
 * COSE_Sign1 message: BB_ERR_TRUNCATED, BB_ERR_TRAILING, BB_ERR_COSE_FORM, BB_ERR_TOO_LARGE; or
 * BB_ERR_NO_MEMORY.
 */
BB_MUST_USE enum bb_err bb_document_parse_unverified(const uint8_t *bytes, size_t len,
                                                     struct bb_document **document);

/* What fresh evidence must be bound to: the caller's own view of its TLS 1.3 connection. */
#define BB_NONCE_MIN    16u /* bytes */
#define BB_NONCE_MAX    64u
#define BB_EXPORTER_LEN 32u
struct bb_binding {
    const uint8_t *nonce; /* as sent, BB_NONCE_MIN to BB_NONCE_MAX bytes, never used before */
    size_t nonce_len;
    const uint8_t *exporter;    /* tls-exporter (RFC 9266), BB_EXPORTER_LEN bytes */
    const uint8_t *certificate; /* of the server, DER, as received in this connection's handshake */
    size_t certificate_len;
};

/*
 * Judges fresh evidence: the answer to POST /.well-known/blindbox/evidence on the connection that binding
 * describes. Everything that bb_verify_document() checks, and: the document's public_key is the certificate's
 * key (BB_ERR_KEY_BINDING: evidence of another enclave or key), its nonce is the one that was sent
 * (BB_ERR_NONCE: evidence of an earlier connection or request), and its user_data is "BBEVID01" (else
 * BB_ERR_USER_DATA), the exporter (BB_ERR_CHANNEL_BINDING: evidence of another connection, as a relay passes
 * on), the SHA-256 of the SubjectPublicKeyInfo (BB_ERR_KEY_BINDING) and the SHA-256 of the certificate
 * (BB_ERR_CERTIFICATE_BINDING). The certificate itself is judged by bb_verify_certificate() alone.
 * BB_ERR_ARGUMENT: a binding that lacks something.
 */
BB_MUST_USE enum bb_err bb_verify_fresh(const uint8_t *bytes, size_t len, const struct bb_policy *policy,
                                        const struct bb_binding *binding, int64_t now_ms,
                                        struct bb_report *report, struct bb_document **document);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
