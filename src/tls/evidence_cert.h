/* The evidence certificate: a TLS certificate that carries the attestation document of its own key
 * (docs/ARCHITECTURE.md section 4). */
#ifndef BB_TLS_EVIDENCE_CERT_H
#define BB_TLS_EVIDENCE_CERT_H

#include "base/bytes.h"
#include "crypto/key.h"

/* Validity around the document's time. Clients judge freshness by the document. */
#define BB_EVIDENCE_CERT_BEFORE_MS (5 * INT64_C(60000))
#define BB_EVIDENCE_CERT_AFTER_MS  (24 * INT64_C(3600000))

/*
 * Appends the DER of a self-signed certificate for key, whose evidence extension is document. document_ms is
 * the document's own time. Errors: those of bb_cert_make().
 */
BB_MUST_USE enum bb_err bb_evidence_cert_make(const struct bb_key *key, struct bb_view document,
                                              int64_t document_ms, struct bb_buf *der);

#endif
