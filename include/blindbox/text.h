/*
 * Text from an attested enclave: POST /v1/completions and POST /v1/chat/completions in the OpenAI form, the
 * answer streamed as server-sent events. A service without a text model answers 404, which is
 * BB_ERR_HTTP_STATUS with the service's own sentence.
 */
#ifndef BLINDBOX_TEXT_H
#define BLINDBOX_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blindbox/connection.h>
#include <blindbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* Bytes; what is longer is BB_ERR_TOO_LARGE. */
#define BB_TEXT_REQUEST_MAX ((size_t)16 * 1024 * 1024)    /* the request as JSON; then nothing is sent */
#define BB_TEXT_MAX         ((size_t)1024 * 1024)         /* the text of an answer */
#define BB_TEXT_EVENT_MAX   ((size_t)256 * 1024)          /* one event of the stream */
#define BB_TEXT_STREAM_MAX  ((uint64_t)512 * 1024 * 1024) /* all events of an answer */

#define BB_TEXT_MODEL_DEFAULT "default"
#define BB_TEXT_STOPS_MAX     4u

/* A NULL pointer, or a struct of zeros, asks for the server's defaults. */
struct bb_text_options {
    const char *model;         /* NULL: BB_TEXT_MODEL_DEFAULT */
    uint32_t max_tokens;       /* 0: the server's default */
    const double *temperature; /* 0..2 */
    const double *top_p;       /* more than 0, up to 1 */
    const int64_t *seed;
    const char *const *stop; /* texts at which the answer ends, at most BB_TEXT_STOPS_MAX */
    size_t stop_count;
    /* Called at least once a second while the call lasts. False ends it with BB_ERR_CANCELLED. */
    bool (*go_on)(void *context);
    void *go_on_context;
};

struct bb_chat_message {
    const char *role; /* "system", "user", "assistant" */
    const char *content;
};

/*
 * Gets each piece of text as it arrives: complete UTF-8 characters, len bytes and a terminator, never empty,
 * gone after the return. False ends the call with BB_ERR_CANCELLED. It may not use the connection.
 */
typedef bool bb_text_piece(void *context, const char *text, size_t len);

struct bb_completion;

/*
 * Sends the prompt, or the messages, and returns what the model wrote. piece may be NULL. On BB_OK
 * *completion is to be freed with bb_completion_free(). The texts are UTF-8 (else BB_ERR_ARGUMENT).
 * BB_ERR_HTTP_STATUS: the server answered with an error, or reported one in the middle of the answer;
 * bb_connection_error_text() has its sentence. BB_ERR_TRUNCATED: the stream ended before the answer did.
 * BB_ERR_HTTP_FORM: not the promised answer. BB_ERR_TOO_LARGE, _CANCELLED, _TIMEOUT, _CLOSED and everything
 * that bb_connection_attest() returns; when the evidence is not good, nothing is sent. Pieces that were
 * handed out before an error are part of no complete answer.
 */
BB_MUST_USE enum bb_err bb_complete(struct bb_connection *connection, const char *prompt,
                                    const struct bb_text_options *options, bb_text_piece *piece,
                                    void *context, struct bb_completion **completion);
BB_MUST_USE enum bb_err bb_chat(struct bb_connection *connection, const struct bb_chat_message *messages,
                                size_t count, const struct bb_text_options *options, bb_text_piece *piece,
                                void *context, struct bb_completion **completion);

/* The whole text: UTF-8, terminated; *len (may be NULL) without the terminator. */
const char *bb_completion_text(const struct bb_completion *completion, size_t *len);
/* Why the text ends, in the server's word: "stop", "length". */
const char *bb_completion_finish_reason(const struct bb_completion *completion);
/* Tokens of the request and of the answer, as the server counts them; -1 when it did not say. */
int64_t bb_completion_prompt_tokens(const struct bb_completion *completion);
int64_t bb_completion_tokens(const struct bb_completion *completion);
/* Wipes and frees. NULL is allowed. */
void bb_completion_free(struct bb_completion *completion);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
