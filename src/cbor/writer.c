/* Writing items in their shortest form, with libcbor's encoders: see cbor.h. */
#include "cbor/cbor.h"

#include <cbor/encoding.h>
#include <string.h>

#include "cbor/utf8.h"

#define HEAD_MAX 9u

/* size 0 is libcbor's "no room", which a buffer of HEAD_MAX bytes rules out. */
static enum bb_err append(struct bb_buf *out, const uint8_t *head, size_t size) {
    return size == 0 ? BB_ERR_ARGUMENT : bb_buf_append(out, head, size);
}

enum bb_err bb_cbor_put_uint(struct bb_buf *out, uint64_t value) {
    uint8_t head[HEAD_MAX];
    return append(out, head, cbor_encode_uint(value, head, sizeof head));
}

enum bb_err bb_cbor_put_int(struct bb_buf *out, int64_t value) {
    uint8_t head[HEAD_MAX];
    if (value >= 0)
        return bb_cbor_put_uint(out, (uint64_t)value);
    return append(out, head, cbor_encode_negint((uint64_t)(-1 - value), head, sizeof head));
}

/* Head and content at once, so that a full buffer is left as it was. */
static enum bb_err append_string(struct bb_buf *out, const uint8_t *head, size_t size, struct bb_view bytes) {
    uint8_t *to;
    if (size == 0)
        return BB_ERR_ARGUMENT;
    if (bytes.len > SIZE_MAX - size)
        return BB_ERR_TOO_LARGE;
    enum bb_err err = bb_buf_reserve(out, size + bytes.len, &to);
    if (err != BB_OK)
        return err;
    memcpy(to, head, size);
    if (bytes.len > 0)
        memcpy(to + size, bytes.data, bytes.len);
    bb_buf_commit(out, size + bytes.len);
    return BB_OK;
}

enum bb_err bb_cbor_put_bytes(struct bb_buf *out, struct bb_view bytes) {
    uint8_t head[HEAD_MAX];
    return append_string(out, head, cbor_encode_bytestring_start(bytes.len, head, sizeof head), bytes);
}

enum bb_err bb_cbor_put_text_view(struct bb_buf *out, struct bb_view text) {
    uint8_t head[HEAD_MAX];
    if (!bb_utf8_valid(text))
        return BB_ERR_ARGUMENT;
    return append_string(out, head, cbor_encode_string_start(text.len, head, sizeof head), text);
}

enum bb_err bb_cbor_put_text(struct bb_buf *out, const char *text) {
    return bb_cbor_put_text_view(out, bb_view_str(text));
}

enum bb_err bb_cbor_put_bool(struct bb_buf *out, bool value) {
    uint8_t head[HEAD_MAX];
    return append(out, head, cbor_encode_bool(value, head, sizeof head));
}

enum bb_err bb_cbor_put_null(struct bb_buf *out) {
    uint8_t head[HEAD_MAX];
    return append(out, head, cbor_encode_null(head, sizeof head));
}

enum bb_err bb_cbor_put_double(struct bb_buf *out, double value) {
    uint8_t head[HEAD_MAX];
    return append(out, head, cbor_encode_double(value, head, sizeof head));
}

enum bb_err bb_cbor_put_tag(struct bb_buf *out, uint64_t tag) {
    uint8_t head[HEAD_MAX];
    return append(out, head, cbor_encode_tag(tag, head, sizeof head));
}

enum bb_err bb_cbor_put_array(struct bb_buf *out, size_t count) {
    uint8_t head[HEAD_MAX];
    return append(out, head, cbor_encode_array_start(count, head, sizeof head));
}

enum bb_err bb_cbor_put_map(struct bb_buf *out, size_t pairs) {
    uint8_t head[HEAD_MAX];
    return append(out, head, cbor_encode_map_start(pairs, head, sizeof head));
}
