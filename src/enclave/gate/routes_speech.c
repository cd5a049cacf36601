/* POST /whisper/predict and POST /v1/audio/transcriptions: the same work in two dialects. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "enclave/gate/form.h"
#include "enclave/gate/json.h"
#include "enclave/gate/models.h"
#include "enclave/gate/request.h"

/* JSON may spell one byte of text with six. */
#define ANSWER_MAX (6u * BB_SPEECH_TEXT_MAX + 64u)

enum form { FORM_JSON_STRING, FORM_JSON_OBJECT, FORM_TEXT };

struct transcription {
    struct bb_request *request;
    struct bb_form form;
    enum form answer;
    bool has_language;
    struct bb_speech_job *job; /* while the worker has it */
};

static void end(void *state) {
    struct transcription *t = state;
    if (t->job != NULL)
        bb_speech_cancel(t->job);
    bb_form_done(&t->form);
    free(t);
}

static void begin(struct bb_request *request, const char *file_name, const char *const *names,
                  enum form answer) {
    struct bb_fault fault;
    struct transcription *t = calloc(1, sizeof *t);
    if (t == NULL) {
        bb_fault_from_err(&fault, BB_ERR_NO_MEMORY, bb_view(NULL, 0), &request->gate->config.limits);
        bb_request_fail(request, &fault);
        return;
    }
    t->request = request;
    t->answer = answer;
    request->state = t;
    request->end = end;
    if (!bb_form_init(&t->form, request->content_type, file_name, names, &request->gate->config.limits,
                      &request->gate->metrics.upload_bytes))
        bb_request_fail(request, &t->form.fault);
}

void bb_route_predict_begin(struct bb_request *request) {
    static const char *const names[] = {NULL};
    begin(request, "audio", names, FORM_JSON_STRING);
}

void bb_route_transcriptions_begin(struct bb_request *request) {
    static const char *const names[] = {"model",           "language", "prompt", "temperature",
                                        "response_format", "stream",   NULL};
    begin(request, "file", names, FORM_JSON_OBJECT);
}

void bb_route_speech_body(struct bb_request *request, struct bb_view bytes) {
    struct transcription *t = request->state;
    if (!bb_form_feed(&t->form, bytes))
        bb_request_fail(request, &t->form.fault);
}

/* Refuses a field of the form. */
static bool refuse(struct transcription *t, const char *param, const char *sentence) {
    bb_fault_set(&t->form.fault, 400, "%s", sentence);
    t->form.fault.param = param;
    return false;
}

static bool value_is(const struct bb_buf *value, const char *text) {
    return bb_view_equal(bb_buf_view(value), bb_view_str(text));
}

static bool check_model(struct transcription *t) {
    const struct bb_config *config = &t->request->gate->config;
    const struct bb_buf *model = bb_form_value(&t->form, "model");
    if (model == NULL)
        return refuse(t, "model", "The form has no field model");
    if (bb_models_has(config, bb_buf_view(model)))
        return true;
    bb_models_unknown(config, &t->form.fault);
    return false;
}

static bool read_format(struct transcription *t) {
    const struct bb_buf *format = bb_form_value(&t->form, "response_format");
    if (format == NULL || value_is(format, "json"))
        return true;
    if (!value_is(format, "text"))
        return refuse(t, "response_format", "The response_format can be json or text here");
    t->answer = FORM_TEXT;
    return true;
}

static bool check_stream(struct transcription *t) {
    const struct bb_buf *stream = bb_form_value(&t->form, "stream");
    if (stream == NULL || value_is(stream, "false") || value_is(stream, "False") || value_is(stream, "0"))
        return true;
    return refuse(t, "stream", "Streaming is not supported here: leave stream out or set it to false");
}

/* The form of a language code; whether the model knows it is the engine's to say. */
static bool read_language(struct transcription *t, struct bb_speech_request *out) {
    const struct bb_buf *language = bb_form_value(&t->form, "language");
    if (language == NULL || language->len == 0)
        return true;
    bool good = language->len <= BB_SPEECH_LANGUAGE_MAX;
    for (size_t i = 0; good && i < language->len; i++)
        good = language->data[i] >= 'a' && language->data[i] <= 'z';
    if (!good)
        return refuse(t, "language", "The language must be a code of ISO 639-1, such as en");
    out->language = bb_buf_view(language);
    t->has_language = true;
    return true;
}

static bool read_temperature(struct transcription *t, struct bb_speech_request *out) {
    const struct bb_buf *text = bb_form_value(&t->form, "temperature");
    if (text == NULL)
        return true;
    const char *start = bb_buf_str(text);
    char *stop;
    double value = strtod(start, &stop);
    bool good = text->len > 0 && text->len < 32 && strspn(start, "0123456789.") == text->len &&
                stop == start + text->len && value <= 1;
    if (!good)
        return refuse(t, "temperature", "The temperature must be a number from 0 to 1");
    out->has_temperature = true;
    out->temperature = value;
    return true;
}

static bool is_utf8(struct bb_view text) {
    json_t *value = json_stringn((const char *)text.data, text.len);
    json_decref(value);
    return value != NULL;
}

/* Of a long prompt its end is used, from a character's first byte on. */
static bool read_prompt(struct transcription *t, struct bb_speech_request *out) {
    const struct bb_buf *value = bb_form_value(&t->form, "prompt");
    if (value == NULL || value->len == 0)
        return true;
    struct bb_view prompt = bb_buf_view(value);
    if (!is_utf8(prompt))
        return refuse(t, "prompt", "The prompt must be UTF-8");
    if (prompt.len > BB_SPEECH_PROMPT_MAX)
        prompt = bb_view(prompt.data + (prompt.len - BB_SPEECH_PROMPT_MAX), BB_SPEECH_PROMPT_MAX);
    while (prompt.len > 0 && (prompt.data[0] & 0xc0) == 0x80)
        prompt = bb_view(prompt.data + 1, prompt.len - 1);
    out->prompt = prompt;
    return true;
}

static bool read_fields(struct transcription *t, struct bb_speech_request *out) {
    if (t->answer == FORM_JSON_STRING)
        return true;
    return check_model(t) && read_format(t) && check_stream(t) && read_language(t, out) &&
           read_temperature(t, out) && read_prompt(t, out);
}

static struct bb_view trim(struct bb_view text) {
    static const char space[] = " \t\r\n";
    while (text.len > 0 && strchr(space, text.data[0]) != NULL)
        text = bb_view(text.data + 1, text.len - 1);
    while (text.len > 0 && strchr(space, text.data[text.len - 1]) != NULL)
        text.len--;
    return text;
}

static enum bb_err write_answer(enum form form, struct bb_view text, struct bb_buf *out) {
    if (form == FORM_TEXT) {
        enum bb_err err = bb_buf_append(out, text.data, text.len);
        return err == BB_OK ? bb_buf_append_str(out, "\n") : err;
    }
    json_t *value = json_stringn(text.len > 0 ? (const char *)text.data : "", text.len);
    return bb_json_write(out, form == FORM_JSON_STRING ? value : json_pack("{s:o}", "text", value));
}

static void fail(struct transcription *t, enum bb_err err, struct bb_view detail) {
    struct bb_request *request = t->request;
    struct bb_fault fault;
    bb_fault_from_err(&fault, err, detail, &request->gate->config.limits);
    if (err == BB_ERR_ARGUMENT && t->has_language)
        fault.param = "language";
    else if (fault.status == 400 || fault.status == 413)
        fault.param = t->form.file_name;
    bb_request_fail(request, &fault);
}

static void on_speech(void *arg, enum bb_err err, struct bb_view detail,
                      const struct bb_speech_result *result) {
    struct transcription *t = arg;
    t->job = NULL;
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(ANSWER_MAX);
    if (err == BB_OK)
        err = write_answer(t->answer, trim(result->text), &answer);
    if (err != BB_OK)
        fail(t, err, detail);
    else
        bb_request_say(t->request, t->answer == FORM_TEXT ? "text/plain; charset=utf-8" : "application/json",
                       bb_buf_view(&answer));
}

void bb_route_speech(struct bb_request *request) {
    struct transcription *t = request->state;
    struct bb_speech_request order = {.audio_fd = -1};
    if (!bb_form_finish(&t->form) || !read_fields(t, &order)) {
        bb_request_fail(request, &t->form.fault);
        return;
    }
    enum bb_err err = BB_ERR_AUDIO_EMPTY;
    if (t->form.file_len > 0) {
        order.audio_fd = bb_fd_take(&t->form.file_fd);
        err = bb_speech_submit(request->gate->speech, &order, on_speech, t, &t->job);
    }
    if (err != BB_OK)
        fail(t, err, bb_view(NULL, 0));
}
