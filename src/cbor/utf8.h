/* Is it UTF-8 (RFC 3629)? Overlong forms, surrogates and values past U+10FFFF are not. */
#ifndef BB_CBOR_UTF8_H
#define BB_CBOR_UTF8_H

#include "base/bytes.h"

bool bb_utf8_valid(struct bb_view text);

#endif
