/* See fault.h. */
#include "enclave/gate/fault.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "enclave/gate/json.h"

void bb_fault_set(struct bb_fault *fault, int status, const char *format, ...) {
    *fault = (struct bb_fault){.status = status};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fault->message, sizeof fault->message, format, args);
    va_end(args);
}

/* What the caller can do about an error of the speech worker, by code. Codes that are not listed are ours to
 * mend: 500. */
static const struct {
    enum bb_err err;
    int status;
    int retry_after_s;
    const char *code;
} reasons[] = {
    {BB_ERR_AUDIO_FORMAT, 400, 0, "audio_format"},
    {BB_ERR_AUDIO_TRUNCATED, 400, 0, "audio_truncated"},
    {BB_ERR_AUDIO_EMPTY, 400, 0, "audio_empty"},
    {BB_ERR_AUDIO_RATE, 400, 0, "audio_rate"},
    {BB_ERR_AUDIO_TOO_LONG, 413, 0, "audio_seconds"},
    {BB_ERR_ARGUMENT, 400, 0, NULL},
    {BB_ERR_UNSUPPORTED, 400, 0, "unsupported"},
    {BB_ERR_BUSY, 503, 1, "queue"},
    {BB_ERR_TIMEOUT, 503, 5, "request_ms"},
    {BB_ERR_CLOSED, 503, 1, "worker_restarting"},
    {BB_ERR_NO_MEMORY, 503, 5, "memory"},
};

static bool is_plain(struct bb_view text) {
    if (text.len == 0 || text.len >= BB_FAULT_MESSAGE_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    return true;
}

/* Sentences that name a limit and its value are ours; the rest is the worker's, else the code's own. */
static void describe(struct bb_fault *fault, enum bb_err err, struct bb_view detail,
                     const struct bb_limits *limits) {
    char *to = fault->message;
    size_t max = sizeof fault->message;
    if (err == BB_ERR_BUSY)
        (void)snprintf(to, max, "Too many requests are waiting: the limit queue (%" PRIu64 ") is reached",
                       limits->queue);
    else if (err == BB_ERR_TIMEOUT)
        (void)snprintf(to, max, "The request took longer than the limit request_ms (%" PRIu64 ")",
                       limits->request_ms);
    else if (err == BB_ERR_CLOSED)
        (void)snprintf(to, max, "The speech worker is being restarted; try again");
    else if (err == BB_ERR_AUDIO_FORMAT) /* in the words that existing clients know */
        (void)snprintf(to, max, "Could not deserialize data: not an audio file");
    else if (fault->status < 500 && is_plain(detail))
        (void)snprintf(to, max, "%.*s", (int)detail.len, (const char *)detail.data);
    else if (err == BB_ERR_AUDIO_TOO_LONG)
        (void)snprintf(to, max, "The recording is longer than the limit audio_seconds (%" PRIu64 ")",
                       limits->audio_seconds);
    else if (err == BB_ERR_AUDIO_EMPTY)
        (void)snprintf(to, max, "The audio file is empty");
    else if (fault->status == 500)
        (void)snprintf(to, max, "The request could not be served");
    else
        (void)snprintf(to, max, "%s", bb_err_sentence(err));
}

void bb_fault_from_err(struct bb_fault *fault, enum bb_err err, struct bb_view detail,
                       const struct bb_limits *limits) {
    *fault = (struct bb_fault){.status = 500};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].err != err)
            continue;
        fault->status = reasons[i].status;
        fault->retry_after_s = reasons[i].retry_after_s;
        fault->code = reasons[i].code;
    }
    describe(fault, err, detail, limits);
}

static bool starts_with(struct bb_view text, const char *prefix) {
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

enum bb_dialect bb_dialect_of_path(struct bb_view path) {
    static const struct {
        const char *prefix;
        enum bb_dialect dialect;
    } table[] = {
        {"/v1", BB_DIALECT_OPENAI},    {"/whisper/", BB_DIALECT_DETAIL}, {"/enclave", BB_DIALECT_TEXT},
        {"/healthz", BB_DIALECT_TEXT}, {"/readyz", BB_DIALECT_TEXT},     {"/metrics", BB_DIALECT_TEXT},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t len = strlen(table[i].prefix);
        bool ends =
            path.len == len || table[i].prefix[len - 1] == '/' || (path.len > len && path.data[len] == '/');
        if (starts_with(path, table[i].prefix) && ends)
            return table[i].dialect;
    }
    return BB_DIALECT_JSON;
}

/* OpenAI's "type" by status. */
static const char *openai_type(int status) {
    if (status == 429)
        return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

enum bb_err bb_fault_write(const struct bb_fault *fault, enum bb_dialect dialect, struct bb_buf *out,
                           const char **content_type) {
    if (dialect == BB_DIALECT_TEXT) {
        *content_type = "text/plain; charset=utf-8";
        return bb_buf_printf(out, "%s\n", fault->message);
    }
    *content_type = "application/json";
    if (dialect == BB_DIALECT_DETAIL)
        return bb_json_write(out, json_pack("{s:s}", "detail", fault->message));
    if (dialect == BB_DIALECT_JSON)
        return bb_json_write(out, json_pack("{s:s}", "error", fault->message));
    return bb_json_write(out,
                         json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error", "message", fault->message, "type",
                                   openai_type(fault->status), "param", fault->param, "code", fault->code));
}
