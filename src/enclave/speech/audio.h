/* Recordings as users send them, decoded to what engines take. */
#ifndef BB_SPEECH_AUDIO_H
#define BB_SPEECH_AUDIO_H

#include "base/bytes.h"

/* Whether to go on; asked every few thousand samples. */
struct bb_audio_poll {
    void *context;
    bool (*wanted)(void *context);
};

/*
 * Decodes a WAV, FLAC, Ogg Vorbis, Ogg Opus or MP3 file into *samples: float, one channel (the mean of the
 * file's), BB_SPEECH_RATE per second, all finite; at most `seconds` of them. The caller frees the buffer
 * (bb_buf_done wipes it).
 *
 * BB_ERR_AUDIO_FORMAT, _TRUNCATED, _EMPTY, _RATE, _TOO_LONG; BB_ERR_CANCELLED when poll said no.
 */
BB_MUST_USE enum bb_err bb_audio_decode(struct bb_view file, uint64_t seconds,
                                        const struct bb_audio_poll *poll, struct bb_buf *samples);

static inline const float *bb_audio_samples(const struct bb_buf *buf) {
    return (const float *)(const void *)buf->data; /* from malloc: aligned for any type */
}

#endif
