/* See document.h. */
#include "enclave/gate/document.h"

#include <string.h>

#include "cbor/cbor.h"
#include "crypto/cert.h"

/* COSE_Sign1: [protected, unprotected, payload, signature], with or without its tag. */
static enum bb_err find_payload(struct bb_view document, struct bb_view *payload) {
    struct bb_cbor reader;
    bb_cbor_init(&reader, document);
    enum bb_cbor_type type;
    uint64_t tag;
    enum bb_err err = bb_cbor_peek(&reader, &type);
    if (err == BB_OK && type == BB_CBOR_TAG)
        err = bb_cbor_read_tag(&reader, &tag);
    struct bb_cbor_items items;
    if (err == BB_OK)
        err = bb_cbor_enter_array(&reader, &items);
    bool more = false;
    for (int i = 0; i < 3 && err == BB_OK; i++) {
        err = bb_cbor_next(&reader, &items, &more);
        if (err == BB_OK && !more)
            err = BB_ERR_CBOR_TYPE;
        if (err == BB_OK)
            err = i < 2 ? bb_cbor_skip(&reader) : bb_cbor_read_bytes(&reader, payload);
    }
    return err;
}

enum bb_err bb_document_read_facts(struct bb_view document, struct bb_document_facts *out) {
    struct bb_view payload, leaf;
    uint64_t timestamp;
    struct bb_cbor_field fields[] = {
        {.key = "timestamp", .type = BB_CBOR_UINT, .out = &timestamp, .required = true},
        {.key = "certificate", .type = BB_CBOR_BYTES, .out = &leaf, .required = true},
    };
    if (find_payload(document, &payload) != BB_OK)
        return BB_ERR_DOCUMENT_FORM;
    struct bb_cbor reader;
    bb_cbor_init(&reader, payload);
    if (bb_cbor_read_fields(&reader, fields, 2, true) != BB_OK || timestamp > INT64_MAX / 2)
        return BB_ERR_DOCUMENT_FORM;
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    if (bb_cert_parse(leaf, &cert) != BB_OK)
        return BB_ERR_DOCUMENT_FORM;
    *out = (struct bb_document_facts){.timestamp_ms = (int64_t)timestamp,
                                      .leaf_not_after_ms = bb_cert_not_after_ms(cert)};
    return BB_OK;
}

void bb_user_data_multihash(const uint8_t certificate_sha256[BB_SHA256_LEN],
                            uint8_t out[BB_USER_DATA_MULTIHASH_LEN]) {
    static const uint8_t sha2_256[2] = {0x12, BB_SHA256_LEN};
    memset(out, 0, BB_USER_DATA_MULTIHASH_LEN);
    memcpy(out, sha2_256, 2);
    memcpy(out + 2, certificate_sha256, BB_SHA256_LEN);
    memcpy(out + 2 + BB_SHA256_LEN, sha2_256, 2);
}

void bb_user_data_named(const uint8_t certificate_sha256[BB_SHA256_LEN],
                        uint8_t out[BB_USER_DATA_NAMED_LEN]) {
    memset(out, 0, BB_USER_DATA_NAMED_LEN);
    memcpy(out, "sha256:", 7);
    memcpy(out + 7, certificate_sha256, BB_SHA256_LEN);
    memcpy(out + 7 + BB_SHA256_LEN, ";sha256:", 8);
}
