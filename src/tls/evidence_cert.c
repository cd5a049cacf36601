/* See evidence_cert.h. */
#include "tls/evidence_cert.h"

#include "crypto/cert.h"

enum bb_err bb_evidence_cert_make(const struct bb_key *key, struct bb_view document, int64_t document_ms,
                                  struct bb_buf *der) {
    static const char *const dns_names[] = {"localhost", NULL};
    static const char *const ip_addresses[] = {"127.0.0.1", "::1", NULL};
    if (document.len == 0)
        return BB_ERR_ARGUMENT;
    const struct bb_cert_request request = {
        .common_name = "BlindBox enclave",
        .subject_key = key,
        .issuer_key = key,
        .not_before_ms = document_ms - BB_EVIDENCE_CERT_BEFORE_MS,
        .not_after_ms = document_ms + BB_EVIDENCE_CERT_AFTER_MS,
        .path_length = -1,
        .dns_names = dns_names,
        .ip_addresses = ip_addresses,
        .evidence = document,
    };
    return bb_cert_make(&request, der);
}
