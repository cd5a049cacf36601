/*
 * Reading and writing CBOR (RFC 8949) strictly, over libcbor's streaming decoder and encoder.
 *
 * The reader pulls one item after another out of a borrowed range; nothing is allocated and every view points
 * into the input. It accepts non-minimal heads and indefinite-length arrays and maps (both occur in genuine
 * Nitro documents) and refuses: indefinite-length strings, reserved values, text that is not UTF-8, more than
 * BB_CBOR_MAX_DEPTH levels, bytes after the end (bb_cbor_finish). After a failure the reader's position is
 * unspecified: give up.
 */
#ifndef BB_CBOR_CBOR_H
#define BB_CBOR_CBOR_H

#include "base/bytes.h"
#include "base/cursor.h"

#define BB_CBOR_MAX_DEPTH 8u

enum bb_cbor_type {
    BB_CBOR_UINT,
    BB_CBOR_NEGATIVE,
    BB_CBOR_BYTES,
    BB_CBOR_TEXT,
    BB_CBOR_ARRAY,
    BB_CBOR_MAP,
    BB_CBOR_TAG,
    BB_CBOR_BOOL,
    BB_CBOR_NULL,
    BB_CBOR_UNDEFINED,
    BB_CBOR_DOUBLE, /* half, single and double precision */
    BB_CBOR_BREAK,
};

struct bb_cbor {
    struct bb_cursor in;
    unsigned depth;
};

/* Items left in an array or pairs left in a map that was entered. */
struct bb_cbor_items {
    bool indefinite;
    uint64_t left;
};

void bb_cbor_init(struct bb_cbor *reader, struct bb_view bytes);
/* The next item's type, without moving. BB_ERR_TRUNCATED at the end of the input. */
BB_MUST_USE enum bb_err bb_cbor_peek(const struct bb_cbor *reader, enum bb_cbor_type *type);
/* Each reads one item of the named type, or fails with BB_ERR_CBOR_TYPE, BB_ERR_TRUNCATED or BB_ERR_CBOR. */
BB_MUST_USE enum bb_err bb_cbor_read_uint(struct bb_cbor *reader, uint64_t *out);
/* Unsigned or negative; outside of int64_t is BB_ERR_TOO_LARGE. */
BB_MUST_USE enum bb_err bb_cbor_read_int(struct bb_cbor *reader, int64_t *out);
BB_MUST_USE enum bb_err bb_cbor_read_bytes(struct bb_cbor *reader, struct bb_view *out);
BB_MUST_USE enum bb_err bb_cbor_read_text(struct bb_cbor *reader, struct bb_view *out);
BB_MUST_USE enum bb_err bb_cbor_read_bool(struct bb_cbor *reader, bool *out);
BB_MUST_USE enum bb_err bb_cbor_read_null(struct bb_cbor *reader);
BB_MUST_USE enum bb_err bb_cbor_read_double(struct bb_cbor *reader, double *out);
BB_MUST_USE enum bb_err bb_cbor_read_tag(struct bb_cbor *reader, uint64_t *out);
/*
 * Enters an array or a map; then call bb_cbor_next() before each item (array) or pair (map) until *more is
 * false, which also leaves it. BB_ERR_CBOR_DEPTH.
 */
BB_MUST_USE enum bb_err bb_cbor_enter_array(struct bb_cbor *reader, struct bb_cbor_items *items);
BB_MUST_USE enum bb_err bb_cbor_enter_map(struct bb_cbor *reader, struct bb_cbor_items *items);
BB_MUST_USE enum bb_err bb_cbor_next(struct bb_cbor *reader, struct bb_cbor_items *items, bool *more);
/* Passes over one item with everything in it, checking that it is well-formed. */
BB_MUST_USE enum bb_err bb_cbor_skip(struct bb_cbor *reader);
/* BB_ERR_TRAILING when bytes are left. */
BB_MUST_USE enum bb_err bb_cbor_finish(const struct bb_cbor *reader);

/*
 * A map with text keys, read by a table: the usual way to read a message. Each key may occur once
 * (BB_ERR_CBOR_DUPLICATE); required keys must occur and others not in the table must not (BB_ERR_CBOR_KEY),
 * unless `ignore_unknown`. At most BB_CBOR_MAX_FIELDS pairs (BB_ERR_TOO_LARGE). A field whose value is null
 * counts as absent. `out` points to uint64_t (UINT), int64_t (NEGATIVE: any integer), struct bb_view (BYTES,
 * TEXT), bool (BOOL), double (DOUBLE) or struct bb_cbor (ARRAY, MAP: a reader of just that item, which is
 * known to be well-formed); fields that are absent are left untouched, and all are on failure.
 */
struct bb_cbor_field {
    const char *key;
    enum bb_cbor_type type;
    void *out;
    bool required;
    bool present; /* set by bb_cbor_read_fields() */
};
#define BB_CBOR_MAX_FIELDS 32u
BB_MUST_USE enum bb_err bb_cbor_read_fields(struct bb_cbor *reader, struct bb_cbor_field *fields,
                                            size_t count, bool ignore_unknown);

/*
 * Writers append one item (or the head of an array or map) in its shortest form; doubles take 8 bytes always.
 * Errors: those of bb_buf_append(); text that is not UTF-8 is BB_ERR_ARGUMENT.
 */
BB_MUST_USE enum bb_err bb_cbor_put_uint(struct bb_buf *out, uint64_t value);
BB_MUST_USE enum bb_err bb_cbor_put_int(struct bb_buf *out, int64_t value);
BB_MUST_USE enum bb_err bb_cbor_put_bytes(struct bb_buf *out, struct bb_view bytes);
BB_MUST_USE enum bb_err bb_cbor_put_text(struct bb_buf *out, const char *text);
BB_MUST_USE enum bb_err bb_cbor_put_text_view(struct bb_buf *out, struct bb_view text);
BB_MUST_USE enum bb_err bb_cbor_put_bool(struct bb_buf *out, bool value);
BB_MUST_USE enum bb_err bb_cbor_put_null(struct bb_buf *out);
BB_MUST_USE enum bb_err bb_cbor_put_double(struct bb_buf *out, double value);
BB_MUST_USE enum bb_err bb_cbor_put_tag(struct bb_buf *out, uint64_t tag);
BB_MUST_USE enum bb_err bb_cbor_put_array(struct bb_buf *out, size_t count);
BB_MUST_USE enum bb_err bb_cbor_put_map(struct bb_buf *out, size_t pairs);

#endif
