/*
 * Text from the service; see include/blindbox/text.h. The answer is a stranger's: each event is parsed on its
 * own, and events, text and stream are bounded.
 */
#include <blindbox/text.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "client/answer.h"
#include "client/connection.h"
#include "client/events.h"

#define ERROR_MAX  1024u /* bytes of the server's sentence that are passed on */
#define REASON_MAX 64u

struct bb_completion {
    struct bb_buf text;
    struct bb_buf finish_reason;
    int64_t prompt_tokens, tokens;
};

/* One request while it lasts. */
struct job {
    struct bb_connection *connection;
    const struct bb_text_options *options;
    bb_text_piece *piece;
    void *context;
    json_t *request;
    struct bb_buf body;
    enum bb_err body_err;
    struct curl_slist *headers;
    struct bb_events events;
    uint64_t received;
    bool chat;
    bool done; /* [DONE] was there */
    struct bb_completion *made;
};

static void job_done(struct job *job) {
    json_decref(job->request);
    bb_buf_done(&job->body);
    curl_slist_free_all(job->headers);
    bb_events_done(&job->events);
    bb_completion_free(job->made);
}

static void json_cleanup(json_t **json) {
    json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(json_cleanup)))

static enum bb_err fail(const struct job *job, enum bb_err err, const char *what) {
    return bb_client_fail(&job->connection->outcome, err, "%s: %s: %s", job->connection->address,
                          bb_err_sentence(err), what);
}

static enum bb_err fail_plainly(const struct job *job, enum bb_err err) {
    return bb_client_fail(&job->connection->outcome, err, "%s", bb_err_sentence(err));
}

/* The request. */

static enum bb_err put(json_t *object, const char *name, json_t *value) {
    return json_object_set_new(object, name, value) == 0 ? BB_OK : BB_ERR_NO_MEMORY;
}

static enum bb_err make_string(const char *text, json_t **value) {
    json_error_t error;
    *value = json_pack_ex(&error, 0, "s", text);
    if (*value != NULL)
        return BB_OK;
    return json_error_code(&error) == json_error_out_of_memory ? BB_ERR_NO_MEMORY : BB_ERR_ARGUMENT;
}

static enum bb_err put_string(json_t *object, const char *name, const char *text) {
    json_t *value;
    enum bb_err err = make_string(text, &value);
    return err == BB_OK ? put(object, name, value) : err;
}

static enum bb_err put_stops(json_t *object, const struct bb_text_options *options) {
    json_t *array = json_array();
    enum bb_err err = put(object, "stop", array);
    for (size_t i = 0; i < options->stop_count && err == BB_OK; i++) {
        json_t *value;
        err = make_string(options->stop[i], &value);
        if (err == BB_OK && json_array_append_new(array, value) != 0)
            err = BB_ERR_NO_MEMORY;
    }
    return err;
}

static enum bb_err put_options(json_t *object, const struct bb_text_options *options) {
    const char *model = options->model != NULL ? options->model : BB_TEXT_MODEL_DEFAULT;
    enum bb_err err = put_string(object, "model", model);
    if (err == BB_OK)
        err = put(object, "stream", json_true());
    if (err == BB_OK)
        err = put(object, "stream_options", json_pack("{s:b}", "include_usage", 1));
    if (err == BB_OK && options->max_tokens > 0)
        err = put(object, "max_tokens", json_integer(options->max_tokens));
    if (err == BB_OK && options->temperature != NULL)
        err = put(object, "temperature", json_real(*options->temperature));
    if (err == BB_OK && options->top_p != NULL)
        err = put(object, "top_p", json_real(*options->top_p));
    if (err == BB_OK && options->seed != NULL)
        err = put(object, "seed", json_integer(*options->seed));
    if (err == BB_OK && options->stop_count > 0)
        err = put_stops(object, options);
    return err;
}

static enum bb_err put_messages(json_t *object, const struct bb_chat_message *messages, size_t count) {
    json_t *array = json_array();
    enum bb_err err = put(object, "messages", array);
    for (size_t i = 0; i < count && err == BB_OK; i++) {
        json_t *message = json_object();
        if (json_array_append_new(array, message) != 0)
            return BB_ERR_NO_MEMORY;
        err = put_string(message, "role", messages[i].role);
        if (err == BB_OK)
            err = put_string(message, "content", messages[i].content);
    }
    return err;
}

static int add_to_body(const char *text, size_t len, void *pointer) {
    struct job *job = pointer;
    job->body_err = bb_buf_append(&job->body, text, len);
    return job->body_err == BB_OK ? 0 : -1;
}

static enum bb_err write_body(struct job *job) {
    job->body = BB_BUF_INIT(BB_TEXT_REQUEST_MAX);
    int failed = json_dump_callback(job->request, add_to_body, job, JSON_COMPACT);
    json_decref(job->request);
    job->request = NULL;
    if (failed == 0)
        return BB_OK;
    return job->body_err != BB_OK ? job->body_err : BB_ERR_NO_MEMORY;
}

static bool add_header(struct job *job, const char *line) {
    struct curl_slist *longer = curl_slist_append(job->headers, line);
    if (longer != NULL)
        job->headers = longer;
    return longer != NULL;
}

/* The stream. */

static enum bb_err take_text(struct job *job, const json_t *text) {
    if (text == NULL || json_is_null(text))
        return BB_OK;
    if (!json_is_string(text))
        return fail(job, BB_ERR_HTTP_FORM, "the text is no string");
    size_t len = json_string_length(text);
    if (len == 0)
        return BB_OK;
    enum bb_err err = bb_buf_append(&job->made->text, json_string_value(text), len);
    if (err != BB_OK)
        return fail(job, err, "the answer's text (BB_TEXT_MAX)");
    if (job->piece == NULL || job->piece(job->context, json_string_value(text), len))
        return BB_OK;
    return fail_plainly(job, BB_ERR_CANCELLED);
}

static enum bb_err take_reason(struct job *job, const json_t *reason) {
    if (reason == NULL || json_is_null(reason))
        return BB_OK;
    if (!json_is_string(reason) || json_string_length(reason) == 0 || job->made->finish_reason.len > 0)
        return fail(job, BB_ERR_HTTP_FORM, "finish_reason");
    enum bb_err err =
        bb_buf_append(&job->made->finish_reason, json_string_value(reason), json_string_length(reason));
    return err == BB_OK ? BB_OK : fail(job, err, "finish_reason");
}

static enum bb_err take_choices(struct job *job, const json_t *choices) {
    if (!json_is_array(choices) || json_array_size(choices) > 1)
        return fail(job, BB_ERR_HTTP_FORM, "an event without choices, or with several");
    if (json_array_size(choices) == 0)
        return BB_OK;
    const json_t *choice = json_array_get(choices, 0);
    const json_t *delta = json_object_get(choice, "delta");
    if (!json_is_object(choice) || (job->chat && !json_is_object(delta)))
        return fail(job, BB_ERR_HTTP_FORM, "a choice of another form");
    enum bb_err err =
        take_text(job, job->chat ? json_object_get(delta, "content") : json_object_get(choice, "text"));
    return err == BB_OK ? take_reason(job, json_object_get(choice, "finish_reason")) : err;
}

static enum bb_err take_usage(struct job *job, const json_t *usage) {
    if (usage == NULL || json_is_null(usage))
        return BB_OK;
    const json_t *prompt = json_object_get(usage, "prompt_tokens");
    const json_t *tokens = json_object_get(usage, "completion_tokens");
    if (!json_is_integer(prompt) || !json_is_integer(tokens) || json_integer_value(prompt) < 0 ||
        json_integer_value(tokens) < 0)
        return fail(job, BB_ERR_HTTP_FORM, "usage");
    job->made->prompt_tokens = json_integer_value(prompt);
    job->made->tokens = json_integer_value(tokens);
    return BB_OK;
}

static enum bb_err take_error(const struct job *job, struct bb_view data) {
    struct bb_buf sentence BB_CLEANUP_BUF = BB_BUF_INIT(BB_TEXT_EVENT_MAX);
    static const char heading[] = "the server broke off its answer";
    if (bb_client_answer_error(data, &sentence) != BB_OK)
        return bb_client_fail(&job->connection->outcome, BB_ERR_HTTP_STATUS, "%s", heading);
    return bb_client_fail(&job->connection->outcome, BB_ERR_HTTP_STATUS, "%s: %.*s", heading, (int)ERROR_MAX,
                          bb_buf_str(&sentence));
}

static enum bb_err take_event(void *context, struct bb_view data) {
    struct job *job = context;
    if (job->done)
        return fail(job, BB_ERR_HTTP_FORM, "an event follows [DONE]");
    job->done = bb_view_equal(data, bb_view_str("[DONE]"));
    if (job->done)
        return BB_OK;
    json_error_t error;
    json_t *root CLEANUP_JSON = json_loadb((const char *)data.data, data.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL && json_error_code(&error) == json_error_out_of_memory)
        return fail_plainly(job, BB_ERR_NO_MEMORY);
    if (!json_is_object(root))
        return fail(job, BB_ERR_HTTP_FORM, "an event is not a JSON object");
    const json_t *reported = json_object_get(root, "error");
    if (reported != NULL && !json_is_null(reported))
        return take_error(job, data);
    enum bb_err err = take_choices(job, json_object_get(root, "choices"));
    return err == BB_OK ? take_usage(job, json_object_get(root, "usage")) : err;
}

static bool is_event_stream(CURL *curl) {
    static const char expected[] = "text/event-stream";
    const size_t len = sizeof expected - 1;
    const char *type = NULL;
    if (curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK || type == NULL)
        return false;
    return strncasecmp(type, expected, len) == 0 && strchr("; \t", type[len]) != NULL;
}

/* struct bb_client_sink's. */
static enum bb_err take_bytes(void *context, struct bb_view bytes) {
    struct job *job = context;
    if (job->received == 0 && !is_event_stream(job->connection->curl))
        return fail(job, BB_ERR_HTTP_FORM, "expected text/event-stream");
    job->received += bytes.len;
    if (job->received > BB_TEXT_STREAM_MAX)
        return fail(job, BB_ERR_TOO_LARGE, "the answer's stream (BB_TEXT_STREAM_MAX)");
    enum bb_err err = bb_events_feed(&job->events, bytes);
    if (err == BB_OK || job->connection->outcome.err != BB_OK)
        return err;
    return fail(job, err, "an event (BB_TEXT_EVENT_MAX)");
}

/* The exchange. */

static int keep_going(void *pointer, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                      curl_off_t up) {
    (void)down_total, (void)down, (void)up_total, (void)up;
    const struct bb_text_options *options = pointer;
    return options->go_on(options->go_on_context) ? 0 : 1;
}

static CURLcode set_watch(struct job *job) {
    CURL *curl = job->connection->curl;
    const struct bb_text_options *options = job->options;
    if (options->go_on == NULL)
        return CURLE_OK;
    job->connection->patience =
        (struct bb_client_patience){.go_on = options->go_on, .context = options->go_on_context};
    CURLcode code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, keep_going);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, options);
    return code == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) : code;
}

static CURLcode set_request(struct job *job) {
    CURL *curl = job->connection->curl;
    if (!add_header(job, "Content-Type: application/json") || !add_header(job, "Accept: text/event-stream"))
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, job->headers);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)job->body.len);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, bb_buf_str(&job->body));
    return code == CURLE_OK ? set_watch(job) : code;
}

static enum bb_err judge_answer(struct job *job) {
    struct bb_connection *connection = job->connection;
    if (connection->http_status >= 400)
        return bb_client_refused(connection);
    if (connection->http_status != 200)
        return bb_client_fail(&connection->outcome, BB_ERR_HTTP_FORM, "the server answered %d, expected 200",
                              connection->http_status);
    if (!job->done)
        return fail(job, BB_ERR_TRUNCATED, "the stream ends without [DONE]");
    if (job->made->finish_reason.len == 0)
        return fail(job, BB_ERR_HTTP_FORM, "the answer has no finish_reason");
    return BB_OK;
}

static enum bb_err exchange(struct job *job, struct bb_completion **completion) {
    struct bb_connection *connection = job->connection;
    enum bb_err err = bb_client_prepare(connection, job->chat ? "/v1/chat/completions" : "/v1/completions");
    if (err != BB_OK)
        return err;
    job->made = calloc(1, sizeof *job->made);
    if (job->made == NULL || set_request(job) != CURLE_OK)
        return fail_plainly(job, BB_ERR_NO_MEMORY);
    *job->made = (struct bb_completion){.text = BB_BUF_INIT(BB_TEXT_MAX),
                                        .finish_reason = BB_BUF_INIT(REASON_MAX),
                                        .prompt_tokens = -1,
                                        .tokens = -1};
    bb_events_init(&job->events, BB_TEXT_EVENT_MAX, take_event, job);
    connection->sink = (struct bb_client_sink){.take = take_bytes, .context = job};
    err = bb_client_perform(connection);
    connection->sink = (struct bb_client_sink){0};
    curl_easy_reset(connection->curl); /* the handle must not point to what ends with this call */
    if (err == BB_OK)
        err = judge_answer(job);
    bb_buf_done(&connection->answer);
    if (err != BB_OK)
        return err;
    *completion = job->made;
    job->made = NULL;
    return BB_OK;
}

static bool sensible(const struct bb_text_options *options) {
    if (options->temperature != NULL && !(*options->temperature >= 0 && *options->temperature <= 2))
        return false; /* NaN as well */
    if (options->top_p != NULL && !(*options->top_p > 0 && *options->top_p <= 1))
        return false;
    if (options->stop_count > BB_TEXT_STOPS_MAX || (options->stop_count > 0 && options->stop == NULL))
        return false;
    for (size_t i = 0; i < options->stop_count; i++)
        if (options->stop[i] == NULL)
            return false;
    return true;
}

/* What is asked: a prompt, or messages. */
struct question {
    const char *prompt;
    const struct bb_chat_message *messages;
    size_t count;
};

static enum bb_err build_request(struct job *job, const struct question *question) {
    job->request = json_object();
    if (job->request == NULL)
        return BB_ERR_NO_MEMORY;
    enum bb_err err = put_options(job->request, job->options);
    if (err == BB_OK)
        err = job->chat ? put_messages(job->request, question->messages, question->count)
                        : put_string(job->request, "prompt", question->prompt);
    return err == BB_OK ? write_body(job) : err;
}

/* job: what the caller gave. */
static enum bb_err run(const struct job *given, const struct question *question,
                       struct bb_completion **completion) {
    static const struct bb_text_options defaults;
    struct job job __attribute__((cleanup(job_done))) = *given;
    if (job.options == NULL)
        job.options = &defaults;
    if (!sensible(job.options))
        return fail_plainly(&job, BB_ERR_ARGUMENT);
    enum bb_err err = build_request(&job, question);
    return err == BB_OK ? exchange(&job, completion) : fail_plainly(&job, err);
}

enum bb_err bb_complete(struct bb_connection *connection, const char *prompt,
                        const struct bb_text_options *options, bb_text_piece *piece, void *context,
                        struct bb_completion **completion) {
    struct job job = {.connection = connection, .options = options, .piece = piece, .context = context};
    struct question question = {.prompt = prompt};
    bb_client_begin(connection);
    if (prompt == NULL)
        return fail_plainly(&job, BB_ERR_ARGUMENT);
    return run(&job, &question, completion);
}

enum bb_err bb_chat(struct bb_connection *connection, const struct bb_chat_message *messages, size_t count,
                    const struct bb_text_options *options, bb_text_piece *piece, void *context,
                    struct bb_completion **completion) {
    struct job job = {
        .connection = connection, .options = options, .piece = piece, .context = context, .chat = true};
    struct question question = {.messages = messages, .count = count};
    bb_client_begin(connection);
    if (messages == NULL || count == 0)
        return fail_plainly(&job, BB_ERR_ARGUMENT);
    for (size_t i = 0; i < count; i++)
        if (messages[i].role == NULL || messages[i].content == NULL)
            return fail_plainly(&job, BB_ERR_ARGUMENT);
    return run(&job, &question, completion);
}

const char *bb_completion_text(const struct bb_completion *completion, size_t *len) {
    if (len != NULL)
        *len = completion->text.len;
    return bb_buf_str(&completion->text);
}

const char *bb_completion_finish_reason(const struct bb_completion *completion) {
    return bb_buf_str(&completion->finish_reason);
}

int64_t bb_completion_prompt_tokens(const struct bb_completion *completion) {
    return completion->prompt_tokens;
}

int64_t bb_completion_tokens(const struct bb_completion *completion) {
    return completion->tokens;
}

void bb_completion_free(struct bb_completion *completion) {
    if (completion == NULL)
        return;
    bb_buf_done(&completion->text);
    bb_buf_done(&completion->finish_reason);
    free(completion);
}
