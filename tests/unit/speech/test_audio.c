/* Decoding: every kind, rate and channel count that is promised comes out as 16 kHz mono of the right length
 * and tone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sndfile.h>

#include "enclave/speech/audio.h"
#include "enclave/speech/engine.h"
#include "sounds.h"

static bool yes(void *context) {
    (void)context;
    return true;
}
static const struct bb_audio_poll go_on = {.wanted = yes};

/* Loudness (root of the mean square) of the middle of a recording, where encoders have settled. */
static double loudness(const float *samples, size_t count) {
    double sum = 0;
    for (size_t i = count / 4; i < count * 3 / 4; i++)
        sum += (double)samples[i] * (double)samples[i];
    return sqrt(sum / (double)(count / 2));
}

/* The tone's frequency by its zero crossings, at 16 kHz. */
static double pitch(const float *samples, size_t count) {
    size_t crossings = 0;
    for (size_t i = count / 4; i < count * 3 / 4; i++)
        crossings += (samples[i] < 0) != (samples[i + 1] < 0);
    return (double)crossings / 2 / ((double)(count / 2) / BB_SPEECH_RATE);
}

static void comes_out_right(const struct sound *sound) {
    struct bb_buf file BB_CLEANUP_BUF = sound_file(sound);
    struct bb_buf samples BB_CLEANUP_BUF = {0};
    enum bb_err err = bb_audio_decode(bb_buf_view(&file), 10, &go_on, &samples);
    if (err != BB_OK)
        print_error("format %#x, %d Hz, %d channels: %s\n", (unsigned)sound->format, sound->rate,
                    sound->channels, bb_err_name(err));
    assert_int_equal(err, BB_OK);
    size_t count = samples.len / sizeof(float);
    double seconds = (double)count / BB_SPEECH_RATE;
    bool lossless = (sound->format & SF_FORMAT_TYPEMASK) != SF_FORMAT_MPEG;
    double slack = lossless ? 0.001 : 0.1; /* MP3 is padded to whole frames */
    if (fabs(seconds - sound->seconds) > slack)
        fail_msg("format %#x at %d Hz: %.4f s instead of %.4f", (unsigned)sound->format, sound->rate, seconds,
                 sound->seconds);
    double loud = loudness(bb_audio_samples(&samples), count),
           tone = pitch(bb_audio_samples(&samples), count);
    if (fabs(loud - 0.5 / sqrt(2)) > 0.03 || fabs(tone - sound->hertz) > 3)
        fail_msg("format %#x at %d Hz, %d channels: loudness %.3f, tone %.1f Hz", (unsigned)sound->format,
                 sound->rate, sound->channels, loud, tone);
}

static void every_kind(void **state) {
    (void)state;
    static const int formats[] = {
        SF_FORMAT_WAV | SF_FORMAT_PCM_U8,   SF_FORMAT_WAV | SF_FORMAT_PCM_16,
        SF_FORMAT_WAV | SF_FORMAT_PCM_24,   SF_FORMAT_WAV | SF_FORMAT_PCM_32,
        SF_FORMAT_WAV | SF_FORMAT_FLOAT,    SF_FORMAT_WAV | SF_FORMAT_DOUBLE,
        SF_FORMAT_WAV | SF_FORMAT_ULAW,     SF_FORMAT_WAV | SF_FORMAT_ALAW,
        SF_FORMAT_WAVEX | SF_FORMAT_PCM_U8, SF_FORMAT_WAVEX | SF_FORMAT_PCM_16,
        SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, SF_FORMAT_WAVEX | SF_FORMAT_PCM_32,
        SF_FORMAT_WAVEX | SF_FORMAT_FLOAT,  SF_FORMAT_WAVEX | SF_FORMAT_DOUBLE,
        SF_FORMAT_FLAC | SF_FORMAT_PCM_S8,  SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
        SF_FORMAT_FLAC | SF_FORMAT_PCM_24,  SF_FORMAT_OGG | SF_FORMAT_VORBIS,
        SF_FORMAT_OGG | SF_FORMAT_OPUS,     SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III,
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        comes_out_right(&(struct sound){formats[i], 16000, 1, 2.0, 440});
        comes_out_right(&(struct sound){formats[i], 48000, 2, 1.5, 1000});
    }
}

static void every_rate(void **state) {
    (void)state;
    static const int rates[] = {8000,  11025, 12000, 16000, 22050,  24000, 32000,
                                44100, 48000, 88200, 96000, 176400, 192000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        comes_out_right(&(struct sound){SF_FORMAT_WAV | SF_FORMAT_PCM_16, rates[i], 1, 1.7, 700});
        comes_out_right(&(struct sound){SF_FORMAT_FLAC | SF_FORMAT_PCM_16, rates[i], 2, 1.1, 700});
        comes_out_right(&(struct sound){SF_FORMAT_OGG | SF_FORMAT_VORBIS, rates[i], 1, 2.1, 700});
        if (rates[i] <= 48000)
            comes_out_right(
                &(struct sound){SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, rates[i], 1, 2.1, 700});
    }
}

static void every_channel_count(void **state) {
    (void)state;
    for (int channels = 1; channels <= 8; channels++) {
        comes_out_right(&(struct sound){SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, channels, 1, 500});
        comes_out_right(&(struct sound){SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 16000, channels, 1, 500});
        comes_out_right(&(struct sound){SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, channels, 1, 500});
        comes_out_right(&(struct sound){SF_FORMAT_OGG | SF_FORMAT_VORBIS, 48000, channels, 1, 100});
    }
}

/* Two channels that are each other's opposite have silence for a mean; one alone has half. */
static void channels_are_averaged(void **state) {
    (void)state;
    const size_t frames = 16000;
    float *samples = calloc(2 * frames, sizeof *samples);
    assert_non_null(samples);
    for (size_t i = 0; i < frames; i++) {
        samples[2 * i] = (float)(0.5 * sin(0.2 * (double)i));
        samples[2 * i + 1] = -samples[2 * i];
    }
    struct sound stereo = {SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 2, 1, 0};
    struct bb_buf opposite BB_CLEANUP_BUF = sound_file_of(&stereo, samples, frames);
    for (size_t i = 0; i < frames; i++)
        samples[2 * i + 1] = 0;
    struct bb_buf one_side BB_CLEANUP_BUF = sound_file_of(&stereo, samples, frames);
    free(samples);
    struct bb_buf out BB_CLEANUP_BUF = {0}, half BB_CLEANUP_BUF = {0};
    assert_int_equal(bb_audio_decode(bb_buf_view(&opposite), 10, &go_on, &out), BB_OK);
    assert_true(loudness(bb_audio_samples(&out), frames) < 1e-6);
    assert_int_equal(bb_audio_decode(bb_buf_view(&one_side), 10, &go_on, &half), BB_OK);
    assert_true(fabs(loudness(bb_audio_samples(&half), frames) - 0.25 / sqrt(2)) < 0.001);
}

/* What lies above half the engine's rate must not come back as a false tone. */
static void resampling_keeps_high_tones_out(void **state) {
    (void)state;
    struct bb_buf file BB_CLEANUP_BUF =
        sound_file(&(struct sound){SF_FORMAT_WAV | SF_FORMAT_FLOAT, 48000, 1, 1, 11000});
    struct bb_buf out BB_CLEANUP_BUF = {0};
    assert_int_equal(bb_audio_decode(bb_buf_view(&file), 10, &go_on, &out), BB_OK);
    assert_true(loudness(bb_audio_samples(&out), out.len / sizeof(float)) < 1e-4);
}

static void what_is_no_number_becomes_silence(void **state) {
    (void)state;
    float samples[16000] = {0};
    for (size_t i = 0; i < 16000; i++)
        samples[i] = i % 4 == 0 ? NAN : i % 4 == 1 ? INFINITY : i % 4 == 2 ? -1e30f : 0.25f;
    struct sound mono = {SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, 1, 0};
    struct sound fast = {SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 44100, 1, 1, 0};
    const struct sound *sounds[] = {&mono, &fast};
    for (int k = 0; k < 2; k++) {
        struct bb_buf file BB_CLEANUP_BUF = sound_file_of(sounds[k], samples, 16000);
        struct bb_buf out BB_CLEANUP_BUF = {0};
        assert_int_equal(bb_audio_decode(bb_buf_view(&file), 10, &go_on, &out), BB_OK);
        for (size_t i = 0; i < out.len / sizeof(float); i++)
            assert_true(isfinite(bb_audio_samples(&out)[i]) && fabsf(bb_audio_samples(&out)[i]) < 200);
    }
}

/* Programs that write to a pipe do not know the length. */
static void streamed_wav_is_taken_to_its_end(void **state) {
    (void)state;
    struct bb_buf file BB_CLEANUP_BUF =
        sound_file(&(struct sound){SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 1, 440});
    static const uint32_t sizes[][2] = {/* RIFF, data */
                                        {0xffffffff, 0xffffffff},
                                        {0, 0xffffffff},
                                        {0x7ffff024, 0x7ffff000},
                                        {0x80000024, 0x80000000},
                                        {0x7fffffff, 0x7fffffff},
                                        {0, 0},
                                        {36, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memcpy(file.data + 4, &sizes[i][0], 4); /* this machine is little-endian, as WAV is */
        memcpy(file.data + 40, &sizes[i][1], 4);
        struct bb_buf out BB_CLEANUP_BUF = {0};
        assert_int_equal(bb_audio_decode(bb_buf_view(&file), 10, &go_on, &out), BB_OK);
        assert_int_equal(out.len / sizeof(float), 16000);
        assert_true(fabs(pitch(bb_audio_samples(&out), 16000) - 440) < 3);
    }
}

/* Tags and chunks around the samples are passed over. */
static void tags_are_passed_over(void **state) {
    (void)state;
    static const int formats[] = {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III,
                                  SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    const uint8_t id3[20] = {'I', 'D', '3', 4, 0, 0, 0, 0, 0, 10};
    for (int k = 0; k < 2; k++) {
        struct bb_buf bare BB_CLEANUP_BUF = sound_file(&(struct sound){formats[k], 16000, 1, 1.5, 440});
        struct bb_buf tagged BB_CLEANUP_BUF = BB_BUF_INIT(SOUND_MAX);
        assert_int_equal(bb_buf_append(&tagged, id3, sizeof id3), BB_OK);
        assert_int_equal(bb_buf_append(&tagged, id3, sizeof id3), BB_OK);
        assert_int_equal(bb_buf_append(&tagged, bare.data, bare.len), BB_OK);
        if (k == 0) {
            uint8_t id3v1[128] = "TAG";
            assert_int_equal(bb_buf_append(&tagged, id3v1, sizeof id3v1), BB_OK);
        }
        struct bb_buf a BB_CLEANUP_BUF = {0}, b BB_CLEANUP_BUF = {0};
        assert_int_equal(bb_audio_decode(bb_buf_view(&bare), 10, &go_on, &a), BB_OK);
        assert_int_equal(bb_audio_decode(bb_buf_view(&tagged), 10, &go_on, &b), BB_OK);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
    }
}

static void recorded_samples_decode(void **state) {
    (void)state;
    struct bb_buf file BB_CLEANUP_BUF = file_bytes(BB_MODELS "/samples/consultation.wav");
    struct bb_buf out BB_CLEANUP_BUF = {0};
    assert_int_equal(bb_audio_decode(bb_buf_view(&file), 10, &go_on, &out), BB_OK);
    assert_true(out.len / sizeof(float) > 3 * BB_SPEECH_RATE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),
        cmocka_unit_test(every_rate),
        cmocka_unit_test(every_channel_count),
        cmocka_unit_test(channels_are_averaged),
        cmocka_unit_test(resampling_keeps_high_tones_out),
        cmocka_unit_test(what_is_no_number_becomes_silence),
        cmocka_unit_test(streamed_wav_is_taken_to_its_end),
        cmocka_unit_test(tags_are_passed_over),
        cmocka_unit_test(recorded_samples_decode),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
