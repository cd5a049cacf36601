/* Speech to text; see include/blindbox/transcribe.h. */
#include <blindbox/transcribe.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/answer.h"
#include "client/connection.h"

#define PATH          "/v1/audio/transcriptions"
#define MODEL_DEFAULT "whisper-1"

struct bb_transcript {
    struct bb_buf text;
};

/* One request while it lasts. */
struct job {
    struct bb_connection *connection;
    const struct bb_audio *audio;
    const struct bb_transcribe_options *options;
    uint64_t sent; /* of audio->bytes */
    curl_mime *form;
};

static void job_done(struct job *job) {
    curl_mime_free(job->form);
}

static size_t read_audio(char *out, size_t size, size_t count, void *pointer) {
    struct job *job = pointer;
    const struct bb_audio *audio = job->audio;
    size_t room = size * count;
    if (audio->read == NULL) {
        size_t left = (size_t)(audio->len - job->sent);
        size_t len = left < room ? left : room;
        memcpy(out, audio->bytes + job->sent, len);
        job->sent += len;
        return len;
    }
    size_t len = audio->read(audio->context, (uint8_t *)out, room);
    if (len == BB_READ_FAILED || len > room) {
        job->connection->read_failed = true;
        return CURL_READFUNC_ABORT;
    }
    return len;
}

/* libcurl goes back to the start when a kept connection was closed before the request arrived. */
static int rewind_audio(void *pointer, curl_off_t offset, int origin) {
    struct job *job = pointer;
    if (offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    if (job->audio->read != NULL && (job->audio->rewind == NULL || !job->audio->rewind(job->audio->context)))
        return CURL_SEEKFUNC_CANTSEEK;
    job->sent = 0;
    return CURL_SEEKFUNC_OK;
}

static int report_progress(void *pointer, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                           curl_off_t up) {
    (void)down_total, (void)down;
    const struct bb_transcribe_options *options = pointer;
    bool go_on = options->progress(options->progress_context, up > 0 ? (uint64_t)up : 0,
                                   up_total > 0 ? (uint64_t)up_total : 0);
    return go_on ? 0 : 1;
}

static CURLcode add_field(struct job *job, const char *name, const char *value) {
    if (value == NULL)
        return CURLE_OK;
    curl_mimepart *part = curl_mime_addpart(job->form);
    if (part == NULL)
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = curl_mime_name(part, name);
    return code == CURLE_OK ? curl_mime_data(part, value, CURL_ZERO_TERMINATED) : code;
}

/* Without printf's floating point, whose decimal point depends on the caller's locale. */
static CURLcode add_temperature(struct job *job) {
    double temperature = job->options->temperature;
    if (!(temperature > 0))
        return CURLE_OK;
    unsigned thousandths = (unsigned)lround(temperature * 1000);
    char text[16];
    snprintf(text, sizeof text, "%u.%03u", thousandths / 1000, thousandths % 1000);
    return add_field(job, "temperature", text);
}

static CURLcode add_audio(struct job *job) {
    curl_mimepart *part = curl_mime_addpart(job->form);
    if (part == NULL)
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = curl_mime_name(part, "file");
    if (code == CURLE_OK)
        code = curl_mime_filename(
            part, "audio"); /* the form needs a name; the user's own is not the server's business */
    if (code == CURLE_OK)
        code = curl_mime_type(part, "application/octet-stream");
    curl_off_t len = job->audio->len == BB_AUDIO_LEN_UNKNOWN ? -1 : (curl_off_t)job->audio->len;
    if (code == CURLE_OK)
        code = curl_mime_data_cb(part, len, read_audio, rewind_audio, NULL, job);
    return code;
}

static CURLcode build_form(struct job *job) {
    const struct bb_transcribe_options *options = job->options;
    job->form = curl_mime_init(job->connection->curl);
    if (job->form == NULL)
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = add_field(job, "model", options->model != NULL ? options->model : MODEL_DEFAULT);
    if (code == CURLE_OK)
        code = add_field(job, "response_format", "json");
    if (code == CURLE_OK)
        code = add_field(job, "language", options->language);
    if (code == CURLE_OK)
        code = add_field(job, "prompt", options->prompt);
    if (code == CURLE_OK)
        code = add_temperature(job);
    if (code == CURLE_OK)
        code = add_audio(job);
    return code == CURLE_OK ? curl_easy_setopt(job->connection->curl, CURLOPT_MIMEPOST, job->form) : code;
}

/* While the connection is being made. */
static bool ask_progress(void *pointer) {
    const struct bb_transcribe_options *options = pointer;
    return options->progress(options->progress_context, 0, 0);
}

static CURLcode watch_progress(struct job *job) {
    CURL *curl = job->connection->curl;
    if (job->options->progress == NULL)
        return CURLE_OK;
    job->connection->patience =
        (struct bb_client_patience){.go_on = ask_progress, .context = (void *)(uintptr_t)job->options};
    CURLcode code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, report_progress);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, job->options);
    return code == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) : code;
}

static enum bb_err exchange(struct bb_connection *connection, const struct bb_audio *audio,
                            const struct bb_transcribe_options *options) {
    enum bb_err err = bb_client_prepare(connection, PATH);
    if (err != BB_OK)
        return err;
    struct job job
        __attribute__((cleanup(job_done))) = {.connection = connection, .audio = audio, .options = options};
    if (build_form(&job) != CURLE_OK || watch_progress(&job) != CURLE_OK)
        return bb_client_fail(&connection->outcome, BB_ERR_NO_MEMORY, "%s",
                              bb_err_sentence(BB_ERR_NO_MEMORY));
    err = bb_client_perform(connection);
    curl_easy_reset(connection->curl); /* the form ends with this call, and the handle must not point to it */
    return err;
}

static enum bb_err read_transcript(struct bb_connection *connection, struct bb_transcript **transcript) {
    if (connection->http_status != 200)
        return bb_client_fail(&connection->outcome, BB_ERR_HTTP_FORM, "the server answered %d, expected 200",
                              connection->http_status);
    struct bb_transcript *made = malloc(sizeof *made);
    if (made == NULL)
        return bb_client_fail(&connection->outcome, BB_ERR_NO_MEMORY, "%s",
                              bb_err_sentence(BB_ERR_NO_MEMORY));
    made->text = BB_BUF_INIT(BB_TRANSCRIPT_MAX);
    enum bb_err err = bb_client_answer_text(bb_buf_view(&connection->answer), &made->text);
    if (err != BB_OK) {
        bb_transcript_free(made);
        return bb_client_fail(&connection->outcome, err, "the server's answer is not a transcription: %s",
                              bb_err_sentence(err));
    }
    *transcript = made;
    return BB_OK;
}

static bool sensible(const struct bb_audio *audio, const struct bb_transcribe_options *options) {
    bool in_memory = audio->read == NULL;
    if (in_memory && audio->bytes == NULL && audio->len > 0)
        return false;
    if (audio->len == BB_AUDIO_LEN_UNKNOWN ? in_memory : audio->len > INT64_MAX)
        return false;
    return options->temperature <= 1; /* false for NaN as well */
}

enum bb_err bb_transcribe(struct bb_connection *connection, const struct bb_audio *audio,
                          const struct bb_transcribe_options *options, struct bb_transcript **transcript) {
    static const struct bb_transcribe_options defaults;
    if (options == NULL)
        options = &defaults;
    bb_client_begin(connection);
    if (!sensible(audio, options))
        return bb_client_fail(&connection->outcome, BB_ERR_ARGUMENT, "%s", bb_err_sentence(BB_ERR_ARGUMENT));
    enum bb_err err = exchange(connection, audio, options);
    if (err == BB_OK)
        err = connection->http_status >= 400 ? bb_client_refused(connection)
                                             : read_transcript(connection, transcript);
    bb_buf_done(&connection->answer);
    return err;
}

const char *bb_transcript_text(const struct bb_transcript *transcript, size_t *len) {
    if (len != NULL)
        *len = transcript->text.len;
    return bb_buf_str(&transcript->text);
}

void bb_transcript_free(struct bb_transcript *transcript) {
    if (transcript == NULL)
        return;
    bb_buf_done(&transcript->text);
    free(transcript);
}
