/*
 * Attestation documents as the Nitro Security Module writes them: an untagged COSE_Sign1 (RFC 9052
 * section 4.2) with ES384 over a CBOR map with the fields in AWS's order (attestation_process.md, section 3).
 */
#ifndef BB_HOST_EMULATOR_DOCUMENT_H
#define BB_HOST_EMULATOR_DOCUMENT_H

#include "host/emulator_chain.h"
#include "nsm/messages.h"

struct bb_emulator_document {
    const char *module_id;
    int64_t timestamp_ms;
    const uint8_t (*pcrs)[BB_NSM_PCR_LEN];       /* BB_NSM_PCR_COUNT of them */
    uint32_t listed;                             /* bit i: PCR i is in the document */
    const struct bb_emulator_chain *chain;       /* complete; its leaf signs */
    struct bb_view public_key, user_data, nonce; /* data NULL: null */
};

/* Appends the signed document to out. */
BB_MUST_USE enum bb_err bb_emulator_document_write(const struct bb_emulator_document *document,
                                                   struct bb_buf *out);

#endif
