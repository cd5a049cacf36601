/* The two facts that the gate needs of an attestation document, and the user_data that binds certificates. */
#ifndef BB_GATE_DOCUMENT_H
#define BB_GATE_DOCUMENT_H

#include "base/bytes.h"
#include "crypto/hash.h"

struct bb_document_facts {
    int64_t timestamp_ms;      /* wall clock of whoever signed it */
    int64_t leaf_not_after_ms; /* end of the signing certificate's life */
};

/* Reads a document that our own NSM gave us; nothing is verified. BB_ERR_DOCUMENT_FORM. */
BB_MUST_USE enum bb_err bb_document_read_facts(struct bb_view document, struct bb_document_facts *out);

/* nitriding's layout: two multihashes (0x12 0x20 and 32 bytes): SHA-256 of the certificate's DER, then of the
 * application: zeros, as none is set. */
#define BB_USER_DATA_MULTIHASH_LEN 68u
void bb_user_data_multihash(const uint8_t certificate_sha256[BB_SHA256_LEN],
                            uint8_t out[BB_USER_DATA_MULTIHASH_LEN]);
/* "sha256:" ‖ hash ‖ ";sha256:" ‖ 32 zero bytes: what clients of the nonce-less form expect. */
#define BB_USER_DATA_NAMED_LEN 79u
void bb_user_data_named(const uint8_t certificate_sha256[BB_SHA256_LEN], uint8_t out[BB_USER_DATA_NAMED_LEN]);

#endif
