/* Audio that is none, is cut short, lies about itself or was damaged: a clear error each, and nothing worse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <sndfile.h>

#include "enclave/speech/audio.h"
#include "enclave/speech/container.h"
#include "sounds.h"

static bool yes(void *context) {
    (void)context;
    return true;
}
static const struct bb_audio_poll go_on = {.wanted = yes};

static const struct sound kinds[] = {
    {SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 2, 440},
    {SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 48000, 2, 1, 440},
    {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, 2, 440},
    {SF_FORMAT_OGG | SF_FORMAT_VORBIS, 16000, 1, 2, 440},
    {SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 1, 2, 440},
    {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 16000, 1, 2, 440},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* Decodes a copy that ends at a page that cannot be read. */
static enum bb_err decode(struct bb_view file) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (file.len + page - 1) / page * page;
    uint8_t *at = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    assert_int_equal(mprotect(at + room, page, PROT_NONE), 0);
    if (file.len > 0)
        memcpy(at + room - file.len, file.data, file.len);
    struct bb_buf samples BB_CLEANUP_BUF = {0};
    enum bb_err err = bb_audio_decode(bb_view(at + room - file.len, file.len), 100, &go_on, &samples);
    if (err != BB_OK)
        assert_null(samples.data);
    munmap(at, room + page);
    return err;
}

static void put16(struct bb_buf *file, size_t at, uint16_t value) {
    memcpy(file->data + at, &value, 2);
}

static void put32(struct bb_buf *file, size_t at, uint32_t value) {
    memcpy(file->data + at, &value, 4);
}

static struct bb_buf wav(void) {
    return sound_file(&kinds[0]);
}

static void no_audio(void **state) {
    (void)state;
    static const char *const texts[] = {"this is not audio",
                                        "RIFF",
                                        "RIFFxxxxWAVE",
                                        "RIFFxxxxAVI LIST",
                                        "OggS",
                                        "fLaC",
                                        "ID3",
                                        "{}",
                                        "\xff",
                                        "\xff\xfb",
                                        "FORM    AIFFCOMM",
                                        ".snd",
                                        "%PDF-1.7"};
    assert_int_equal(decode(bb_view(NULL, 0)), BB_ERR_AUDIO_EMPTY);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        enum bb_err err = decode(bb_view_str(texts[i]));
        if (strcmp(texts[i], "OggS") == 0)
            assert_int_equal(err, BB_ERR_AUDIO_TRUNCATED);
        else
            assert_int_equal(err, BB_ERR_AUDIO_FORMAT);
    }
    uint8_t bytes[25600];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(decode(bb_view(bytes, sizeof bytes)), BB_ERR_AUDIO_FORMAT);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(decode(bb_view(bytes, sizeof bytes)), BB_ERR_AUDIO_FORMAT);
}

/* Kinds that libsndfile knows and users are not promised never get that far. */
static void kinds_that_are_not_offered(void **state) {
    (void)state;
    static const int formats[] = {SF_FORMAT_AIFF | SF_FORMAT_PCM_16, SF_FORMAT_AU | SF_FORMAT_PCM_16,
                                  SF_FORMAT_W64 | SF_FORMAT_PCM_16,  SF_FORMAT_RF64 | SF_FORMAT_PCM_16,
                                  SF_FORMAT_CAF | SF_FORMAT_PCM_16,  SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM,
                                  SF_FORMAT_WAV | SF_FORMAT_GSM610,  SF_FORMAT_VOC | SF_FORMAT_PCM_16};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct bb_buf file BB_CLEANUP_BUF = sound_file(&(struct sound){formats[i], 8000, 1, 1, 440});
        assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_FORMAT);
    }
}

/* Each way of cutting a file is an error; none passes as a shorter recording. */
static void every_truncation(void **state) {
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct bb_buf file BB_CLEANUP_BUF = sound_file(&kinds[k]);
        size_t step = 1;
        for (size_t len = 0; len < file.len; len += step) {
            step = len < 300 || len + 300 > file.len ? 1 : 97;
            enum bb_err err = decode(bb_view(file.data, len));
            bool clear =
                err == BB_ERR_AUDIO_TRUNCATED || err == BB_ERR_AUDIO_FORMAT || err == BB_ERR_AUDIO_EMPTY;
            if (!clear)
                fail_msg("kind %zu cut to %zu of %zu bytes: %s", k, len, file.len, bb_err_name(err));
            if (len > 512 && err != BB_ERR_AUDIO_TRUNCATED)
                fail_msg("kind %zu cut to %zu of %zu bytes: %s", k, len, file.len, bb_err_name(err));
        }
        assert_int_equal(decode(bb_buf_view(&file)), BB_OK);
    }
}

static void wav_that_claims_too_much(void **state) {
    (void)state;
    static const uint32_t claims[] = {1u << 30, 0xffffff00, 4000000000u, 64001, 64002};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct bb_buf file BB_CLEANUP_BUF = wav();
        put32(&file, 4, claims[i] + 36);
        put32(&file, 40, claims[i]);
        assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_TRUNCATED);
    }
    struct bb_buf file BB_CLEANUP_BUF = wav();
    put32(&file, 40, 0xffffffff); /* "unknown" in one place and a length in the other */
    assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_TRUNCATED);
}

static void wav_without_samples(void **state) {
    (void)state;
    struct bb_buf file BB_CLEANUP_BUF = wav();
    put32(&file, 4, 36);
    put32(&file, 40, 0);
    assert_int_equal(decode(bb_view(file.data, 44)), BB_ERR_AUDIO_EMPTY);
    put32(&file, 4, (uint32_t)file.len - 8); /* an empty chunk, then something else */
    assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_EMPTY);
    assert_int_equal(decode(bb_view(file.data, 40)), BB_ERR_AUDIO_FORMAT);
}

static void rates_and_channels_out_of_bounds(void **state) {
    (void)state;
    static const struct {
        uint32_t rate;
        uint16_t channels;
    } cases[] = {{0, 1}, {7999, 1}, {192001, 1}, {0xffffffff, 1}, {16000, 0}, {16000, 9}, {16000, 0xffff}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bb_buf file BB_CLEANUP_BUF = wav();
        put32(&file, 24, cases[i].rate);
        put16(&file, 22, cases[i].channels);
        assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_RATE);
    }
    struct bb_buf slow BB_CLEANUP_BUF =
        sound_file(&(struct sound){SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 4000, 1, 1, 440});
    assert_int_equal(decode(bb_buf_view(&slow)), BB_ERR_AUDIO_RATE);
    struct bb_buf many BB_CLEANUP_BUF =
        sound_file(&(struct sound){SF_FORMAT_OGG | SF_FORMAT_VORBIS, 16000, 9, 1, 440});
    assert_int_equal(decode(bb_buf_view(&many)), BB_ERR_AUDIO_RATE);
}

/* The header's sample count: 36 bits at offset 18 + 28 bits. */
static void claim_flac_samples(struct bb_buf *file, uint64_t samples) {
    file->data[21] = (uint8_t)((file->data[21] & 0xf0) | (samples >> 32 & 0x0f));
    for (int i = 0; i < 4; i++)
        file->data[22 + i] = (uint8_t)(samples >> (24 - 8 * i));
}

static void flac_that_claims_too_much(void **state) {
    (void)state;
    struct bb_buf file BB_CLEANUP_BUF = sound_file(&kinds[2]);
    claim_flac_samples(&file, 32001);
    assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_TRUNCATED);
    claim_flac_samples(&file, UINT64_C(1) << 30);
    assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_TOO_LONG);
    claim_flac_samples(&file, (UINT64_C(1) << 36) - 1);
    assert_int_equal(decode(bb_buf_view(&file)), BB_ERR_AUDIO_TOO_LONG);
    claim_flac_samples(&file, 0); /* unknown */
    assert_int_equal(decode(bb_buf_view(&file)), BB_OK);
    claim_flac_samples(&file, 32000);
    assert_int_equal(decode(bb_buf_view(&file)), BB_OK);
}

static void longer_than_the_limit(void **state) {
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct sound sound = kinds[k];
        sound.seconds = 2.5;
        struct bb_buf file BB_CLEANUP_BUF = sound_file(&sound);
        struct bb_buf samples BB_CLEANUP_BUF = {0};
        assert_int_equal(bb_audio_decode(bb_buf_view(&file), 2, &go_on, &samples), BB_ERR_AUDIO_TOO_LONG);
        assert_int_equal(bb_audio_decode(bb_buf_view(&file), 3, &go_on, &samples), BB_OK);
    }
}

static bool three_times(void *context) {
    int *left = context;
    return (*left)-- > 0;
}

static void decoding_stops_when_told(void **state) {
    (void)state;
    int left = 3;
    struct bb_audio_poll poll = {.context = &left, .wanted = three_times};
    struct bb_buf file BB_CLEANUP_BUF = wav();
    struct bb_buf samples BB_CLEANUP_BUF = {0};
    assert_int_equal(bb_audio_decode(bb_buf_view(&file), 10, &poll, &samples), BB_ERR_CANCELLED);
    assert_null(samples.data);
    assert_int_equal(left, -1);
}

/* Bytes changed at random places: an error or some recording, never a read outside the file. */
static void damaged_files(void **state) {
    (void)state;
    uint64_t random = 12345;
    for (size_t k = 0; k < KINDS; k++) {
        struct bb_buf whole BB_CLEANUP_BUF = sound_file(&kinds[k]);
        for (int round = 0; round < 150; round++) {
            struct bb_buf file BB_CLEANUP_BUF = BB_BUF_INIT(SOUND_MAX);
            assert_int_equal(bb_buf_append(&file, whole.data, whole.len), BB_OK);
            for (int i = 0; i < 1 + round % 8; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                size_t span = round % 2 == 0 && file.len > 200 ? 200 : file.len;
                file.data[(random >> 33) % span] = (uint8_t)(random >> 25);
            }
            enum bb_err err = decode(bb_buf_view(&file));
            assert_true(err == BB_OK || (err >= BB_ERR_AUDIO_FORMAT && err <= BB_ERR_AUDIO_TOO_LONG));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_audio),
        cmocka_unit_test(kinds_that_are_not_offered),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(wav_that_claims_too_much),
        cmocka_unit_test(wav_without_samples),
        cmocka_unit_test(rates_and_channels_out_of_bounds),
        cmocka_unit_test(flac_that_claims_too_much),
        cmocka_unit_test(longer_than_the_limit),
        cmocka_unit_test(decoding_stops_when_told),
        cmocka_unit_test(damaged_files),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
