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

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
