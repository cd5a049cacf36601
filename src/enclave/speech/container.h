/*
 * What kind of audio file is this, and is it whole? Looked at before a decoder sees a byte: only the kinds
 * named here reach one.
 */
#ifndef BB_SPEECH_CONTAINER_H
#define BB_SPEECH_CONTAINER_H

#include "base/bytes.h"

#define BB_AUDIO_RATE_MIN     8000u
#define BB_AUDIO_RATE_MAX     192000u
#define BB_AUDIO_CHANNELS_MAX 8u

enum bb_container_kind { BB_CONTAINER_WAV, BB_CONTAINER_FLAC, BB_CONTAINER_OGG, BB_CONTAINER_MP3 };

struct bb_container {
    enum bb_container_kind kind;
    struct bb_view file; /* what the decoder gets: no ID3 tags in front, nothing behind a WAV's samples */
    /* Length as far as the container alone tells it; 0 where only decoding does. */
    uint64_t frames;
    uint32_t rate; /* of frames; 0 with them */
    /* WAV: where the data chunk's size stands, and what it is in truth. The decoder is shown that. */
    size_t data_size_at;
    uint32_t data_size;
};

/*
 * BB_ERR_AUDIO_EMPTY for no bytes at all or a WAV file without samples, _FORMAT for anything that is not one
 * of the kinds (or is, in an encoding that is not decoded here), _RATE for a WAV header with a rate or
 * channel count out of bounds, _TRUNCATED where the file itself says that it is longer than it is.
 */
BB_MUST_USE enum bb_err bb_container_inspect(struct bb_view file, struct bb_container *out);

/* The parts, one per kind; the input starts at the container's first byte. */
BB_MUST_USE enum bb_err bb_container_wav(struct bb_view file, struct bb_container *out);
BB_MUST_USE enum bb_err bb_container_ogg(struct bb_view file, struct bb_container *out);
BB_MUST_USE enum bb_err bb_container_mp3(struct bb_view file, struct bb_container *out);

#endif
