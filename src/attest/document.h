/* An attestation document behind struct bb_document, as src/attest reads it. */
#ifndef BB_ATTEST_DOCUMENT_H
#define BB_ATTEST_DOCUMENT_H

#include "attest/text.h"
#include "attest/verdict.h"
#include <blindbox/verify.h>

/* AWS Nitro Enclaves, attestation_process.md, section 3.2 "Syntactical validation" and the document's CDDL.
 */
#define BB_DOCUMENT_CERTIFICATE_MAX 1024u
#define BB_DOCUMENT_PUBLIC_KEY_MAX  1024u
#define BB_DOCUMENT_USER_DATA_MAX   512u
#define BB_DOCUMENT_NONCE_MAX       512u
/* AWS bundles four CA certificates and sets no limit; ours is well above. */
#define BB_DOCUMENT_CABUNDLE_MAX 8u

struct bb_document {
    struct bb_buf bytes; /* a copy of the whole COSE_Sign1, into which all views point */
    char *module_id;
    char digest[BB_LINE_TEXT_MAX];
    int64_t timestamp_ms;
    const uint8_t *pcrs[BB_PCR_COUNT];
    size_t pcr_count;
    struct bb_view certificate;
    struct bb_view cabundle[BB_DOCUMENT_CABUNDLE_MAX];
    size_t cabundle_count;
    struct bb_view public_key, user_data, nonce; /* data NULL: absent */
};

/* A document that holds a copy of bytes and nothing else yet. */
BB_MUST_USE enum bb_err bb_document_new(struct bb_view bytes, struct bb_document **out);
/* Reads the fields out of the payload, which lies in document->bytes; the verdict gets one line, at least. */
BB_MUST_USE enum bb_err bb_document_read(struct bb_document *document, struct bb_view payload,
                                         struct bb_verdict *verdict);
/*
 * Reads what can be read of a payload that bb_document_read() may have refused, for showing it: each field by
 * itself, the others left empty. Judges nothing. BB_ERR_NO_MEMORY.
 */
BB_MUST_USE enum bb_err bb_document_read_leniently(struct bb_document *document, struct bb_view payload);

#endif
