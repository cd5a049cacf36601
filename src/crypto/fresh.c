/* See fresh.h. */
#include "crypto/fresh.h"

#include <string.h>

#include "base/cursor.h"

static const uint8_t magic[8] = {'B', 'B', 'E', 'V', 'I', 'D', '0', '1'};

void bb_fresh_write(const struct bb_fresh *fresh, uint8_t user_data[BB_FRESH_USER_DATA_LEN]) {
    memcpy(user_data, magic, sizeof magic);
    user_data += sizeof magic;
    memcpy(user_data, fresh->exporter, sizeof fresh->exporter);
    user_data += sizeof fresh->exporter;
    memcpy(user_data, fresh->spki_sha256, sizeof fresh->spki_sha256);
    memcpy(user_data + BB_SHA256_LEN, fresh->certificate_sha256, sizeof fresh->certificate_sha256);
}

enum bb_err bb_fresh_read(struct bb_view user_data, struct bb_fresh *out) {
    struct bb_cursor cursor = bb_cursor(user_data);
    struct bb_view found, exporter, spki, certificate;
    if (bb_cursor_take(&cursor, sizeof magic, &found) != BB_OK ||
        memcmp(found.data, magic, sizeof magic) != 0 ||
        bb_cursor_take(&cursor, BB_FRESH_EXPORTER_LEN, &exporter) != BB_OK ||
        bb_cursor_take(&cursor, BB_SHA256_LEN, &spki) != BB_OK ||
        bb_cursor_take(&cursor, BB_SHA256_LEN, &certificate) != BB_OK || cursor.left != 0)
        return BB_ERR_USER_DATA;
    memcpy(out->exporter, exporter.data, exporter.len);
    memcpy(out->spki_sha256, spki.data, spki.len);
    memcpy(out->certificate_sha256, certificate.data, certificate.len);
    return BB_OK;
}
