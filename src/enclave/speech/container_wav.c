/*
 * WAV: walks the chunks to the samples. Programs that write to a pipe cannot know the length and put a
 * marker where it belongs; such files are taken to their end. Any other length is a promise, and a file that
 * holds less is truncated.
 */
#include "enclave/speech/container.h"

#include <string.h>

#include "enclave/speech/little.h"

#define FORMAT_PCM        1u
#define FORMAT_FLOAT      3u
#define FORMAT_ALAW       6u
#define FORMAT_MULAW      7u
#define FORMAT_EXTENSIBLE 0xfffeu /* the real one stands in the extension */
#define SUBFORMAT_AT      8u      /* bytes of the extension before it */

struct format {
    uint16_t encoding, channels, block_bytes;
    uint32_t rate;
};

/* Sizes of the data chunk that mean "unknown": ffmpeg and OpenAI (with the file's size likewise), sox,
 * arecord. */
static bool length_unknown(uint32_t data_size, uint32_t riff_size) {
    switch (data_size) {
    case 0xffffffffu:
        return riff_size == 0xffffffffu || riff_size == 0;
    case 0x80000000u:
    case 0x7fffffffu:
    case 0x7ffff000u:
        return true;
    default:
        return false;
    }
}

static enum bb_err read_format(struct bb_view chunk, struct format *out) {
    struct bb_cursor in = bb_cursor(chunk);
    struct format format;
    uint32_t byte_rate;
    uint16_t bits;
    struct bb_view skipped;
    if (bb_little_u16(&in, &format.encoding) != BB_OK || bb_little_u16(&in, &format.channels) != BB_OK ||
        bb_little_u32(&in, &format.rate) != BB_OK || bb_little_u32(&in, &byte_rate) != BB_OK ||
        bb_little_u16(&in, &format.block_bytes) != BB_OK || bb_little_u16(&in, &bits) != BB_OK)
        return BB_ERR_AUDIO_FORMAT;
    if (format.encoding == FORMAT_EXTENSIBLE && (bb_cursor_take(&in, SUBFORMAT_AT, &skipped) != BB_OK ||
                                                 bb_little_u16(&in, &format.encoding) != BB_OK))
        return BB_ERR_AUDIO_FORMAT;
    if (format.encoding != FORMAT_PCM && format.encoding != FORMAT_FLOAT && format.encoding != FORMAT_ALAW &&
        format.encoding != FORMAT_MULAW)
        return BB_ERR_AUDIO_FORMAT;
    if (format.rate < BB_AUDIO_RATE_MIN || format.rate > BB_AUDIO_RATE_MAX || format.channels == 0 ||
        format.channels > BB_AUDIO_CHANNELS_MAX)
        return BB_ERR_AUDIO_RATE;
    if (format.block_bytes == 0)
        return BB_ERR_AUDIO_FORMAT;
    *out = format;
    return BB_OK;
}

/* How many bytes of samples there are: what the chunk claims, or all where the writer did not know. */
static enum bb_err samples_len(uint32_t claimed, uint32_t riff_size, struct bb_view file, size_t left,
                               size_t *out) {
    size_t len = claimed;
    size_t riff_end = (size_t)riff_size + 8;
    bool never_finished = claimed == 0 && (riff_size == 0 || riff_end <= file.len - left);
    if (never_finished || length_unknown(claimed, riff_size))
        len = left;
    if (len > left)
        return BB_ERR_AUDIO_TRUNCATED;
    if (len == 0)
        return BB_ERR_AUDIO_EMPTY;
    *out = len;
    return BB_OK;
}

enum bb_err bb_container_wav(struct bb_view file, struct bb_container *out) {
    struct bb_cursor in = bb_cursor(file);
    struct bb_view riff, wave, id, chunk;
    uint32_t riff_size, size;
    struct format format = {0};
    if (bb_cursor_take(&in, 4, &riff) != BB_OK || bb_little_u32(&in, &riff_size) != BB_OK ||
        bb_cursor_take(&in, 4, &wave) != BB_OK || memcmp(wave.data, "WAVE", 4) != 0)
        return BB_ERR_AUDIO_FORMAT;
    for (;;) {
        if (bb_cursor_take(&in, 4, &id) != BB_OK || bb_little_u32(&in, &size) != BB_OK)
            return BB_ERR_AUDIO_FORMAT; /* no samples, and not even the header of them */
        if (memcmp(id.data, "data", 4) == 0)
            break;
        if (bb_cursor_take(&in, size, &chunk) != BB_OK)
            return BB_ERR_AUDIO_FORMAT;
        enum bb_err err = memcmp(id.data, "fmt ", 4) == 0 ? read_format(chunk, &format) : BB_OK;
        if (err != BB_OK)
            return err;
        if (size % 2 != 0 && bb_cursor_take(&in, 1, &chunk) != BB_OK)
            return BB_ERR_AUDIO_FORMAT;
    }
    if (format.rate == 0)
        return BB_ERR_AUDIO_FORMAT;
    size_t len;
    enum bb_err err = samples_len(size, riff_size, file, in.left, &len);
    if (err != BB_OK)
        return err;
    size_t samples_at = file.len - in.left;
    if (samples_at + len > UINT32_MAX)
        return BB_ERR_AUDIO_FORMAT; /* no such WAV file */
    *out = (struct bb_container){.kind = BB_CONTAINER_WAV,
                                 .file = bb_view(file.data, samples_at + len),
                                 .frames = len / format.block_bytes,
                                 .rate = format.rate,
                                 .data_size_at = samples_at - 4,
                                 .data_size = (uint32_t)len};
    return BB_OK;
}
