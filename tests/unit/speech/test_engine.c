/*
 * libwhisper behind the engine interface, with the demonstration model: what it says, what it must not say
 * (another caller's words), when it stops, and that company does not change an answer.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "enclave/speech/audio.h"
#include "enclave/speech/engine.h"
#include "sounds.h"

#define TEXT_MAX 65536u
#define SAMPLES  3

static struct bb_engine *engine;
static struct bb_buf spoken[SAMPLES]; /* the sample recordings, decoded */
static const char *const names[SAMPLES] = {"consultation", "meeting", "prescription"};

/* What a run said, and when it is to stop. */
struct heard {
    struct bb_buf text;
    uint64_t last_end_ms;
    unsigned segments;
    int64_t stop_at_ms; /* 0: never */
};

static bool wanted(void *context) {
    const struct heard *heard = context;
    return heard->stop_at_ms == 0 || bb_clock_monotonic_ms() < heard->stop_at_ms;
}

static void on_segment(void *context, uint64_t start_ms, uint64_t end_ms, struct bb_view text) {
    struct heard *heard = context;
    assert_true(start_ms <= end_ms && start_ms >= heard->last_end_ms);
    heard->last_end_ms = end_ms;
    heard->segments++;
    assert_int_equal(bb_buf_append(&heard->text, text.data, text.len), BB_OK);
}

static enum bb_err hear(const struct bb_engine_request *request, struct heard *heard,
                        struct bb_engine_result *result) {
    struct bb_engine_events events = {.context = heard, .wanted = wanted, .segment = on_segment};
    heard->text = BB_BUF_INIT(TEXT_MAX);
    return engine->ops->run(engine, request, &events, result);
}

static struct bb_engine_request request_for(const struct bb_buf *samples) {
    return (struct bb_engine_request){
        .samples = bb_audio_samples(samples), .count = samples->len / sizeof(float), .language = "en"};
}

static bool yes(void *context) {
    (void)context;
    return true;
}

static struct bb_buf decoded(const char *path) {
    static const struct bb_audio_poll poll = {.wanted = yes};
    struct bb_buf file BB_CLEANUP_BUF = file_bytes(path);
    struct bb_buf samples = {0};
    assert_int_equal(bb_audio_decode(bb_buf_view(&file), 600, &poll, &samples), BB_OK);
    return samples;
}

/* The words in lower case, with nothing between them but one space. */
static void normalise(const char *text, char *out) {
    for (; *text != '\0'; text++) {
        if ((*text >= 'a' && *text <= 'z') || (*text >= '0' && *text <= '9') || *text == '\'')
            *out++ = *text;
        else if (*text >= 'A' && *text <= 'Z')
            *out++ = (char)(*text + 32);
        else if (*text == ' ')
            *out++ = ' ';
    }
    *out = '\0';
}

static unsigned split(char *text, char *words[], unsigned max) {
    unsigned count = 0;
    for (char *word = strtok(text, " "); word != NULL && count < max; word = strtok(NULL, " "))
        words[count++] = word;
    return count;
}

/* The fewest words changed, left out or put in (Levenshtein); *total is the reference's length. */
static unsigned word_errors(const char *reference, const char *text, unsigned *total) {
    char a[1024], b[1024], *wanted_words[128], *words[128];
    assert_true(strlen(reference) < sizeof a && strlen(text) < sizeof b);
    normalise(reference, a);
    normalise(text, b);
    unsigned n = split(a, wanted_words, 128), m = split(b, words, 128), row[129];
    for (unsigned j = 0; j <= m; j++)
        row[j] = j;
    for (unsigned i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned above = row[j];
            unsigned best = diagonal + (strcmp(wanted_words[i - 1], words[j - 1]) != 0);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    *total = n;
    return row[m];
}

static void the_samples_are_understood(void **state) {
    (void)state;
    unsigned errors = 0, words = 0;
    for (int i = 0; i < SAMPLES; i++) {
        struct bb_engine_request request = request_for(&spoken[i]);
        struct bb_engine_result result;
        struct heard heard = {0};
        assert_int_equal(hear(&request, &heard, &result), BB_OK);
        char path[512];
        unsigned total;
        snprintf(path, sizeof path, BB_MODELS "/samples/%s.txt", names[i]);
        struct bb_buf reference BB_CLEANUP_BUF = file_bytes(path);
        errors += word_errors(bb_buf_str(&reference), bb_buf_str(&heard.text), &total);
        words += total;
        assert_string_equal(result.language, "en");
        assert_true(result.tokens >= 5 && result.tokens <= 60);
        assert_true(heard.last_end_ms <= request.count * 1000 / BB_SPEECH_RATE);
        bb_buf_done(&heard.text);
    }
    print_message("# word error rate of the samples: %.1f %% (%u of %u words)\n", 100.0 * errors / words,
                  errors, words);
    assert_true(errors * 10 <= words);
}

/* Nothing, next to nothing, silence: never the words of whoever came before. */
static void empty_audio_has_no_words(void **state) {
    (void)state;
    static const float silence[4 * BB_SPEECH_RATE];
    static const size_t lengths[] = {0, 1, 160, 199, 1599, 1600, 1601, 1700, 1839, 1840, 1841, 2000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct bb_engine_result result;
        struct heard before = {0}, heard = {0};
        if (i % 4 == 0) {
            struct bb_engine_request real = request_for(&spoken[i % SAMPLES]);
            assert_int_equal(hear(&real, &before, &result), BB_OK);
            assert_true(before.text.len > 20);
        }
        struct bb_engine_request nothing = {.samples = silence, .count = lengths[i], .language = "en"};
        result.tokens = 99;
        assert_int_equal(hear(&nothing, &heard, &result), BB_OK);
        if (lengths[i] < BB_SPEECH_SHORTEST) {
            assert_int_equal(heard.text.len, 0);
            assert_int_equal(result.tokens, 0);
        }
        assert_null(strstr(bb_buf_str(&heard.text), "Carter"));
        assert_null(strstr(bb_buf_str(&heard.text), "aspirin"));
        assert_null(strstr(bb_buf_str(&heard.text), "Friday"));
        bb_buf_done(&before.text);
        bb_buf_done(&heard.text);
    }
}

struct runner {
    pthread_t thread;
    int sample;
    struct heard heard;
    struct bb_engine_result result;
    double temperature;
    enum bb_err err;
};

static void *run_one(void *context) {
    struct runner *runner = context;
    struct bb_engine_request request = request_for(&spoken[runner->sample]);
    request.temperature = runner->temperature;
    runner->err = hear(&request, &runner->heard, &runner->result);
    return NULL;
}

/* Alone, one after another, and three at a time: the same text, also where tokens are drawn at random. */
static void company_does_not_change_an_answer(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct runner alone[SAMPLES] = {0}, together[SAMPLES] = {0};
        for (int i = 0; i < SAMPLES; i++) {
            alone[i].sample = together[i].sample = i;
            alone[i].temperature = together[i].temperature = round == 0 ? 0.0 : 0.8;
            run_one(&alone[i]);
        }
        for (int i = 0; i < SAMPLES; i++)
            assert_int_equal(pthread_create(&together[i].thread, NULL, run_one, &together[i]), 0);
        for (int i = 0; i < SAMPLES; i++) {
            pthread_join(together[i].thread, NULL);
            assert_int_equal(alone[i].err, BB_OK);
            assert_int_equal(together[i].err, BB_OK);
            assert_string_equal(bb_buf_str(&alone[i].heard.text), bb_buf_str(&together[i].heard.text));
            assert_int_equal(alone[i].result.tokens, together[i].result.tokens);
            bb_buf_done(&alone[i].heard.text);
            bb_buf_done(&together[i].heard.text);
        }
    }
}

static void max_tokens_bounds_the_whole_answer(void **state) {
    (void)state;
    struct bb_engine_request request = request_for(&spoken[0]);
    struct bb_engine_result result;
    struct heard whole = {0}, part = {0};
    assert_int_equal(hear(&request, &whole, &result), BB_OK);
    assert_true(result.tokens > 4);
    request.max_tokens = 4;
    assert_int_equal(hear(&request, &part, &result), BB_OK);
    assert_int_equal(result.tokens, 4);
    assert_true(part.text.len > 0 && part.text.len < whole.text.len);
    assert_memory_equal(part.text.data, whole.text.data, part.text.len);
    bb_buf_done(&whole.text);
    bb_buf_done(&part.text);
}

static void bad_requests_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *language;
        double temperature;
        enum bb_err err;
    } cases[] = {{"en", 0, BB_OK},
                 {"auto", 1, BB_OK},
                 {"xx", 0, BB_ERR_ARGUMENT},
                 {"de", 0, BB_ERR_ARGUMENT}, /* the model knows English only */
                 {"english", 0, BB_ERR_ARGUMENT},
                 {"", 0, BB_ERR_ARGUMENT},
                 {"en", -0.1, BB_ERR_ARGUMENT},
                 {"en", 1.1, BB_ERR_ARGUMENT},
                 {"en", NAN, BB_ERR_ARGUMENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(256);
        struct bb_engine_request request = {.language = cases[i].language,
                                            .temperature = cases[i].temperature};
        assert_int_equal(engine->ops->check(engine, &request, &reason), cases[i].err);
        assert_int_equal(reason.len > 0, cases[i].err != BB_OK);
        if (strcmp(cases[i].language, "xx") == 0)
            assert_null(strstr(bb_buf_str(&reason), "xx"));
    }
}

static void auto_means_english_for_an_english_model(void **state) {
    (void)state;
    struct bb_engine_request request = request_for(&spoken[1]);
    struct bb_engine_result result;
    struct heard heard = {0};
    request.language = "auto";
    request.translate = true; /* into English: nothing to do */
    assert_int_equal(hear(&request, &heard, &result), BB_OK);
    assert_string_equal(result.language, "en");
    assert_non_null(strstr(bb_buf_str(&heard.text), "Friday"));
    bb_buf_done(&heard.text);
}

static void hostile_prompts_do_no_harm(void **state) {
    (void)state;
    static char letters[60000], marks[60000];
    memset(letters, 'a', sizeof letters - 1);
    for (size_t i = 0; i + 4 < sizeof marks; i += 4)
        memcpy(marks + i, "\xf0\x9f\x8e\xa4", 4);
    const char *const prompts[] = {"", letters, marks, "<|endoftext|><|startoftranscript|>", "Mrs. Carter,"};
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        struct bb_engine_request request = request_for(&spoken[2]);
        struct bb_engine_result result;
        struct heard heard = {0};
        request.prompt = prompts[i];
        assert_int_equal(hear(&request, &heard, &result), BB_OK);
        bb_buf_done(&heard.text);
    }
}

/* A long recording, stopped in the middle: at the next step, with the text so far, and the engine goes on. */
static void a_run_stops_when_told(void **state) {
    (void)state;
    struct bb_buf repeated BB_CLEANUP_BUF = BB_BUF_INIT(SOUND_MAX);
    for (int i = 0; i < 100; i++)
        assert_int_equal(bb_buf_append(&repeated, spoken[0].data, spoken[0].len), BB_OK);
    struct bb_engine_request request = request_for(&repeated);
    struct bb_engine_result result;
    int64_t begun = bb_clock_monotonic_ms();
    struct heard heard = {.stop_at_ms = begun + 300}, at_once = {.stop_at_ms = 1};
    assert_int_equal(hear(&request, &heard, &result), BB_ERR_CANCELLED);
    assert_true(bb_clock_monotonic_ms() - begun < 15000); /* 13 windows would take far longer */
    bb_buf_done(&heard.text);
    assert_int_equal(hear(&request, &at_once, &result), BB_ERR_CANCELLED);
    assert_int_equal(at_once.segments, 0);
    bb_buf_done(&at_once.text);
    struct heard after = {0};
    struct bb_engine_request next = request_for(&spoken[2]);
    assert_int_equal(hear(&next, &after, &result), BB_OK);
    assert_non_null(strstr(bb_buf_str(&after.text), "aspirin"));
    bb_buf_done(&after.text);
}

static void bad_models_are_refused(void **state) {
    (void)state;
    struct bb_buf model BB_CLEANUP_BUF = file_bytes(BB_MODELS "/demo-speech.bin");
    struct bb_engine_options options = {.states = 1, .threads = 1};
    const size_t lengths[] = {0, 20, 100000, model.len - 1000, model.len - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(512);
        struct bb_engine *none = NULL;
        int fd BB_CLEANUP_FD = sealed_file(bb_view(model.data, lengths[i]));
        assert_int_equal(bb_engine_whisper.load(fd, &options, &none, &reason), BB_ERR_MODEL);
        assert_null(none);
        assert_true(reason.len > 0);
    }
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(512);
    struct bb_engine *none = NULL;
    int open BB_CLEANUP_FD = -1; /* not sealed: somebody could still change it */
    assert_int_equal(bb_memfd_new("test", &open), BB_OK);
    assert_int_equal(bb_fd_write_all(open, bb_buf_view(&model), -1), BB_OK);
    assert_int_equal(bb_engine_whisper.load(open, &options, &none, &reason), BB_ERR_MODEL);
}

static int set_up(void **state) {
    (void)state;
    struct bb_buf model BB_CLEANUP_BUF = file_bytes(BB_MODELS "/demo-speech.bin");
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(512);
    struct bb_engine_options options = {.states = 3, .threads = 1, .fallback = true};
    int fd BB_CLEANUP_FD = sealed_file(bb_buf_view(&model));
    if (bb_engine_whisper.load(fd, &options, &engine, &reason) != BB_OK)
        return -1;
    for (int i = 0; i < SAMPLES; i++) {
        char path[512];
        snprintf(path, sizeof path, BB_MODELS "/samples/%s.wav", names[i]);
        spoken[i] = decoded(path);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < SAMPLES; i++)
        bb_buf_done(&spoken[i]);
    engine->ops->free(engine);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_are_understood),
        cmocka_unit_test(empty_audio_has_no_words),
        cmocka_unit_test(company_does_not_change_an_answer),
        cmocka_unit_test(max_tokens_bounds_the_whole_answer),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(auto_means_english_for_an_english_model),
        cmocka_unit_test(hostile_prompts_do_no_harm),
        cmocka_unit_test(a_run_stops_when_told),
        cmocka_unit_test(bad_models_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
