/*
 * bb_document_parse_unverified(): see blindbox/verify.h. Reads a document for people to look at and believes
 * nothing in it.
 */
#include "attest/cose.h"
#include "attest/document.h"

static enum bb_err read_all(struct bb_document *document) {
    struct bb_cose cose;
    const char *reason;
    enum bb_err err = bb_cose_read(bb_buf_view(&document->bytes), &cose, &reason);
    return err == BB_OK ? bb_document_read_leniently(document, cose.payload) : err;
}

enum bb_err bb_document_parse_unverified(const uint8_t *bytes, size_t len, struct bb_document **document) {
    struct bb_document *parsed;
    if (document == NULL || (bytes == NULL && len > 0))
        return BB_ERR_ARGUMENT;
    if (len > BB_DOCUMENT_MAX)
        return BB_ERR_TOO_LARGE;
    enum bb_err err = bb_document_new(bb_view(bytes, len), &parsed);
    if (err != BB_OK)
        return err;
    err = read_all(parsed);
    if (err == BB_OK)
        *document = parsed;
    else
        bb_document_free(parsed);
    return err;
}
