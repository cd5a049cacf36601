/* Reading the Nitro Security Module's messages, and the names in them: see messages.h. */
#include "nsm/messages.h"

#include "cbor/cbor.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const operation_names[] = {
    [BB_NSM_DESCRIBE_PCR] = "DescribePCR", [BB_NSM_EXTEND_PCR] = "ExtendPCR",
    [BB_NSM_LOCK_PCR] = "LockPCR",         [BB_NSM_LOCK_PCRS] = "LockPCRs",
    [BB_NSM_DESCRIBE_NSM] = "DescribeNSM", [BB_NSM_ATTESTATION] = "Attestation",
    [BB_NSM_GET_RANDOM] = "GetRandom",     [BB_NSM_ERROR] = "Error",
};

static const char *const error_names[] = {
    [BB_NSM_INVALID_ARGUMENT] = "InvalidArgument",   [BB_NSM_INVALID_INDEX] = "InvalidIndex",
    [BB_NSM_INVALID_RESPONSE] = "InvalidResponse",   [BB_NSM_READ_ONLY_INDEX] = "ReadOnlyIndex",
    [BB_NSM_INVALID_OPERATION] = "InvalidOperation", [BB_NSM_BUFFER_TOO_SMALL] = "BufferTooSmall",
    [BB_NSM_INPUT_TOO_LARGE] = "InputTooLarge",      [BB_NSM_INTERNAL_ERROR] = "InternalError",
};

const char *bb_nsm_operation_name(enum bb_nsm_operation operation) {
    return (size_t)operation < COUNT(operation_names) ? operation_names[operation] : "unknown";
}

const char *bb_nsm_error_name(enum bb_nsm_error error) {
    return (size_t)error < COUNT(error_names) ? error_names[error] : "unknown";
}

/* Reads a text item that must be one of the names; *index is its place. */
static enum bb_err read_name(struct bb_cbor *reader, const char *const *names, size_t count, size_t *index) {
    struct bb_view text;
    enum bb_err err = bb_cbor_read_text(reader, &text);
    if (err != BB_OK)
        return err;
    for (size_t i = 0; i < count; i++) {
        if (bb_view_equal(text, bb_view_str(names[i]))) {
            *index = i;
            return BB_OK;
        }
    }
    return BB_ERR_PROTOCOL;
}

/*
 * A message is the operation's name alone, or a map of one pair with the name as its key. *body says which;
 * with a body the reader stands before the value.
 */
static enum bb_err read_operation(struct bb_cbor *reader, struct bb_cbor_items *items,
                                  enum bb_nsm_operation *operation, bool *body) {
    enum bb_cbor_type type;
    enum bb_err err = bb_cbor_peek(reader, &type);
    if (err != BB_OK)
        return err;
    *body = type != BB_CBOR_TEXT;
    if (*body) {
        bool more = false;
        err = bb_cbor_enter_map(reader, items);
        if (err == BB_OK)
            err = bb_cbor_next(reader, items, &more);
        if (err == BB_OK && !more)
            err = BB_ERR_PROTOCOL;
        if (err != BB_OK)
            return err;
    }
    size_t index;
    err = read_name(reader, operation_names, COUNT(operation_names), &index);
    if (err == BB_OK)
        *operation = (enum bb_nsm_operation)index;
    return err;
}

/* Leaves the map that read_operation() entered, and the message. */
static enum bb_err finish(struct bb_cbor *reader, struct bb_cbor_items *items, bool body) {
    if (body) {
        bool more = true;
        enum bb_err err = bb_cbor_next(reader, items, &more);
        if (err != BB_OK)
            return err;
        if (more)
            return BB_ERR_PROTOCOL;
    }
    return bb_cbor_finish(reader);
}

static enum bb_err narrow_u16(uint64_t value, uint16_t *out) {
    if (value > UINT16_MAX)
        return BB_ERR_PROTOCOL;
    *out = (uint16_t)value;
    return BB_OK;
}

/* {"index": n} or {"range": n} */
static enum bb_err read_number(struct bb_cbor *reader, const char *key, uint16_t *out) {
    uint64_t number = 0;
    struct bb_cbor_field fields[] = {{key, BB_CBOR_UINT, &number, true, false}};
    enum bb_err err = bb_cbor_read_fields(reader, fields, COUNT(fields), false);
    return err == BB_OK ? narrow_u16(number, out) : err;
}

/* {key: bytes} */
static enum bb_err read_blob(struct bb_cbor *reader, const char *key, struct bb_view *out) {
    struct bb_cbor_field fields[] = {{key, BB_CBOR_BYTES, out, true, false}};
    return bb_cbor_read_fields(reader, fields, COUNT(fields), false);
}

static enum bb_err read_extend(struct bb_cbor *reader, struct bb_nsm_request *out) {
    uint64_t number = 0;
    struct bb_cbor_field fields[] = {
        {"index", BB_CBOR_UINT, &number, true, false},
        {"data", BB_CBOR_BYTES, &out->of.extend_pcr.data, true, false},
    };
    enum bb_err err = bb_cbor_read_fields(reader, fields, COUNT(fields), false);
    return err == BB_OK ? narrow_u16(number, &out->of.extend_pcr.index) : err;
}

static enum bb_err read_attestation(struct bb_cbor *reader, struct bb_nsm_request *out) {
    struct bb_cbor_field fields[] = {
        {"user_data", BB_CBOR_BYTES, &out->of.attestation.user_data, false, false},
        {"nonce", BB_CBOR_BYTES, &out->of.attestation.nonce, false, false},
        {"public_key", BB_CBOR_BYTES, &out->of.attestation.public_key, false, false},
    };
    return bb_cbor_read_fields(reader, fields, COUNT(fields), false);
}

static enum bb_err read_request_body(struct bb_cbor *reader, struct bb_nsm_request *out) {
    switch (out->operation) {
    case BB_NSM_DESCRIBE_PCR:
        return read_number(reader, "index", &out->of.describe_pcr.index);
    case BB_NSM_EXTEND_PCR:
        return read_extend(reader, out);
    case BB_NSM_LOCK_PCR:
        return read_number(reader, "index", &out->of.lock_pcr.index);
    case BB_NSM_LOCK_PCRS:
        return read_number(reader, "range", &out->of.lock_pcrs.range);
    case BB_NSM_ATTESTATION:
        return read_attestation(reader, out);
    case BB_NSM_DESCRIBE_NSM:
    case BB_NSM_GET_RANDOM:
    case BB_NSM_ERROR:
        break;
    }
    return BB_ERR_PROTOCOL;
}

enum bb_err bb_nsm_request_read(struct bb_view bytes, struct bb_nsm_request *out) {
    struct bb_cbor reader;
    struct bb_cbor_items items = {0};
    struct bb_nsm_request made = {0};
    bool body = false;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = read_operation(&reader, &items, &made.operation, &body);
    if (err != BB_OK)
        return err;
    if (body)
        err = read_request_body(&reader, &made);
    else if (made.operation != BB_NSM_DESCRIBE_NSM && made.operation != BB_NSM_GET_RANDOM)
        err = BB_ERR_PROTOCOL;
    if (err == BB_OK)
        err = finish(&reader, &items, body);
    if (err == BB_OK)
        *out = made;
    return err;
}

static enum bb_err read_pcr(struct bb_cbor *reader, struct bb_nsm_response *out) {
    struct bb_cbor_field fields[] = {
        {"lock", BB_CBOR_BOOL, &out->of.describe_pcr.lock, true, false},
        {"data", BB_CBOR_BYTES, &out->of.describe_pcr.data, true, false},
    };
    return bb_cbor_read_fields(reader, fields, COUNT(fields), false);
}

/* An array of PCR indices, each at most once, to a bit each. */
static enum bb_err read_locked(struct bb_cbor *reader, uint32_t *out) {
    struct bb_cbor_items items;
    uint32_t mask = 0;
    bool more = false;
    enum bb_err err = bb_cbor_enter_array(reader, &items);
    if (err == BB_OK)
        err = bb_cbor_next(reader, &items, &more);
    while (err == BB_OK && more) {
        uint64_t index;
        err = bb_cbor_read_uint(reader, &index);
        if (err != BB_OK)
            return err;
        if (index >= BB_NSM_PCR_COUNT || (mask & UINT32_C(1) << index) != 0)
            return BB_ERR_PROTOCOL;
        mask |= UINT32_C(1) << index;
        err = bb_cbor_next(reader, &items, &more);
    }
    if (err == BB_OK)
        *out = mask;
    return err;
}

static enum bb_err read_description(struct bb_cbor *reader, struct bb_nsm_response *out) {
    uint64_t major = 0, minor = 0, patch = 0, max_pcrs = 0;
    struct bb_cbor locked;
    struct bb_cbor_field fields[] = {
        {"version_major", BB_CBOR_UINT, &major, true, false},
        {"version_minor", BB_CBOR_UINT, &minor, true, false},
        {"version_patch", BB_CBOR_UINT, &patch, true, false},
        {"module_id", BB_CBOR_TEXT, &out->of.describe_nsm.module_id, true, false},
        {"max_pcrs", BB_CBOR_UINT, &max_pcrs, true, false},
        {"locked_pcrs", BB_CBOR_ARRAY, &locked, true, false},
        {"digest", BB_CBOR_TEXT, &out->of.describe_nsm.digest, true, false},
    };
    enum bb_err err = bb_cbor_read_fields(reader, fields, COUNT(fields), true);
    if (err == BB_OK)
        err = narrow_u16(major, &out->of.describe_nsm.version_major);
    if (err == BB_OK)
        err = narrow_u16(minor, &out->of.describe_nsm.version_minor);
    if (err == BB_OK)
        err = narrow_u16(patch, &out->of.describe_nsm.version_patch);
    if (err == BB_OK && max_pcrs > BB_NSM_PCR_COUNT)
        err = BB_ERR_PROTOCOL;
    if (err == BB_OK)
        err = narrow_u16(max_pcrs, &out->of.describe_nsm.max_pcrs);
    return err == BB_OK ? read_locked(&locked, &out->of.describe_nsm.locked_pcrs) : err;
}

static enum bb_err read_response_body(struct bb_cbor *reader, struct bb_nsm_response *out) {
    size_t index = 0;
    enum bb_err err;
    switch (out->operation) {
    case BB_NSM_DESCRIBE_PCR:
        return read_pcr(reader, out);
    case BB_NSM_EXTEND_PCR:
        return read_blob(reader, "data", &out->of.extend_pcr.data);
    case BB_NSM_DESCRIBE_NSM:
        return read_description(reader, out);
    case BB_NSM_ATTESTATION:
        return read_blob(reader, "document", &out->of.attestation.document);
    case BB_NSM_GET_RANDOM:
        return read_blob(reader, "random", &out->of.get_random.random);
    case BB_NSM_ERROR:
        err = read_name(reader, error_names, COUNT(error_names), &index);
        out->of.error = (enum bb_nsm_error)index;
        return err;
    case BB_NSM_LOCK_PCR:
    case BB_NSM_LOCK_PCRS:
        break;
    }
    return BB_ERR_PROTOCOL;
}

enum bb_err bb_nsm_response_read(struct bb_view bytes, struct bb_nsm_response *out) {
    struct bb_cbor reader;
    struct bb_cbor_items items = {0};
    struct bb_nsm_response made = {0};
    bool body = false;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = read_operation(&reader, &items, &made.operation, &body);
    if (err != BB_OK)
        return err;
    if (body)
        err = read_response_body(&reader, &made);
    else if (made.operation != BB_NSM_LOCK_PCR && made.operation != BB_NSM_LOCK_PCRS)
        err = BB_ERR_PROTOCOL;
    if (err == BB_OK)
        err = finish(&reader, &items, body);
    if (err == BB_OK)
        *out = made;
    return err;
}
