/*
 * Ogg (RFC 3533): the first page must open a Vorbis or Opus stream; then every page is walked. A file that
 * ends inside a page, or whose last page is not marked as the end of its stream, is truncated.
 */
#include "enclave/speech/container.h"

#include <string.h>

#include "base/cursor.h"

#define PAGE_HEADER   27u
#define END_OF_STREAM 0x04u
#define VORBIS        "\x01vorbis"
#define OPUS          "OpusHead"

struct page {
    bool last; /* of its stream */
    struct bb_view body;
};

/* BB_ERR_NOT_FOUND where no page starts. */
static enum bb_err read_page(struct bb_cursor *in, struct page *out) {
    struct bb_view head, lacing, body;
    size_t known = in->left < 4 ? in->left : 4;
    if (memcmp(in->at, "OggS", known) != 0)
        return BB_ERR_NOT_FOUND;
    if (bb_cursor_take(in, PAGE_HEADER, &head) != BB_OK ||
        bb_cursor_take(in, head.data[PAGE_HEADER - 1], &lacing) != BB_OK)
        return BB_ERR_AUDIO_TRUNCATED;
    size_t len = 0;
    for (size_t i = 0; i < lacing.len; i++)
        len += lacing.data[i];
    if (bb_cursor_take(in, len, &body) != BB_OK)
        return BB_ERR_AUDIO_TRUNCATED;
    *out = (struct page){.last = (head.data[5] & END_OF_STREAM) != 0, .body = body};
    return BB_OK;
}

static bool opens_with(struct bb_view body, const char *marker) {
    size_t len = strlen(marker);
    return body.len >= len && memcmp(body.data, marker, len) == 0;
}

enum bb_err bb_container_ogg(struct bb_view file, struct bb_container *out) {
    struct bb_cursor in = bb_cursor(file);
    struct page page;
    enum bb_err err = read_page(&in, &page);
    if (err != BB_OK)
        return err == BB_ERR_NOT_FOUND ? BB_ERR_AUDIO_FORMAT : err;
    if (!opens_with(page.body, VORBIS) && !opens_with(page.body, OPUS))
        return BB_ERR_AUDIO_FORMAT;
    while (in.left > 0 && err == BB_OK)
        err = read_page(&in, &page);
    if (err == BB_ERR_AUDIO_TRUNCATED || !page.last)
        return BB_ERR_AUDIO_TRUNCATED;
    *out = (struct bb_container){.kind = BB_CONTAINER_OGG, .file = file};
    return BB_OK;
}
