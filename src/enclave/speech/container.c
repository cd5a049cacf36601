/* See container.h. Tells the kinds apart by their first bytes; ID3v2 tags in front of MP3 and FLAC are passed
 * over. */
#include "enclave/speech/container.h"

#include <string.h>

#include "base/cursor.h"

#define ID3_HEADER  10u
#define ID3_FOOTER  0x10u /* flag: a copy of the header follows the tag */
#define ID3_TAGS    8u    /* in a row at most */
#define FLAC_MARKER "fLaC"

static bool starts_with(struct bb_view file, const char *marker) {
    size_t len = strlen(marker);
    return file.len >= len && memcmp(file.data, marker, len) == 0;
}

/* Removes ID3v2 tags from the front (id3.org, ID3v2.4 section 3.1); a tag longer than the file leaves
 * nothing. */
static void skip_id3(struct bb_view *file) {
    for (unsigned i = 0; i < ID3_TAGS && starts_with(*file, "ID3") && file->len >= ID3_HEADER; i++) {
        const uint8_t *head = file->data;
        size_t len = (size_t)(head[6] & 0x7f) << 21 | (size_t)(head[7] & 0x7f) << 14 |
                     (size_t)(head[8] & 0x7f) << 7 | (size_t)(head[9] & 0x7f);
        len += ID3_HEADER + ((head[5] & ID3_FOOTER) != 0 ? ID3_HEADER : 0);
        if (len > file->len)
            len = file->len;
        *file = bb_view(file->data + len, file->len - len);
    }
}

enum bb_err bb_container_inspect(struct bb_view file, struct bb_container *out) {
    if (file.len == 0)
        return BB_ERR_AUDIO_EMPTY;
    bool tagged = starts_with(file, "ID3");
    skip_id3(&file);
    if (tagged && file.len == 0)
        return BB_ERR_AUDIO_TRUNCATED;
    if (!tagged && starts_with(file, "RIFF"))
        return bb_container_wav(file, out);
    if (!tagged && starts_with(file, "OggS"))
        return bb_container_ogg(file, out);
    if (starts_with(file, FLAC_MARKER)) { /* how many samples it should hold is seen when it is decoded */
        *out = (struct bb_container){.kind = BB_CONTAINER_FLAC, .file = file};
        return BB_OK;
    }
    return bb_container_mp3(file, out);
}
