/* See hex.h. */
#include "base/hex.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

void bb_hex_encode(struct bb_view bytes, char *out) {
    for (size_t i = 0; i < bytes.len; i++) {
        *out++ = digits[bytes.data[i] >> 4];
        *out++ = digits[bytes.data[i] & 15];
    }
    *out = '\0';
}

static int digit_value(uint8_t c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum bb_err bb_hex_decode(struct bb_view text, uint8_t *out, size_t len) {
    if (text.len % 2 != 0 || text.len / 2 != len)
        return BB_ERR_HEX;
    for (size_t i = 0; i < text.len; i++)
        if (digit_value(text.data[i]) < 0)
            return BB_ERR_HEX;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(digit_value(text.data[2 * i]) << 4 | digit_value(text.data[2 * i + 1]));
    return BB_OK;
}
