/* See text.h. */
#include "attest/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/hex.h"
#include "crypto/hash.h"

#define SHORT_BYTES_MAX 64u

const char *bb_text_time(int64_t time_ms, char out[BB_TIME_TEXT_MAX]) {
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm broken_down;
    if (gmtime_r(&seconds, &broken_down) == NULL ||
        strftime(out, BB_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &broken_down) == 0)
        snprintf(out, BB_TIME_TEXT_MAX, "%lld ms", (long long)time_ms);
    return out;
}

const char *bb_text_bytes(struct bb_view bytes, char out[BB_BYTES_TEXT_MAX]) {
    uint8_t digest[BB_SHA256_LEN];
    if (bytes.data == NULL) {
        snprintf(out, BB_BYTES_TEXT_MAX, "absent");
    } else if (bytes.len == 0) {
        snprintf(out, BB_BYTES_TEXT_MAX, "empty");
    } else if (bytes.len <= SHORT_BYTES_MAX) {
        bb_hex_encode(bytes, out);
    } else if (bb_sha256(bytes, digest) == BB_OK) {
        int len = snprintf(out, BB_BYTES_TEXT_MAX, "%zu bytes with SHA-256 ", bytes.len);
        bb_hex_encode(bb_view(digest, sizeof digest), out + len);
    } else {
        snprintf(out, BB_BYTES_TEXT_MAX, "%zu bytes", bytes.len);
    }
    return out;
}

const char *bb_text_line(struct bb_view text, char out[BB_LINE_TEXT_MAX]) {
    size_t len = text.len < BB_LINE_TEXT_MAX - 1 ? text.len : BB_LINE_TEXT_MAX - 1;
    for (size_t i = 0; i < len; i++)
        out[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? (char)text.data[i] : '?';
    out[len] = '\0';
    return out;
}

const char *bb_text_pcr(const uint8_t pcr[BB_PCR_LEN], char out[BB_PCR_TEXT_MAX]) {
    bb_hex_encode(bb_view(pcr, BB_PCR_LEN), out);
    return out;
}
