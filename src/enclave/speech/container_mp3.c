/*
 * MP3 (ISO 11172-3, 13818-3 layer III): walks the frame headers from the first byte. A file whose last frame
 * is cut, or that holds fewer frames than its Xing/Info header counts, is truncated. Two frames in a row must
 * be there at the start, or the whole file must be one.
 */
#include "enclave/speech/container.h"

#include <string.h>

#include "base/cursor.h"

#define HEADER     4u
#define LAYER_III  1u
#define HAS_FRAMES 1u /* flags of a Xing header: which numbers follow */
#define HAS_BYTES  2u

struct frame {
    size_t len; /* 0: free format, its length is not in the header */
    uint32_t rate, samples;
    size_t side_bytes;
};

static const uint16_t kbps_mpeg1[15] = {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320};
static const uint16_t kbps_mpeg2[15] = {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160};
static const uint32_t mpeg1_rates[3] = {44100, 48000, 32000};

static bool read_frame(const uint8_t *at, size_t left, struct frame *out) {
    if (left < HEADER || at[0] != 0xff || (at[1] & 0xe0) != 0xe0)
        return false;
    unsigned version = at[1] >> 3 & 3, layer = at[1] >> 1 & 3; /* 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5 */
    unsigned bitrate = at[2] >> 4, rate = at[2] >> 2 & 3;
    if (version == 1 || layer != LAYER_III || bitrate == 15 || rate == 3)
        return false;
    bool mpeg1 = version == 3, mono = at[3] >> 6 == 3;
    struct frame frame = {.rate = mpeg1_rates[rate] >> (mpeg1          ? 0
                                                        : version == 2 ? 1
                                                                       : 2),
                          .samples = mpeg1 ? 1152 : 576,
                          .side_bytes = mpeg1 ? (mono ? 17 : 32) : (mono ? 9 : 17)};
    uint32_t bits = 1000u * (mpeg1 ? kbps_mpeg1 : kbps_mpeg2)[bitrate];
    if (bits != 0)
        frame.len = frame.samples / 8 * bits / frame.rate + (at[2] >> 1 & 1);
    *out = frame;
    return true;
}

/* What a Xing or Info header in the first frame promises; zeros without one. */
struct promise {
    uint32_t frames, bytes;
};

static struct promise read_promise(struct bb_view first, const struct frame *frame) {
    struct bb_cursor in = bb_cursor(first);
    struct bb_view skipped, tag;
    uint32_t flags;
    struct promise promise = {0};
    if (bb_cursor_take(&in, HEADER + frame->side_bytes, &skipped) != BB_OK ||
        bb_cursor_take(&in, 4, &tag) != BB_OK ||
        (memcmp(tag.data, "Xing", 4) != 0 && memcmp(tag.data, "Info", 4) != 0) ||
        bb_cursor_u32(&in, &flags) != BB_OK)
        return promise;
    if ((flags & HAS_FRAMES) != 0 && bb_cursor_u32(&in, &promise.frames) != BB_OK)
        return (struct promise){0};
    if ((flags & HAS_BYTES) != 0 && bb_cursor_u32(&in, &promise.bytes) != BB_OK)
        return (struct promise){0};
    return promise;
}

struct walk {
    uint64_t frames, bytes;
    bool cut; /* the last frame ends past the file */
};

/*
 * Encoders disagree on whether the header's own frame counts. So one frame less than promised is damage only
 * where bytes are missing as well.
 */
static bool keeps(const struct walk *walk, const struct promise *promise) {
    if (walk->cut || walk->frames < promise->frames)
        return false;
    return walk->frames > promise->frames || walk->bytes >= promise->bytes;
}

static struct walk walk_frames(struct bb_view file) {
    struct walk walk = {0};
    struct frame frame;
    size_t at = 0;
    while (read_frame(file.data + at, file.len - at, &frame) && frame.len >= HEADER) {
        if (frame.len > file.len - at) {
            walk.cut = true;
            break;
        }
        walk.frames++;
        at += frame.len;
    }
    walk.bytes = at;
    return walk;
}

enum bb_err bb_container_mp3(struct bb_view file, struct bb_container *out) {
    struct frame first, second;
    if (!read_frame(file.data, file.len, &first))
        return BB_ERR_AUDIO_FORMAT;
    struct bb_container made = {.kind = BB_CONTAINER_MP3, .file = file};
    if (first.len == 0) { /* free format: the decoder finds the frames */
        *out = made;
        return BB_OK;
    }
    if (first.len > file.len)
        return BB_ERR_AUDIO_TRUNCATED;
    size_t left = file.len - first.len;
    if (left >= HEADER && !read_frame(file.data + first.len, left, &second))
        return BB_ERR_AUDIO_FORMAT;
    struct walk walk = walk_frames(file);
    struct promise promise = read_promise(bb_view(file.data, first.len), &first);
    if (!keeps(&walk, &promise))
        return BB_ERR_AUDIO_TRUNCATED;
    made.frames = walk.frames * first.samples;
    made.rate = first.rate;
    *out = made;
    return BB_OK;
}
