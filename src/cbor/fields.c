/* A map with text keys, read by a table: see bb_cbor_read_fields() in cbor.h. */
#include "cbor/cbor.h"

#include "cbor/item.h"

/* What the map holds, before any of it is handed out: on failure the caller's variables stay as they were. */
struct found {
    struct bb_view keys[BB_CBOR_MAX_FIELDS];
    size_t key_count;
    struct bb_cbor values[BB_CBOR_MAX_FIELDS]; /* by field; a reader of just that item */
};

static enum bb_err remember_key(struct found *found, struct bb_view key) {
    for (size_t i = 0; i < found->key_count; i++)
        if (bb_view_equal(found->keys[i], key))
            return BB_ERR_CBOR_DUPLICATE;
    if (found->key_count == BB_CBOR_MAX_FIELDS)
        return BB_ERR_TOO_LARGE;
    found->keys[found->key_count++] = key;
    return BB_OK;
}

static struct bb_cbor_field *find_field(struct bb_cbor_field *fields, size_t count, struct bb_view key) {
    for (size_t i = 0; i < count; i++)
        if (bb_view_equal(bb_view_str(fields[i].key), key))
            return &fields[i];
    return NULL;
}

/* Whether the value's type is the field's; null counts as absent. */
static enum bb_err check_type(const struct bb_cbor *value, struct bb_cbor_field *field) {
    enum bb_cbor_type type;
    enum bb_err err = bb_cbor_peek(value, &type);
    if (err != BB_OK)
        return err;
    field->present = type != BB_CBOR_NULL;
    bool integer = field->type == BB_CBOR_NEGATIVE && type == BB_CBOR_UINT;
    return !field->present || type == field->type || integer ? BB_OK : BB_ERR_CBOR_TYPE;
}

static enum bb_err read_pair(struct bb_cbor *reader, struct found *found, struct bb_cbor_field *fields,
                             size_t count, bool ignore_unknown) {
    struct bb_view key;
    enum bb_err err = bb_cbor_read_text(reader, &key);
    if (err != BB_OK)
        return err;
    err = remember_key(found, key);
    if (err != BB_OK)
        return err;
    struct bb_cbor value = *reader;
    err = bb_cbor_skip(reader);
    if (err != BB_OK)
        return err;
    value.in.left -= reader->in.left;
    struct bb_cbor_field *field = find_field(fields, count, key);
    if (field == NULL)
        return ignore_unknown ? BB_OK : BB_ERR_CBOR_KEY;
    found->values[field - fields] = value;
    return check_type(&value, field);
}

static enum bb_err read_value(struct bb_cbor *value, const struct bb_cbor_field *field) {
    switch (field->type) {
    case BB_CBOR_UINT:
        return bb_cbor_read_uint(value, field->out);
    case BB_CBOR_NEGATIVE:
        return bb_cbor_read_int(value, field->out);
    case BB_CBOR_BYTES:
        return bb_cbor_read_bytes(value, field->out);
    case BB_CBOR_TEXT:
        return bb_cbor_read_text(value, field->out);
    case BB_CBOR_BOOL:
        return bb_cbor_read_bool(value, field->out);
    case BB_CBOR_DOUBLE:
        return bb_cbor_read_double(value, field->out);
    case BB_CBOR_ARRAY:
    case BB_CBOR_MAP:
        *(struct bb_cbor *)field->out = *value;
        return BB_OK;
    default:
        return BB_ERR_ARGUMENT;
    }
}

/* The only value that can still fail is an integer outside of int64_t: those first, then nothing fails. */
static enum bb_err check_integers(const struct found *found, const struct bb_cbor_field *fields,
                                  size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (fields[i].required && !fields[i].present)
            return BB_ERR_CBOR_KEY;
        struct bb_cbor value = found->values[i];
        int64_t ignored;
        enum bb_err err = BB_OK;
        if (fields[i].present && fields[i].type == BB_CBOR_NEGATIVE)
            err = bb_cbor_read_int(&value, &ignored);
        if (err != BB_OK)
            return err;
    }
    return BB_OK;
}

enum bb_err bb_cbor_read_fields(struct bb_cbor *reader, struct bb_cbor_field *fields, size_t count,
                                bool ignore_unknown) {
    if (count > BB_CBOR_MAX_FIELDS)
        return BB_ERR_ARGUMENT;
    for (size_t i = 0; i < count; i++)
        fields[i].present = false;
    struct found found = {0};
    struct bb_cbor_items items;
    enum bb_err err = bb_cbor_enter_map(reader, &items);
    for (bool more = true; err == BB_OK && more;) {
        err = bb_cbor_next(reader, &items, &more);
        if (err == BB_OK && more)
            err = read_pair(reader, &found, fields, count, ignore_unknown);
    }
    if (err == BB_OK)
        err = check_integers(&found, fields, count);
    for (size_t i = 0; i < count && err == BB_OK; i++)
        if (fields[i].present)
            err = read_value(&found.values[i], &fields[i]);
    return err;
}
