/* Header field values of the form `value; name=token; name="quoted"` (RFC 9110 section 5.6.6). */
#ifndef BB_GATE_FIELD_VALUE_H
#define BB_GATE_FIELD_VALUE_H

#include "base/bytes.h"

/* ASCII only, whatever the locale. */
bool bb_field_equal(struct bb_view a, const char *lower_case);
/* Without spaces and tabs at both ends. */
struct bb_view bb_field_trim(struct bb_view text);
/* What stands before the first semicolon, trimmed. */
struct bb_view bb_field_main(struct bb_view value);
/*
 * Copies a parameter's value, unquoted, into out (room for max bytes and a terminator). BB_ERR_NOT_FOUND;
 * BB_ERR_TOO_LARGE: longer than max; BB_ERR_PROTOCOL: not well-formed, or there twice.
 */
BB_MUST_USE enum bb_err bb_field_parameter(struct bb_view value, const char *name, char *out, size_t max);

#endif
