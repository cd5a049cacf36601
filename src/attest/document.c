/* The attestation document as an object: see blindbox/verify.h. */
#include "attest/document.h"

#include <stdlib.h>

enum bb_err bb_document_new(struct bb_view bytes, struct bb_document **out) {
    struct bb_document *document = calloc(1, sizeof *document);
    if (document == NULL)
        return BB_ERR_NO_MEMORY;
    document->bytes = BB_BUF_INIT(BB_DOCUMENT_MAX);
    enum bb_err err = bb_buf_append(&document->bytes, bytes.data, bytes.len);
    if (err != BB_OK) {
        bb_document_free(document);
        return err;
    }
    *out = document;
    return BB_OK;
}

void bb_document_free(struct bb_document *document) {
    if (document == NULL)
        return;
    free(document->module_id);
    bb_buf_done(&document->bytes);
    free(document);
}

const char *bb_document_module_id(const struct bb_document *document) {
    return document->module_id;
}

const char *bb_document_digest(const struct bb_document *document) {
    return document->digest;
}

int64_t bb_document_timestamp_ms(const struct bb_document *document) {
    return document->timestamp_ms;
}

const uint8_t *bb_document_pcr(const struct bb_document *document, unsigned index) {
    return index < BB_PCR_COUNT ? document->pcrs[index] : NULL;
}

static const uint8_t *hand_out(struct bb_view view, size_t *len) {
    *len = view.len;
    return view.data;
}

const uint8_t *bb_document_public_key(const struct bb_document *document, size_t *len) {
    return hand_out(document->public_key, len);
}

const uint8_t *bb_document_user_data(const struct bb_document *document, size_t *len) {
    return hand_out(document->user_data, len);
}

const uint8_t *bb_document_nonce(const struct bb_document *document, size_t *len) {
    return hand_out(document->nonce, len);
}

size_t bb_document_certificate_count(const struct bb_document *document) {
    return document->cabundle_count + 1;
}

const uint8_t *bb_document_certificate(const struct bb_document *document, size_t index, size_t *len) {
    if (index < document->cabundle_count)
        return hand_out(document->cabundle[index], len);
    return hand_out(index == document->cabundle_count ? document->certificate : bb_view(NULL, 0), len);
}
