/*
 * Reading the payload of an attestation document: AWS Nitro Enclaves, attestation_process.md. Fields that AWS
 * may add one day are passed over (they are signed, too); known ones must be of their type and length.
 * Nothing is decided here about whether the content is to be trusted.
 */
#include <stdlib.h>
#include <string.h>

#include "attest/document.h"
#include "attest/policy_internal.h"
#include "attest/text.h"
#include "cbor/cbor.h"

#define NAME "Document"

enum field {
    MODULE_ID,
    DIGEST,
    TIMESTAMP,
    PCRS,
    CERTIFICATE,
    CABUNDLE,
    PUBLIC_KEY,
    USER_DATA,
    NONCE,
    NITROTPM_PCRS,
    FIELD_COUNT
};

struct payload {
    struct bb_view module_id, digest;
    uint64_t timestamp_ms;
    struct bb_cbor pcrs, cabundle, nitrotpm_pcrs;
    struct bb_cbor_field fields[FIELD_COUNT];
};

static void describe(struct payload *payload, struct bb_document *document) {
    const struct bb_cbor_field fields[FIELD_COUNT] = {
        [MODULE_ID] = {"module_id", BB_CBOR_TEXT, &payload->module_id, true},
        [DIGEST] = {"digest", BB_CBOR_TEXT, &payload->digest, true},
        [TIMESTAMP] = {"timestamp", BB_CBOR_UINT, &payload->timestamp_ms, true},
        [PCRS] = {"pcrs", BB_CBOR_MAP, &payload->pcrs, true},
        [CERTIFICATE] = {"certificate", BB_CBOR_BYTES, &document->certificate, true},
        [CABUNDLE] = {"cabundle", BB_CBOR_ARRAY, &payload->cabundle, true},
        [PUBLIC_KEY] = {"public_key", BB_CBOR_BYTES, &document->public_key, false},
        [USER_DATA] = {"user_data", BB_CBOR_BYTES, &document->user_data, false},
        [NONCE] = {"nonce", BB_CBOR_BYTES, &document->nonce, false},
        [NITROTPM_PCRS] = {"nitrotpm_pcrs", BB_CBOR_MAP, &payload->nitrotpm_pcrs, false},
    };
    memcpy(payload->fields, fields, sizeof fields);
}

/* A map with the wrong fields was read: says which field is the cause, or that it is the map as a whole. */
static enum bb_err fail_fields(struct bb_view bytes, struct payload *payload, enum bb_err err,
                               struct bb_verdict *verdict) {
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    bool of_a_field = (err == BB_ERR_CBOR_KEY || err == BB_ERR_CBOR_TYPE) &&
                      bb_cbor_read_fields(&reader, NULL, 0, true) == BB_OK;
    for (size_t i = 0; of_a_field && i < FIELD_COUNT; i++) {
        struct bb_cbor_field *field = &payload->fields[i];
        bb_cbor_init(&reader, bytes);
        enum bb_err reason = bb_cbor_read_fields(&reader, field, 1, true);
        if (reason != BB_OK && reason == err)
            return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME, "the field %s is %s", field->key,
                                   err == BB_ERR_CBOR_KEY ? "missing" : "not of its type");
    }
    return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FORM, NAME,
                           "the document is not a well-formed map of fields: %s", bb_err_sentence(err));
}

/* Before the fields are required: a NitroTPM's document lacks some, and the reason is worth more than that.
 */
static bool is_of_nitrotpm(struct bb_view bytes) {
    struct bb_cbor ignored;
    struct bb_cbor_field field = {"nitrotpm_pcrs", BB_CBOR_MAP, &ignored, false};
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    return bb_cbor_read_fields(&reader, &field, 1, true) == BB_OK && field.present;
}

static enum bb_err read_fields(struct bb_view bytes, struct payload *payload, struct bb_verdict *verdict) {
    if (is_of_nitrotpm(bytes))
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_NOT_ENCLAVE, NAME,
                               "the document has nitrotpm_pcrs: it comes from the NitroTPM of an instance, "
                               "not from a Nitro Enclave");
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = bb_cbor_read_fields(&reader, payload->fields, FIELD_COUNT, true);
    if (err == BB_OK)
        err = bb_cbor_finish(&reader);
    return err == BB_OK ? BB_OK : fail_fields(bytes, payload, err, verdict);
}

static enum bb_err check_length(const char *name, struct bb_view bytes, size_t min, size_t max,
                                struct bb_verdict *verdict) {
    if (bytes.data == NULL || (bytes.len >= min && bytes.len <= max))
        return BB_OK;
    return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME,
                           "the field %s is %zu bytes long, expected %zu to %zu", name, bytes.len, min, max);
}

static enum bb_err check_lengths(const struct bb_document *document, struct bb_verdict *verdict) {
    enum bb_err err =
        check_length("certificate", document->certificate, 1, BB_DOCUMENT_CERTIFICATE_MAX, verdict);
    if (err == BB_OK)
        err = check_length("public_key", document->public_key, 0, BB_DOCUMENT_PUBLIC_KEY_MAX, verdict);
    if (err == BB_OK)
        err = check_length("user_data", document->user_data, 0, BB_DOCUMENT_USER_DATA_MAX, verdict);
    if (err == BB_OK)
        err = check_length("nonce", document->nonce, 0, BB_DOCUMENT_NONCE_MAX, verdict);
    return err;
}

static enum bb_err take_digest(struct bb_document *document, const struct payload *payload,
                               struct bb_verdict *verdict) {
    bb_text_line(payload->digest, document->digest);
    if (bb_view_equal(payload->digest, bb_view_str("SHA384")))
        return BB_OK;
    return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_DIGEST, NAME,
                           "the digest algorithm is \"%s\", expected \"SHA384\"", document->digest);
}

static enum bb_err take_timestamp(struct bb_document *document, const struct payload *payload,
                                  struct bb_verdict *verdict) {
    if (payload->timestamp_ms == 0 || payload->timestamp_ms > BB_TIME_MAX_MS)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME,
                               "the field timestamp is %llu, not a time in milliseconds",
                               (unsigned long long)payload->timestamp_ms);
    document->timestamp_ms = (int64_t)payload->timestamp_ms;
    return BB_OK;
}

static enum bb_err take_module_id(struct bb_document *document, const struct payload *payload,
                                  struct bb_verdict *verdict) {
    struct bb_view id = payload->module_id;
    if (id.len == 0 || memchr(id.data, '\0', id.len) != NULL)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME, "the field module_id is not a name");
    document->module_id = strndup((const char *)id.data, id.len);
    if (document->module_id == NULL)
        return bb_verdict_fail(verdict, BB_ERR_NO_MEMORY, NAME, "%s", bb_err_sentence(BB_ERR_NO_MEMORY));
    return BB_OK;
}

static enum bb_err (*const take_scalars[])(struct bb_document *, const struct payload *,
                                           struct bb_verdict *) = {take_digest, take_timestamp,
                                                                   take_module_id};
#define SCALAR_COUNT (sizeof take_scalars / sizeof *take_scalars)

static enum bb_err take_pcr(struct bb_document *document, struct bb_cbor *reader,
                            struct bb_verdict *verdict) {
    uint64_t index;
    struct bb_view value;
    enum bb_err err = bb_cbor_read_uint(reader, &index);
    if (err == BB_OK)
        err = bb_cbor_read_bytes(reader, &value);
    if (err != BB_OK)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME,
                               "the field pcrs is not a map of numbers to byte strings");
    if (index >= BB_PCR_COUNT)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME,
                               "the field pcrs has an index %llu, at most %u", (unsigned long long)index,
                               BB_PCR_COUNT - 1);
    if (document->pcrs[index] != NULL)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FORM, NAME, "the field pcrs has PCR%u twice",
                               (unsigned)index);
    if (value.len != BB_PCR_LEN)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME, "PCR%u is %zu bytes long, expected %u",
                               (unsigned)index, value.len, BB_PCR_LEN);
    document->pcrs[index] = value.data;
    document->pcr_count++;
    return BB_OK;
}

/* The readers of pcrs and cabundle are known to be well-formed, so only the types of what is inside can fail.
 */
static enum bb_err take_pcrs(struct bb_document *document, struct bb_cbor *reader,
                             struct bb_verdict *verdict) {
    struct bb_cbor_items items;
    bool more = true;
    enum bb_err err = bb_cbor_enter_map(reader, &items);
    while (err == BB_OK && more) {
        err = bb_cbor_next(reader, &items, &more);
        if (err == BB_OK && more)
            err = take_pcr(document, reader, verdict);
    }
    if (err == BB_OK && document->pcr_count == 0)
        err = bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME, "the field pcrs is empty");
    return err;
}

static enum bb_err take_bundled(struct bb_document *document, struct bb_cbor *reader,
                                struct bb_verdict *verdict) {
    struct bb_view der;
    if (document->cabundle_count == BB_DOCUMENT_CABUNDLE_MAX)
        return bb_verdict_fail(verdict, BB_ERR_CHAIN_LENGTH, NAME,
                               "the field cabundle has more than %u certificates", BB_DOCUMENT_CABUNDLE_MAX);
    if (bb_cbor_read_bytes(reader, &der) != BB_OK)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FIELD, NAME,
                               "the field cabundle is not an array of byte strings");
    document->cabundle[document->cabundle_count++] = der;
    return check_length("cabundle", der, 1, BB_DOCUMENT_CERTIFICATE_MAX, verdict);
}

static enum bb_err take_cabundle(struct bb_document *document, struct bb_cbor *reader,
                                 struct bb_verdict *verdict) {
    struct bb_cbor_items items;
    bool more = true;
    enum bb_err err = bb_cbor_enter_array(reader, &items);
    while (err == BB_OK && more) {
        err = bb_cbor_next(reader, &items, &more);
        if (err == BB_OK && more)
            err = take_bundled(document, reader, verdict);
    }
    if (err == BB_OK && document->cabundle_count == 0)
        err = bb_verdict_fail(verdict, BB_ERR_CHAIN_LENGTH, NAME, "the field cabundle is empty");
    return err;
}

enum bb_err bb_document_read(struct bb_document *document, struct bb_view bytes, struct bb_verdict *verdict) {
    struct payload payload = {0};
    describe(&payload, document);
    enum bb_err err = read_fields(bytes, &payload, verdict);
    for (size_t i = 0; err == BB_OK && i < SCALAR_COUNT; i++)
        err = take_scalars[i](document, &payload, verdict);
    if (err == BB_OK)
        err = take_pcrs(document, &payload.pcrs, verdict);
    if (err == BB_OK)
        err = take_cabundle(document, &payload.cabundle, verdict);
    if (err == BB_OK)
        err = check_lengths(document, verdict);
    if (err != BB_OK)
        return err;
    char id[BB_LINE_TEXT_MAX], made[BB_TIME_TEXT_MAX];
    bb_verdict_pass(verdict, NAME, "module %s, made %s, digest SHA384, %zu PCRs",
                    bb_text_line(payload.module_id, id), bb_text_time(document->timestamp_ms, made),
                    document->pcr_count);
    return BB_OK;
}

enum bb_err bb_document_read_leniently(struct bb_document *document, struct bb_view bytes) {
    struct payload payload = {0};
    struct bb_verdict unheard;
    enum bb_err err = BB_OK;
    bb_verdict_init(&unheard, NULL);
    describe(&payload, document);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        struct bb_cbor reader;
        bb_cbor_init(&reader, bytes);
        payload.fields[i].required = false;
        payload.fields[i].present =
            bb_cbor_read_fields(&reader, &payload.fields[i], 1, true) == BB_OK && payload.fields[i].present;
    }
    for (size_t i = 0; err != BB_ERR_NO_MEMORY && i < SCALAR_COUNT; i++)
        err = take_scalars[i](document, &payload, &unheard);
    if (err == BB_ERR_NO_MEMORY)
        return err;
    if (payload.fields[PCRS].present)
        err = take_pcrs(document, &payload.pcrs, &unheard);
    if (payload.fields[CABUNDLE].present)
        err = take_cabundle(document, &payload.cabundle, &unheard);
    return err == BB_ERR_NO_MEMORY ? err : BB_OK;
}
