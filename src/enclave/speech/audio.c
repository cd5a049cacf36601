/*
 * See audio.h. libsndfile decodes, libsoxr resamples; both in pieces, so that nothing is allocated by what a
 * header claims. The file is hostile: bb_container_inspect() lets only the kinds pass that are meant to be
 * decoded, and what libsndfile then says it opened is held against a list again.
 */
#include "enclave/speech/audio.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sndfile.h>
#include <soxr.h>

#include "enclave/speech/container.h"
#include "enclave/speech/engine.h"

#define RIFF_SIZE_AT 4u
#define PIECE_FRAMES 4096u
#define AMPLITUDE    64.0f /* full scale is 1; float files may exceed it, but not so that products overflow */
/* Resampled samples of one piece: 8 kHz doubles; some more for what the filter held back. */
#define PIECE_OUT (4u * PIECE_FRAMES)

/* --- the file as libsndfile's virtual I/O --- */

struct reader {
    struct bb_container container;
    sf_count_t at;
};

static sf_count_t file_len(void *user) {
    const struct reader *reader = user;
    return (sf_count_t)reader->container.file.len;
}

static sf_count_t file_seek(sf_count_t offset, int whence, void *user) {
    struct reader *reader = user;
    sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? reader->at : file_len(user);
    sf_count_t to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0)
        return -1;
    reader->at = to;
    return to;
}

/* Writes a little-endian number that stands at `field` of the file into what was read of it from `at` on. */
static void show_number(size_t field, uint32_t value, size_t at, uint8_t *read, size_t len) {
    for (size_t i = 0; i < 4; i++)
        if (field + i >= at && field + i - at < len)
            read[field + i - at] = (uint8_t)(value >> (8 * i));
}

/* Both sizes in a WAV header are shown as they are, whatever they claim: libsndfile then has nothing to
 * guess. */
static void show_sizes(const struct reader *reader, uint8_t *read, size_t len) {
    const struct bb_container *container = &reader->container;
    if (container->kind != BB_CONTAINER_WAV)
        return;
    show_number(RIFF_SIZE_AT, (uint32_t)container->file.len - 8, (size_t)reader->at, read, len);
    show_number(container->data_size_at, container->data_size, (size_t)reader->at, read, len);
}

static sf_count_t file_read(void *out, sf_count_t count, void *user) {
    struct reader *reader = user;
    sf_count_t left = file_len(user) - reader->at;
    if (left <= 0 || count <= 0)
        return 0;
    if (count > left)
        count = left;
    memcpy(out, reader->container.file.data + reader->at, (size_t)count);
    show_sizes(reader, out, (size_t)count);
    reader->at += count;
    return count;
}

static sf_count_t file_write(const void *data, sf_count_t count, void *user) {
    (void)data;
    (void)count;
    (void)user;
    return 0;
}

static sf_count_t file_tell(void *user) {
    const struct reader *reader = user;
    return reader->at;
}

static SF_VIRTUAL_IO file_io = {file_len, file_seek, file_read, file_write, file_tell};

/* --- one decoding --- */

struct decoding {
    struct reader reader;
    SNDFILE *file;
    SF_INFO info;
    soxr_t resampler; /* NULL where the rate is right already */
    uint64_t frames;  /* read from the file */
    float interleaved[PIECE_FRAMES * BB_AUDIO_CHANNELS_MAX];
    float mono[PIECE_FRAMES];
};

static void decoding_free(struct decoding **pointer) {
    struct decoding *decoding = *pointer;
    if (decoding == NULL)
        return;
    if (decoding->file != NULL)
        sf_close(decoding->file);
    if (decoding->resampler != NULL)
        soxr_delete(decoding->resampler);
    bb_wipe(decoding, sizeof *decoding);
    free(decoding);
}

static bool format_allowed(enum bb_container_kind kind, int format) {
    int major = format & SF_FORMAT_TYPEMASK, minor = format & SF_FORMAT_SUBMASK;
    switch (kind) {
    case BB_CONTAINER_WAV:
        return (major == SF_FORMAT_WAV || major == SF_FORMAT_WAVEX) &&
               (minor == SF_FORMAT_PCM_U8 || minor == SF_FORMAT_PCM_16 || minor == SF_FORMAT_PCM_24 ||
                minor == SF_FORMAT_PCM_32 || minor == SF_FORMAT_FLOAT || minor == SF_FORMAT_DOUBLE ||
                minor == SF_FORMAT_ULAW || minor == SF_FORMAT_ALAW);
    case BB_CONTAINER_FLAC:
        return major == SF_FORMAT_FLAC;
    case BB_CONTAINER_OGG:
        return major == SF_FORMAT_OGG && (minor == SF_FORMAT_VORBIS || minor == SF_FORMAT_OPUS);
    case BB_CONTAINER_MP3:
        return major == SF_FORMAT_MPEG && minor == SF_FORMAT_MPEG_LAYER_III;
    }
    return false;
}

/* Longer than the limit by what the file says of itself? Where that is a lie, it is not worth decoding
 * either. */
static bool claims_too_long(const struct decoding *decoding, uint64_t seconds) {
    const struct bb_container *container = &decoding->reader.container;
    if (container->frames / (container->rate != 0 ? container->rate : 1) > seconds)
        return true;
    bool exact = container->kind == BB_CONTAINER_FLAC || container->kind == BB_CONTAINER_OGG;
    return exact && decoding->info.frames != SF_COUNT_MAX &&
           decoding->info.frames / decoding->info.samplerate > (sf_count_t)seconds;
}

static enum bb_err open_file(struct decoding *decoding, uint64_t seconds) {
    decoding->file = sf_open_virtual(&file_io, SFM_READ, &decoding->info, &decoding->reader);
    if (decoding->file == NULL)
        return BB_ERR_AUDIO_FORMAT;
    const SF_INFO *info = &decoding->info;
    if (!format_allowed(decoding->reader.container.kind, info->format))
        return BB_ERR_AUDIO_FORMAT;
    if (info->samplerate < (int)BB_AUDIO_RATE_MIN || info->samplerate > (int)BB_AUDIO_RATE_MAX ||
        info->channels < 1 || info->channels > (int)BB_AUDIO_CHANNELS_MAX)
        return BB_ERR_AUDIO_RATE;
    return claims_too_long(decoding, seconds) ? BB_ERR_AUDIO_TOO_LONG : BB_OK;
}

static enum bb_err open_resampler(struct decoding *decoding) {
    if (decoding->info.samplerate == (int)BB_SPEECH_RATE)
        return BB_OK;
    soxr_error_t error = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    decoding->resampler =
        soxr_create(decoding->info.samplerate, BB_SPEECH_RATE, 1, &error, &io, &quality, &runtime);
    return error == NULL && decoding->resampler != NULL ? BB_OK : BB_ERR_NO_MEMORY;
}

/* The mean of the channels; what is not a number becomes silence. */
static void mix(struct decoding *decoding, size_t frames) {
    size_t channels = (size_t)decoding->info.channels;
    const float *in = decoding->interleaved;
    for (size_t i = 0; i < frames; i++, in += channels) {
        float sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += isfinite(in[c]) ? fminf(fmaxf(in[c], -AMPLITUDE), AMPLITUDE) : 0.0f;
        decoding->mono[i] = sum / (float)channels;
    }
}

/* Appends `count` samples (or, without a resampler's input, what it still holds) at the engine's rate. */
static enum bb_err put_samples(struct decoding *decoding, const float *in, size_t count,
                               struct bb_buf *samples) {
    if (decoding->resampler == NULL)
        return bb_buf_append(samples, in, count * sizeof(float));
    size_t done = 0, used, made;
    do {
        uint8_t *to;
        enum bb_err err = bb_buf_reserve(samples, PIECE_OUT * sizeof(float), &to);
        if (err != BB_OK)
            return err;
        const float *at = in == NULL ? NULL : in + done;
        if (soxr_process(decoding->resampler, at, count - done, &used, (float *)(void *)to, PIECE_OUT,
                         &made) != NULL)
            return BB_ERR_NO_MEMORY;
        bb_buf_commit(samples, made * sizeof(float));
        done += used;
    } while (done < count || (in == NULL && made > 0));
    return BB_OK;
}

static enum bb_err read_all(struct decoding *decoding, uint64_t seconds, const struct bb_audio_poll *poll,
                            struct bb_buf *samples) {
    uint64_t frames_max = seconds * (uint64_t)decoding->info.samplerate;
    for (;;) {
        if (!poll->wanted(poll->context))
            return BB_ERR_CANCELLED;
        sf_count_t read = sf_readf_float(decoding->file, decoding->interleaved, PIECE_FRAMES);
        if (read <= 0)
            return put_samples(decoding, NULL, 0, samples);
        decoding->frames += (uint64_t)read;
        if (decoding->frames > frames_max)
            return BB_ERR_AUDIO_TOO_LONG;
        mix(decoding, (size_t)read);
        enum bb_err err = put_samples(decoding, decoding->mono, (size_t)read, samples);
        if (err != BB_OK)
            return err;
    }
}

/* Fewer samples than a FLAC header or a whole WAV file promised: damage that the container did not show. */
static bool cut_short(const struct decoding *decoding) {
    const struct bb_container *container = &decoding->reader.container;
    if (container->kind == BB_CONTAINER_FLAC)
        return decoding->info.frames != SF_COUNT_MAX && decoding->frames < (uint64_t)decoding->info.frames;
    return container->kind == BB_CONTAINER_WAV && decoding->frames < container->frames;
}

enum bb_err bb_audio_decode(struct bb_view file, uint64_t seconds, const struct bb_audio_poll *poll,
                            struct bb_buf *samples) {
    struct decoding *decoding __attribute__((cleanup(decoding_free))) = calloc(1, sizeof *decoding);
    if (decoding == NULL)
        return BB_ERR_NO_MEMORY;
    enum bb_err err = bb_container_inspect(file, &decoding->reader.container);
    if (err != BB_OK)
        return err;
    err = open_file(decoding, seconds);
    if (err == BB_OK)
        err = open_resampler(decoding);
    if (err != BB_OK)
        return err;
    /* Frames are counted against the limit as they are read; the ceiling has room for rounding and a piece.
     */
    struct bb_buf made BB_CLEANUP_BUF =
        BB_BUF_INIT((seconds * BB_SPEECH_RATE + 3 * PIECE_OUT) * sizeof(float));
    err = read_all(decoding, seconds, poll, &made);
    if (err == BB_OK && cut_short(decoding))
        err = BB_ERR_AUDIO_TRUNCATED;
    if (err == BB_OK && made.len == 0)
        err = decoding->frames == 0 ? BB_ERR_AUDIO_EMPTY : BB_OK;
    if (err != BB_OK)
        return err;
    *samples = made;
    made = (struct bb_buf){0};
    return BB_OK;
}
