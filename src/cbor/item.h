/* One decoded CBOR item head (with the content of a string), between the files of this folder. */
#ifndef BB_CBOR_ITEM_H
#define BB_CBOR_ITEM_H

#include "cbor/cbor.h"

struct bb_cbor_item {
    enum bb_cbor_type type;
    bool indefinite;     /* array or map without a count */
    bool truth;          /* BOOL */
    uint64_t number;     /* UINT, TAG: value; NEGATIVE: -1 - value; ARRAY, MAP: count */
    double real;         /* DOUBLE */
    struct bb_view text; /* BYTES, TEXT */
    size_t size;         /* encoded bytes: the head, and the content of a string */
};

/* Decodes the item at the start of bytes. BB_ERR_TRUNCATED, BB_ERR_CBOR. */
BB_MUST_USE enum bb_err bb_cbor_item_decode(struct bb_view bytes, struct bb_cbor_item *out);
/* The same, and the item must be of the given type (BB_ERR_CBOR_TYPE); moves past it. */
BB_MUST_USE enum bb_err bb_cbor_item_take(struct bb_cbor *reader, enum bb_cbor_type type,
                                          struct bb_cbor_item *out);
/* NEGATIVE or UINT as a signed number. BB_ERR_TOO_LARGE. */
BB_MUST_USE enum bb_err bb_cbor_item_int(const struct bb_cbor_item *item, int64_t *out);

#endif
