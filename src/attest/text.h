/* Values as people read them in a report's sentences. */
#ifndef BB_ATTEST_TEXT_H
#define BB_ATTEST_TEXT_H

#include "base/bytes.h"
#include <blindbox/policy.h>

#define BB_TIME_TEXT_MAX  48u
#define BB_BYTES_TEXT_MAX 192u
#define BB_LINE_TEXT_MAX  96u
#define BB_PCR_TEXT_MAX   (2 * BB_PCR_LEN + 1)

/* "2026-02-03T14:05:06Z" (RFC 3339). Returns out. */
const char *bb_text_time(int64_t time_ms, char out[BB_TIME_TEXT_MAX]);
/* Hexadecimal digits, those of the SHA-256 when it is long, or "absent". Returns out. */
const char *bb_text_bytes(struct bb_view bytes, char out[BB_BYTES_TEXT_MAX]);
/* Text from outside: printable ASCII, the rest as '?', cut to fit. Returns out. */
const char *bb_text_line(struct bb_view text, char out[BB_LINE_TEXT_MAX]);
/* 96 digits. Returns out. */
const char *bb_text_pcr(const uint8_t pcr[BB_PCR_LEN], char out[BB_PCR_TEXT_MAX]);

#endif
