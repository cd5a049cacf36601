/* Hexadecimal text. */
#ifndef BB_BASE_HEX_H
#define BB_BASE_HEX_H

#include "base/bytes.h"

/* Writes 2 * bytes.len lower-case digits and a terminator; out must have room for them. */
void bb_hex_encode(struct bb_view bytes, char *out);
/* Decodes exactly 2 * len digits (either case) into out; anything else is BB_ERR_HEX. */
BB_MUST_USE enum bb_err bb_hex_decode(struct bb_view text, uint8_t *out, size_t len);

#endif
