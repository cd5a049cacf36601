/* Reading one item after another: see cbor.h. */
#include "cbor/cbor.h"

#include "cbor/item.h"

void bb_cbor_init(struct bb_cbor *reader, struct bb_view bytes) {
    *reader = (struct bb_cbor){.in = bb_cursor(bytes)};
}

enum bb_err bb_cbor_peek(const struct bb_cbor *reader, enum bb_cbor_type *type) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_decode(bb_view(reader->in.at, reader->in.left), &item);
    if (err == BB_OK)
        *type = item.type;
    return err;
}

enum bb_err bb_cbor_read_uint(struct bb_cbor *reader, uint64_t *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, BB_CBOR_UINT, &item);
    if (err == BB_OK)
        *out = item.number;
    return err;
}

enum bb_err bb_cbor_read_int(struct bb_cbor *reader, int64_t *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, BB_CBOR_UINT, &item);
    if (err == BB_ERR_CBOR_TYPE)
        err = bb_cbor_item_take(reader, BB_CBOR_NEGATIVE, &item);
    return err == BB_OK ? bb_cbor_item_int(&item, out) : err;
}

enum bb_err bb_cbor_read_bytes(struct bb_cbor *reader, struct bb_view *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, BB_CBOR_BYTES, &item);
    if (err == BB_OK)
        *out = item.text;
    return err;
}

enum bb_err bb_cbor_read_text(struct bb_cbor *reader, struct bb_view *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, BB_CBOR_TEXT, &item);
    if (err == BB_OK)
        *out = item.text;
    return err;
}

enum bb_err bb_cbor_read_bool(struct bb_cbor *reader, bool *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, BB_CBOR_BOOL, &item);
    if (err == BB_OK)
        *out = item.truth;
    return err;
}

enum bb_err bb_cbor_read_null(struct bb_cbor *reader) {
    struct bb_cbor_item item;
    return bb_cbor_item_take(reader, BB_CBOR_NULL, &item);
}

enum bb_err bb_cbor_read_double(struct bb_cbor *reader, double *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, BB_CBOR_DOUBLE, &item);
    if (err == BB_OK)
        *out = item.real;
    return err;
}

enum bb_err bb_cbor_read_tag(struct bb_cbor *reader, uint64_t *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, BB_CBOR_TAG, &item);
    if (err == BB_OK)
        *out = item.number;
    return err;
}

static enum bb_err enter(struct bb_cbor *reader, enum bb_cbor_type type, struct bb_cbor_items *items) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_take(reader, type, &item);
    if (err != BB_OK)
        return err;
    if (reader->depth >= BB_CBOR_MAX_DEPTH)
        return BB_ERR_CBOR_DEPTH;
    reader->depth++;
    *items = (struct bb_cbor_items){.indefinite = item.indefinite, .left = item.number};
    return BB_OK;
}

enum bb_err bb_cbor_enter_array(struct bb_cbor *reader, struct bb_cbor_items *items) {
    return enter(reader, BB_CBOR_ARRAY, items);
}

enum bb_err bb_cbor_enter_map(struct bb_cbor *reader, struct bb_cbor_items *items) {
    return enter(reader, BB_CBOR_MAP, items);
}

static enum bb_err next_indefinite(struct bb_cbor *reader, bool *more) {
    enum bb_cbor_type type;
    enum bb_err err = bb_cbor_peek(reader, &type);
    if (err != BB_OK)
        return err;
    if (type == BB_CBOR_BREAK) {
        struct bb_cbor_item item;
        err = bb_cbor_item_take(reader, BB_CBOR_BREAK, &item);
        if (err != BB_OK)
            return err;
        reader->depth--;
    }
    *more = type != BB_CBOR_BREAK;
    return BB_OK;
}

enum bb_err bb_cbor_next(struct bb_cbor *reader, struct bb_cbor_items *items, bool *more) {
    if (items->indefinite)
        return next_indefinite(reader, more);
    *more = items->left > 0;
    if (*more)
        items->left--;
    else
        reader->depth--;
    return BB_OK;
}

static enum bb_err skip_inside(struct bb_cbor *reader, enum bb_cbor_type type) {
    struct bb_cbor_items items = {0};
    enum bb_err err = enter(reader, type, &items);
    if (err != BB_OK)
        return err;
    for (;;) {
        bool more;
        err = bb_cbor_next(reader, &items, &more);
        if (err != BB_OK || !more)
            return err;
        err = bb_cbor_skip(reader);
        if (err == BB_OK && type == BB_CBOR_MAP)
            err = bb_cbor_skip(reader);
        if (err != BB_OK)
            return err;
    }
}

/* A tag is a level of its own, or a long row of tags would be a deep recursion. */
static enum bb_err skip_tagged(struct bb_cbor *reader) {
    uint64_t tag;
    enum bb_err err = bb_cbor_read_tag(reader, &tag);
    if (err != BB_OK)
        return err;
    if (reader->depth >= BB_CBOR_MAX_DEPTH)
        return BB_ERR_CBOR_DEPTH;
    reader->depth++;
    err = bb_cbor_skip(reader);
    reader->depth--;
    return err;
}

/* Recursion ends at BB_CBOR_MAX_DEPTH. */
enum bb_err bb_cbor_skip(struct bb_cbor *reader) { /* NOLINT(misc-no-recursion) */
    enum bb_cbor_type type;
    enum bb_err err = bb_cbor_peek(reader, &type);
    if (err != BB_OK)
        return err;
    if (type == BB_CBOR_ARRAY || type == BB_CBOR_MAP)
        return skip_inside(reader, type);
    if (type == BB_CBOR_TAG)
        return skip_tagged(reader);
    if (type == BB_CBOR_BREAK)
        return BB_ERR_CBOR;
    struct bb_cbor_item item;
    return bb_cbor_item_take(reader, type, &item);
}

enum bb_err bb_cbor_finish(const struct bb_cbor *reader) {
    return reader->in.left == 0 ? BB_OK : BB_ERR_TRAILING;
}
