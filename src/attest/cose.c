/* See cose.h. Every byte comes from a peer; nothing in the unprotected header is believed. */
#include "attest/cose.h"

#include "cbor/cbor.h"
#include <blindbox/verify.h>

/* RFC 9052 section 3.1 */
enum { LABEL_ALGORITHM = 1, LABEL_CRITICAL = 2 };

/* A label is an integer or a text. */
struct label {
    int64_t number;
    struct bb_view text; /* data NULL: a number */
};

struct headers {
    struct label labels[BB_COSE_MAX_HEADERS];
    size_t count;
};

static bool same_label(const struct label *a, const struct label *b) {
    if ((a->text.data == NULL) != (b->text.data == NULL))
        return false;
    return a->text.data == NULL ? a->number == b->number : bb_view_equal(a->text, b->text);
}

/* Labels must be unique across both headers (RFC 9052 section 3). */
static enum bb_err remember_label(struct headers *headers, const struct label *label) {
    for (size_t i = 0; i < headers->count; i++)
        if (same_label(&headers->labels[i], label))
            return BB_ERR_CBOR_DUPLICATE;
    if (headers->count == BB_COSE_MAX_HEADERS)
        return BB_ERR_TOO_LARGE;
    headers->labels[headers->count++] = *label;
    return BB_OK;
}

static enum bb_err read_label(struct bb_cbor *reader, struct label *out) {
    enum bb_cbor_type type;
    enum bb_err err = bb_cbor_peek(reader, &type);
    if (err != BB_OK)
        return err;
    struct label label = {0};
    err = type == BB_CBOR_TEXT ? bb_cbor_read_text(reader, &label.text)
                               : bb_cbor_read_int(reader, &label.number);
    if (err == BB_OK)
        *out = label;
    return err;
}

/* The algorithm may also be a text (RFC 9053 section 2), which none that we accept is. */
static enum bb_err read_parameter(struct bb_cbor *reader, const struct label *label, bool is_protected,
                                  struct bb_cose *cose) {
    enum bb_cbor_type type;
    enum bb_err err = bb_cbor_peek(reader, &type);
    if (err != BB_OK)
        return err;
    bool number = type == BB_CBOR_UINT || type == BB_CBOR_NEGATIVE;
    if (label->text.data == NULL && label->number == LABEL_CRITICAL)
        cose->has_critical = true;
    if (is_protected && number && label->text.data == NULL && label->number == LABEL_ALGORITHM) {
        cose->has_algorithm = true;
        return bb_cbor_read_int(reader, &cose->algorithm);
    }
    return bb_cbor_skip(reader);
}

static enum bb_err read_header(struct bb_cbor *reader, bool is_protected, struct headers *headers,
                               struct bb_cose *cose) {
    struct bb_cbor_items items;
    enum bb_err err = bb_cbor_enter_map(reader, &items);
    if (err != BB_OK)
        return err;
    for (;;) {
        bool more;
        struct label label;
        err = bb_cbor_next(reader, &items, &more);
        if (err != BB_OK || !more)
            return err;
        err = read_label(reader, &label);
        if (err == BB_OK)
            err = remember_label(headers, &label);
        if (err == BB_OK)
            err = read_parameter(reader, &label, is_protected, cose);
        if (err != BB_OK)
            return err;
    }
}

/* An empty byte string stands for an empty map. */
static enum bb_err read_protected(struct bb_cbor *reader, struct headers *headers, struct bb_cose *cose) {
    enum bb_err err = bb_cbor_read_bytes(reader, &cose->protected_header);
    if (err != BB_OK || cose->protected_header.len == 0)
        return err;
    struct bb_cbor inner;
    bb_cbor_init(&inner, cose->protected_header);
    err = read_header(&inner, true, headers, cose);
    if (err == BB_OK)
        err = bb_cbor_finish(&inner);
    /* What ends too early or too late in here does not in the message as a whole. */
    return err == BB_ERR_TRUNCATED || err == BB_ERR_TRAILING ? BB_ERR_CBOR : err;
}

static enum bb_err read_start(struct bb_cbor *reader, struct bb_cbor_items *items, bool *tagged) {
    enum bb_cbor_type type;
    enum bb_err err = bb_cbor_peek(reader, &type);
    if (err != BB_OK)
        return err;
    *tagged = type == BB_CBOR_TAG;
    uint64_t tag = BB_COSE_TAG_SIGN1;
    if (*tagged)
        err = bb_cbor_read_tag(reader, &tag);
    if (err != BB_OK)
        return err;
    return tag == BB_COSE_TAG_SIGN1 ? bb_cbor_enter_array(reader, items) : BB_ERR_COSE_FORM;
}

static enum bb_err expect_item(struct bb_cbor *reader, struct bb_cbor_items *items, bool expected) {
    bool more;
    enum bb_err err = bb_cbor_next(reader, items, &more);
    return err == BB_OK && more != expected ? BB_ERR_COSE_FORM : err;
}

static enum bb_err read_parts(struct bb_cbor *reader, struct bb_cose *cose, const char **part) {
    struct headers headers = {0};
    struct bb_cbor_items items;
    *part = "it is not an array of four, tagged 18 or not at all";
    enum bb_err err = read_start(reader, &items, &cose->tagged);
    if (err == BB_OK)
        err = expect_item(reader, &items, true);
    if (err != BB_OK)
        return err;
    *part = "its protected header is not a byte string with one map of distinct labels";
    err = read_protected(reader, &headers, cose);
    if (err == BB_OK)
        err = expect_item(reader, &items, true);
    if (err != BB_OK)
        return err;
    *part = "its unprotected header is not a map of labels that the protected one lacks";
    err = read_header(reader, false, &headers, cose);
    if (err == BB_OK)
        err = expect_item(reader, &items, true);
    if (err != BB_OK)
        return err;
    *part = "its payload is not a byte string";
    err = bb_cbor_read_bytes(reader, &cose->payload);
    if (err == BB_OK)
        err = expect_item(reader, &items, true);
    if (err != BB_OK)
        return err;
    *part = "its signature is not a byte string";
    err = bb_cbor_read_bytes(reader, &cose->signature);
    if (err != BB_OK)
        return err;
    *part = "it has more than four parts";
    return expect_item(reader, &items, false);
}

enum bb_err bb_cose_read(struct bb_view bytes, struct bb_cose *out, const char **reason) {
    struct bb_cbor reader;
    struct bb_cose cose = {0};
    const char *part;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = read_parts(&reader, &cose, &part);
    if (err == BB_OK)
        err = bb_cbor_finish(&reader);
    if (err == BB_OK) {
        *out = cose;
        return BB_OK;
    }
    bool ends_wrong = err == BB_ERR_TRUNCATED || err == BB_ERR_TRAILING;
    *reason = ends_wrong ? bb_err_sentence(err) : part;
    return ends_wrong ? err : BB_ERR_COSE_FORM;
}

enum bb_err bb_cose_check(const struct bb_cose *cose, struct bb_verdict *verdict) {
    enum bb_err err = BB_OK;
    if (!cose->has_algorithm)
        err = bb_verdict_fail(verdict, BB_ERR_COSE_ALGORITHM, "Algorithm",
                              "the protected header names no algorithm, expected ES384 (-35)");
    else if (cose->algorithm != BB_COSE_ALG_ES384)
        err = bb_verdict_fail(verdict, BB_ERR_COSE_ALGORITHM, "Algorithm",
                              "the signature algorithm is %lld, expected ES384 (-35)",
                              (long long)cose->algorithm);
    else
        bb_verdict_pass(verdict, "Algorithm", "the signature algorithm is ES384 (ECDSA on P-384, SHA-384)");
    if (cose->has_critical)
        err = bb_verdict_fail(verdict, BB_ERR_COSE_CRITICAL, "Critical headers",
                              "a header marks parameters as critical, and none is known here");
    if (cose->signature.len != BB_ES384_SIGNATURE_LEN)
        err = bb_verdict_fail(verdict, BB_ERR_COSE_SIGNATURE_LENGTH, "Signature length",
                              "the signature is %zu bytes long, expected %u", cose->signature.len,
                              BB_ES384_SIGNATURE_LEN);
    return err;
}

enum bb_err bb_cose_verify(const struct bb_cose *cose, const struct bb_cert *leaf) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_DOCUMENT_MAX + 64);
    enum bb_err err = bb_cbor_put_array(&message, 4);
    if (err == BB_OK)
        err = bb_cbor_put_text(&message, "Signature1");
    if (err == BB_OK)
        err = bb_cbor_put_bytes(&message, cose->protected_header);
    if (err == BB_OK)
        err = bb_cbor_put_bytes(&message, bb_view(NULL, 0)); /* external_aad */
    if (err == BB_OK)
        err = bb_cbor_put_bytes(&message, cose->payload);
    if (err != BB_OK)
        return err;
    return bb_cert_verify_es384(leaf, bb_buf_view(&message), cose->signature);
}
