/* Base64 (RFC 4648 section 4), strict: see hash.h. */
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

#include "crypto/hash.h"

enum bb_err bb_base64_encode(struct bb_view bytes, struct bb_buf *out) {
    if (bytes.len > INT_MAX / 2)
        return BB_ERR_TOO_LARGE;
    uint8_t *to;
    size_t len = (bytes.len + 2) / 3 * 4;
    enum bb_err err = bb_buf_reserve(out, len, &to);
    if (err != BB_OK || len == 0)
        return err;
    EVP_EncodeBlock(to, bytes.data, (int)bytes.len); /* its terminator goes where the buffer keeps a zero */
    bb_buf_commit(out, len);
    return BB_OK;
}

static bool in_alphabet(uint8_t c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* Digits, then at most two '=': OpenSSL's decoder would pass over white space and more. */
static bool well_formed(struct bb_view text, size_t *padding) {
    if (text.len % 4 != 0)
        return false;
    *padding = 0;
    while (*padding < 2 && *padding < text.len && text.data[text.len - 1 - *padding] == '=')
        ++*padding;
    for (size_t i = 0; i < text.len - *padding; i++)
        if (!in_alphabet(text.data[i]))
            return false;
    return true;
}

/* Bits of the last digit that no byte uses must be zero: one text for each value. */
static bool is_canonical(const uint8_t *decoded, size_t len, struct bb_view text) {
    uint8_t again[5];
    if (len == 0)
        return true;
    size_t tail = (len - 1) % 3 + 1;
    EVP_EncodeBlock(again, decoded + len - tail, (int)tail);
    return memcmp(again, text.data + text.len - 4, 4) == 0;
}

enum bb_err bb_base64_decode(struct bb_view text, struct bb_buf *out) {
    size_t padding;
    if (text.len > INT_MAX)
        return BB_ERR_TOO_LARGE;
    if (!well_formed(text, &padding))
        return BB_ERR_BASE64;
    if (text.len == 0)
        return BB_OK;
    struct bb_buf decoded BB_CLEANUP_BUF = BB_BUF_INIT(text.len);
    uint8_t *to;
    enum bb_err err = bb_buf_reserve(&decoded, text.len / 4 * 3, &to);
    if (err != BB_OK)
        return err;
    if (EVP_DecodeBlock(to, text.data, (int)text.len) < 0)
        return BB_ERR_BASE64;
    size_t len = text.len / 4 * 3 - padding;
    if (!is_canonical(to, len, text))
        return BB_ERR_BASE64;
    return bb_buf_append(out, to, len);
}
