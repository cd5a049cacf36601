/*
 * One item at a time out of libcbor's streaming decoder, which keeps no state and allocates nothing. It
 * trusts no byte; it refuses indefinite-length strings and text that is not UTF-8, which libcbor would let
 * pass.
 */
#include "cbor/item.h"

#include <cbor/callbacks.h>
#include <cbor/streaming.h>

#include "cbor/utf8.h"

struct decoding {
    struct bb_cbor_item item;
    bool refused;
};

static void number_seen(void *context, enum bb_cbor_type type, uint64_t value) {
    struct decoding *decoding = context;
    decoding->item.type = type;
    decoding->item.number = value;
}

static void uint8_seen(void *context, uint8_t value) {
    number_seen(context, BB_CBOR_UINT, value);
}

static void uint16_seen(void *context, uint16_t value) {
    number_seen(context, BB_CBOR_UINT, value);
}

static void uint32_seen(void *context, uint32_t value) {
    number_seen(context, BB_CBOR_UINT, value);
}

static void uint64_seen(void *context, uint64_t value) {
    number_seen(context, BB_CBOR_UINT, value);
}

static void negative8_seen(void *context, uint8_t value) {
    number_seen(context, BB_CBOR_NEGATIVE, value);
}

static void negative16_seen(void *context, uint16_t value) {
    number_seen(context, BB_CBOR_NEGATIVE, value);
}

static void negative32_seen(void *context, uint32_t value) {
    number_seen(context, BB_CBOR_NEGATIVE, value);
}

static void negative64_seen(void *context, uint64_t value) {
    number_seen(context, BB_CBOR_NEGATIVE, value);
}

static void tag_seen(void *context, uint64_t value) {
    number_seen(context, BB_CBOR_TAG, value);
}

static void array_seen(void *context, uint64_t count) {
    number_seen(context, BB_CBOR_ARRAY, count);
}

static void map_seen(void *context, uint64_t pairs) {
    number_seen(context, BB_CBOR_MAP, pairs);
}

static void indefinite_array_seen(void *context) {
    struct decoding *decoding = context;
    decoding->item.type = BB_CBOR_ARRAY;
    decoding->item.indefinite = true;
}

static void indefinite_map_seen(void *context) {
    struct decoding *decoding = context;
    decoding->item.type = BB_CBOR_MAP;
    decoding->item.indefinite = true;
}

static void bytes_seen(void *context, cbor_data data, uint64_t len) {
    struct decoding *decoding = context;
    decoding->item.type = BB_CBOR_BYTES;
    decoding->item.text = bb_view(data, (size_t)len);
}

static void text_seen(void *context, cbor_data data, uint64_t len) {
    struct decoding *decoding = context;
    decoding->item.type = BB_CBOR_TEXT;
    decoding->item.text = bb_view(data, (size_t)len);
    decoding->refused = !bb_utf8_valid(decoding->item.text);
}

static void indefinite_string_seen(void *context) {
    struct decoding *decoding = context;
    decoding->refused = true;
}

static void double_seen(void *context, double value) {
    struct decoding *decoding = context;
    decoding->item.type = BB_CBOR_DOUBLE;
    decoding->item.real = value;
}

static void float_seen(void *context, float value) {
    double_seen(context, (double)value);
}

static void bool_seen(void *context, bool value) {
    struct decoding *decoding = context;
    decoding->item.type = BB_CBOR_BOOL;
    decoding->item.truth = value;
}

static void null_seen(void *context) {
    number_seen(context, BB_CBOR_NULL, 0);
}

static void undefined_seen(void *context) {
    number_seen(context, BB_CBOR_UNDEFINED, 0);
}

static void break_seen(void *context) {
    number_seen(context, BB_CBOR_BREAK, 0);
}

static const struct cbor_callbacks callbacks = {
    .uint8 = uint8_seen,
    .uint16 = uint16_seen,
    .uint32 = uint32_seen,
    .uint64 = uint64_seen,
    .negint8 = negative8_seen,
    .negint16 = negative16_seen,
    .negint32 = negative32_seen,
    .negint64 = negative64_seen,
    .byte_string_start = indefinite_string_seen,
    .byte_string = bytes_seen,
    .string = text_seen,
    .string_start = indefinite_string_seen,
    .indef_array_start = indefinite_array_seen,
    .array_start = array_seen,
    .indef_map_start = indefinite_map_seen,
    .map_start = map_seen,
    .tag = tag_seen,
    .float2 = float_seen,
    .float4 = float_seen,
    .float8 = double_seen,
    .undefined = undefined_seen,
    .null = null_seen,
    .boolean = bool_seen,
    .indef_break = break_seen,
};

/* libcbor up to 0.10 at least refuses tags 6 to 20 in their one-byte form, COSE's among them (its issue 307).
 */
static bool is_short_tag(uint8_t head) {
    return head >= 0xc0 && head <= 0xd7;
}

enum bb_err bb_cbor_item_decode(struct bb_view bytes, struct bb_cbor_item *out) {
    if (bytes.len == 0)
        return BB_ERR_TRUNCATED;
    if (is_short_tag(bytes.data[0])) {
        *out = (struct bb_cbor_item){.type = BB_CBOR_TAG, .number = bytes.data[0] - 0xc0u, .size = 1};
        return BB_OK;
    }
    struct decoding decoding = {0};
    struct cbor_decoder_result result = cbor_stream_decode(bytes.data, bytes.len, &callbacks, &decoding);
    if (result.status == CBOR_DECODER_NEDATA)
        return BB_ERR_TRUNCATED;
    if (result.status != CBOR_DECODER_FINISHED || decoding.refused || result.read > bytes.len)
        return BB_ERR_CBOR;
    decoding.item.size = result.read;
    *out = decoding.item;
    return BB_OK;
}

enum bb_err bb_cbor_item_take(struct bb_cbor *reader, enum bb_cbor_type type, struct bb_cbor_item *out) {
    struct bb_cbor_item item;
    enum bb_err err = bb_cbor_item_decode(bb_view(reader->in.at, reader->in.left), &item);
    if (err != BB_OK)
        return err;
    if (item.type != type)
        return BB_ERR_CBOR_TYPE;
    struct bb_view passed;
    err = bb_cursor_take(&reader->in, item.size, &passed);
    if (err == BB_OK)
        *out = item;
    return err;
}

enum bb_err bb_cbor_item_int(const struct bb_cbor_item *item, int64_t *out) {
    if (item->type != BB_CBOR_UINT && item->type != BB_CBOR_NEGATIVE)
        return BB_ERR_CBOR_TYPE;
    if (item->number > INT64_MAX)
        return BB_ERR_TOO_LARGE;
    *out = item->type == BB_CBOR_UINT ? (int64_t)item->number : -1 - (int64_t)item->number;
    return BB_OK;
}
