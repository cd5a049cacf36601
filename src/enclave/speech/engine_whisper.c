/*
 * The engine interface over libwhisper; the only file that includes its header.
 *
 * A state is made for each request and freed after it. It costs 7 to 10 ms (tiny.en's shape) beside an
 * inference of 1,000 ms and more (docs/BENCHMARKS.md), and it is what keeps callers apart: a used state still
 * holds the last caller's spectrogram, which libwhisper transcribes again when it is given no samples, and
 * the random numbers of a request with a temperature depend on how many were drawn before. Memory: the model
 * once, about 60 MB per running state, which go back to the kernel with each request's end.
 *
 * The weights are loaded on a thread that exits: ggml leaves an OpenMP team behind on the thread that loads,
 * and libgomp stops spinning when there are more threads than cores, which halves the speed. Trusts the file
 * only after bb_model_file_check(); samples must be finite (the audio decoder sees to it).
 */
#include "enclave/speech/engine.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <whisper.h>

#include "base/cursor.h"
#include "base/fd.h"
#include "enclave/speech/model_file.h"

#define MODEL_MAX          (UINT64_C(8) << 30)
#define STATE_FREED        (-7) /* whisper_full_with_state() has freed the state itself */
#define ENGLISH            "en"
#define MS_PER_CENTISECOND 10

struct engine {
    struct bb_engine base;
    struct whisper_context *context;
    int threads;
    bool fallback;
};

static struct engine *engine_of(struct bb_engine *base) {
    return (struct engine *)base;
}

static const struct engine *const_engine_of(const struct bb_engine *base) {
    return (const struct engine *)base;
}

/* libwhisper and ggml log to standard error, transcripts included. */
static void drop_log(enum ggml_log_level level, const char *text, void *context) {
    (void)level;
    (void)text;
    (void)context;
}

static void silence(void) {
    ggml_log_set(drop_log, NULL);
    whisper_log_set(drop_log, NULL);
}

/* --- loading --- */

struct loading {
    struct bb_cursor left;
    struct whisper_context *context;
};

static size_t load_read(void *context, void *out, size_t len) {
    struct loading *loading = context;
    struct bb_view bytes;
    if (bb_cursor_take(&loading->left, len, &bytes) != BB_OK)
        return 0; /* cannot be: the file's structure was checked */
    memcpy(out, bytes.data, len);
    return len;
}

static bool load_eof(void *context) {
    const struct loading *loading = context;
    return loading->left.left == 0;
}

static void load_close(void *context) {
    (void)context;
}

static void *load_on_a_thread(void *context) {
    struct loading *loading = context;
    silence();
    ggml_backend_load_all();
    silence();
    struct whisper_context_params params = whisper_context_default_params();
    params.use_gpu = false;
    params.flash_attn = true; /* off costs 1.5 to 1.8 times the time */
    struct whisper_model_loader loader = {
        .context = loading, .read = load_read, .eof = load_eof, .close = load_close};
    loading->context = whisper_init_with_params_no_state(&loader, params);
    return NULL;
}

/* A whole sealed memory file in the address space. */
static enum bb_err map_model(int fd, struct bb_view *out, struct bb_buf *reason) {
    uint64_t len;
    if (bb_memfd_check_sealed(fd, MODEL_MAX, &len) != BB_OK || len == 0) {
        enum bb_err err = bb_buf_append_str(reason, "the weights are not in a sealed memory file");
        return err == BB_OK ? BB_ERR_MODEL : err;
    }
    void *at = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return BB_ERR_NO_MEMORY;
    *out = bb_view(at, len);
    return BB_OK;
}

static void unmap(struct bb_view *mapped) {
    if (mapped->data != NULL)
        munmap((void *)(uintptr_t)mapped->data, mapped->len);
}

static enum bb_err load_context(struct bb_view file, struct whisper_context **out, struct bb_buf *reason) {
    struct loading loading = {.left = bb_cursor(file)};
    pthread_t thread;
    if (pthread_create(&thread, NULL, load_on_a_thread, &loading) != 0)
        return BB_ERR_NO_MEMORY;
    pthread_join(thread, NULL);
    if (loading.context == NULL) {
        enum bb_err err = bb_buf_append_str(reason, "libwhisper refuses the file");
        return err == BB_OK ? BB_ERR_MODEL : err;
    }
    *out = loading.context;
    return BB_OK;
}

static enum bb_err engine_load(int model_fd, const struct bb_engine_options *options, struct bb_engine **out,
                               struct bb_buf *reason) {
    if (options->threads < 1 || options->threads > BB_ENGINE_MAX_THREADS || options->states < 1)
        return BB_ERR_ARGUMENT;
    struct bb_view file __attribute__((cleanup(unmap))) = {0};
    enum bb_err err = map_model(model_fd, &file, reason);
    if (err == BB_OK)
        err = bb_model_file_check(file, reason);
    if (err != BB_OK)
        return err;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return BB_ERR_NO_MEMORY;
    engine->base.ops = &bb_engine_whisper;
    engine->threads = (int)options->threads;
    engine->fallback = options->fallback;
    err = load_context(file, &engine->context, reason);
    if (err != BB_OK) {
        free(engine);
        return err;
    }
    *out = &engine->base;
    return BB_OK;
}

static void engine_free(struct bb_engine *base) {
    if (base == NULL)
        return;
    struct engine *engine = engine_of(base);
    whisper_free(engine->context);
    free(engine);
}

static void engine_describe(const struct bb_engine *base, struct bb_engine_info *out) {
    struct bb_engine_info info = {.multilingual =
                                      whisper_is_multilingual(const_engine_of(base)->context) != 0};
    snprintf(info.name, sizeof info.name, "libwhisper %s", whisper_version());
    *out = info;
}

/* --- requests --- */

static enum bb_err refuse(struct bb_buf *reason, const char *sentence) {
    return bb_buf_append_str(reason, sentence) == BB_OK ? BB_ERR_ARGUMENT : BB_ERR_NO_MEMORY;
}

/* libwhisper takes language names as well ("german") and anything at all for English models; this does not.
 */
static bool language_known(const struct engine *engine, const char *language) {
    if (strcmp(language, ENGLISH) == 0 || strcmp(language, "auto") == 0)
        return true;
    if (!whisper_is_multilingual(engine->context))
        return false;
    int id = whisper_lang_id(language);
    return id >= 0 && strcmp(whisper_lang_str(id), language) == 0;
}

static enum bb_err engine_check(const struct bb_engine *base, const struct bb_engine_request *request,
                                struct bb_buf *reason) {
    const struct engine *engine = const_engine_of(base);
    if (!language_known(engine, request->language))
        return refuse(reason, whisper_is_multilingual(engine->context)
                                  ? "The language must be an ISO 639-1 code that the model knows, or auto"
                                  : "The model knows English only: the language must be en or auto");
    if (!(request->temperature >= 0.0 && request->temperature <= 1.0))
        return refuse(reason, "The temperature must be from 0 to 1");
    return BB_OK;
}

struct run {
    const struct engine *engine;
    const struct bb_engine_request *request;
    const struct bb_engine_events *events;
    unsigned tokens;
    bool stopped;       /* wanted() said no */
    bool full;          /* max_tokens are out */
    enum bb_err failed; /* a segment's text could not be kept */
};

static bool should_stop(void *context) {
    struct run *run = context;
    if (!run->stopped)
        run->stopped = !run->events->wanted(run->events->context);
    return run->stopped || run->failed != BB_OK;
}

static bool before_window(struct whisper_context *context, struct whisper_state *state, void *user) {
    (void)context;
    (void)state;
    struct run *run = user;
    return !run->full && !should_stop(run);
}

static uint64_t time_ms(int64_t centiseconds, const struct run *run) {
    uint64_t end = (uint64_t)run->request->count * 1000 / BB_SPEECH_RATE;
    uint64_t ms = centiseconds > 0 ? (uint64_t)centiseconds * MS_PER_CENTISECOND : 0;
    return ms < end ? ms : end;
}

/* The text of segment i, at most as many tokens as are left. */
static enum bb_err segment_text(struct run *run, struct whisper_state *state, int i, struct bb_buf *text) {
    struct whisper_context *context = run->engine->context;
    int count = whisper_full_n_tokens_from_state(state, i);
    for (int j = 0; j < count && !run->full; j++) {
        if (whisper_full_get_token_id_from_state(state, i, j) >= whisper_token_eot(context))
            continue;
        enum bb_err err =
            bb_buf_append_str(text, whisper_full_get_token_text_from_state(context, state, i, j));
        if (err != BB_OK)
            return err;
        run->tokens++;
        run->full = run->request->max_tokens != 0 && run->tokens >= run->request->max_tokens;
    }
    return BB_OK;
}

#define SEGMENT_TEXT_MAX (1u << 20)

static void on_segments(struct whisper_context *context, struct whisper_state *state, int new_count,
                        void *user) {
    (void)context;
    struct run *run = user;
    int count = whisper_full_n_segments_from_state(state);
    for (int i = count - new_count; i < count; i++) {
        struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(SEGMENT_TEXT_MAX);
        run->failed = segment_text(run, state, i, &text);
        if (run->failed != BB_OK)
            return;
        if (text.len > 0)
            run->events->segment(
                run->events->context, time_ms(whisper_full_get_segment_t0_from_state(state, i), run),
                time_ms(whisper_full_get_segment_t1_from_state(state, i), run), bb_buf_view(&text));
    }
}

/* audio_ctx stays at 0: the model's whole window, as it was trained. */
static struct whisper_full_params params_for(struct run *run, const char *language, const char *prompt) {
    struct whisper_full_params params = whisper_full_default_params(WHISPER_SAMPLING_GREEDY);
    params.n_threads = run->engine->threads; /* another number would change results slightly */
    params.greedy.best_of = 1;
    params.no_context = true;
    params.translate = run->request->translate;
    params.language = language;
    params.initial_prompt = prompt;
    params.temperature = (float)run->request->temperature;
    if (!run->engine->fallback)
        params.temperature_inc =
            0.0f; /* else libwhisper's own steps and thresholds, those of OpenAI's Whisper */
    params.print_progress = false;
    params.print_realtime = false;
    params.print_special = false;
    params.print_timestamps = false;
    params.new_segment_callback = on_segments;
    params.new_segment_callback_user_data = run;
    params.encoder_begin_callback = before_window;
    params.encoder_begin_callback_user_data = run;
    params.abort_callback = should_stop;
    params.abort_callback_user_data = run;
    return params;
}

/* The end of the prompt that is used: libwhisper's tokenizer takes quadratic time and a deep stack. */
static const char *prompt_tail(const char *prompt) {
    size_t len = prompt == NULL ? 0 : strlen(prompt);
    if (len == 0)
        return NULL;
    const char *tail = len > BB_ENGINE_PROMPT_LEN ? prompt + len - BB_ENGINE_PROMPT_LEN : prompt;
    while ((*tail & 0xc0) == 0x80) /* not in the middle of a character */
        tail++;
    return tail;
}

static enum bb_err run_state(struct run *run, const char *language, char found[BB_ENGINE_LANGUAGE]) {
    struct whisper_state *state = whisper_init_state(run->engine->context);
    if (state == NULL)
        return BB_ERR_NO_MEMORY;
    struct whisper_full_params params = params_for(run, language, prompt_tail(run->request->prompt));
    int rc = whisper_full_with_state(run->engine->context, state, params, run->request->samples,
                                     (int)run->request->count);
    if (rc == 0)
        snprintf(found, BB_ENGINE_LANGUAGE, "%s", whisper_lang_str(whisper_full_lang_id_from_state(state)));
    if (rc != STATE_FREED)
        whisper_free_state(state);
    if (run->failed != BB_OK)
        return run->failed;
    if (run->stopped)
        return BB_ERR_CANCELLED;
    return rc == 0 ? BB_OK : BB_ERR_ENGINE;
}

static enum bb_err engine_run(struct bb_engine *base, const struct bb_engine_request *request,
                              const struct bb_engine_events *events, struct bb_engine_result *out) {
    struct engine *engine = engine_of(base);
    bool detects = strcmp(request->language, "auto") == 0 && whisper_is_multilingual(engine->context);
    const char *language = strcmp(request->language, "auto") == 0 && !detects ? ENGLISH : request->language;
    struct bb_engine_result result = {0};
    snprintf(result.language, sizeof result.language, "%s", detects ? "" : language);
    if (request->count > INT32_MAX)
        return BB_ERR_TOO_LARGE;
    if (request->count >= BB_SPEECH_SHORTEST) {
        struct run run = {.engine = engine, .request = request, .events = events};
        char found[BB_ENGINE_LANGUAGE] = "";
        enum bb_err err = run_state(&run, language, found);
        if (err != BB_OK)
            return err;
        if (detects)
            memcpy(result.language, found, sizeof found);
        result.tokens = run.tokens;
    }
    *out = result;
    return BB_OK;
}

const struct bb_engine_ops bb_engine_whisper = {
    .load = engine_load,
    .free = engine_free,
    .describe = engine_describe,
    .check = engine_check,
    .run = engine_run,
};
