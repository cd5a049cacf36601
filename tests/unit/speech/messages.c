/* See messages.h. Written against docs/ARCHITECTURE.md, not with the worker's own reader and writer. */
#include "messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "cbor/cbor.h"
#include "enclave/ipc.h"
#include "sounds.h"

#define OK(call) assert_int_equal(call, BB_OK)

void send_raw(int fd, struct bb_view bytes, int audio_fd) {
    OK(bb_ipc_send(fd, bytes, audio_fd, 10000));
}

void ask_for(int fd, const struct ask *ask, struct bb_view audio) {
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    size_t pairs = 3u + (ask->language != NULL) + (ask->prompt != NULL) + (ask->temperature != 0) +
                   (ask->max_tokens != 0);
    OK(bb_cbor_put_map(&out, pairs));
    OK(bb_cbor_put_text(&out, "type"));
    OK(bb_cbor_put_text(&out, "transcribe"));
    OK(bb_cbor_put_text(&out, "id"));
    OK(bb_cbor_put_uint(&out, ask->id));
    OK(bb_cbor_put_text(&out, "deadline_ms"));
    OK(bb_cbor_put_uint(&out, ask->deadline_ms != 0 ? ask->deadline_ms : 60000));
    if (ask->language != NULL) {
        OK(bb_cbor_put_text(&out, "language"));
        OK(bb_cbor_put_text(&out, ask->language));
    }
    if (ask->prompt != NULL) {
        OK(bb_cbor_put_text(&out, "prompt"));
        OK(bb_cbor_put_text(&out, ask->prompt));
    }
    if (ask->temperature != 0) {
        OK(bb_cbor_put_text(&out, "temperature"));
        OK(bb_cbor_put_double(&out, ask->temperature));
    }
    if (ask->max_tokens != 0) {
        OK(bb_cbor_put_text(&out, "max_tokens"));
        OK(bb_cbor_put_uint(&out, ask->max_tokens));
    }
    int audio_fd BB_CLEANUP_FD = sealed_file(audio);
    send_raw(fd, bb_buf_view(&out), audio_fd);
}

void cancel(int fd, uint64_t id) {
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    OK(bb_cbor_put_map(&out, 2));
    OK(bb_cbor_put_text(&out, "type"));
    OK(bb_cbor_put_text(&out, "cancel"));
    OK(bb_cbor_put_text(&out, "id"));
    OK(bb_cbor_put_uint(&out, id));
    send_raw(fd, bb_buf_view(&out), -1);
}

/* All fields that any message has; what belongs to which type is checked by what must be there. */
static void read_message(struct bb_view bytes, struct heard_message *out) {
    static const char *const types[] = {"ready", "segment", "done", "error"};
    struct bb_view type, text = {0}, engine = {0};
    uint64_t decode_ms, threads;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &out->id},
        {.key = "engine", .type = BB_CBOR_TEXT, .out = &engine},
        {.key = "model", .type = BB_CBOR_TEXT, .out = &text},
        {.key = "states", .type = BB_CBOR_UINT, .out = &out->states},
        {.key = "threads", .type = BB_CBOR_UINT, .out = &threads},
        {.key = "start_ms", .type = BB_CBOR_UINT, .out = &out->start_ms},
        {.key = "end_ms", .type = BB_CBOR_UINT, .out = &out->end_ms},
        {.key = "text", .type = BB_CBOR_TEXT, .out = &text},
        {.key = "audio_ms", .type = BB_CBOR_UINT, .out = &out->audio_ms},
        {.key = "language", .type = BB_CBOR_TEXT, .out = &text},
        {.key = "tokens", .type = BB_CBOR_UINT, .out = &out->tokens},
        {.key = "queue_ms", .type = BB_CBOR_UINT, .out = &out->queue_ms},
        {.key = "decode_ms", .type = BB_CBOR_UINT, .out = &decode_ms},
        {.key = "infer_ms", .type = BB_CBOR_UINT, .out = &out->infer_ms},
        {.key = "code", .type = BB_CBOR_UINT, .out = &out->code},
        {.key = "message", .type = BB_CBOR_TEXT, .out = &text},
    };
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    OK(bb_cbor_read_fields(&reader, fields, sizeof fields / sizeof *fields, false));
    OK(bb_cbor_finish(&reader));
    size_t kind = 0;
    while (kind < 4 && !bb_view_equal(type, bb_view_str(types[kind])))
        kind++;
    assert_true(kind < 4);
    out->kind = (enum heard_kind)kind;
    static const size_t pairs[] = {5, 5, 8, 4};
    size_t present = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        present += fields[i].present;
    assert_int_equal(present, pairs[kind]);
    assert_true(text.len < sizeof out->text);
    memcpy(out->text, text.data, text.len);
    out->text[text.len] = '\0';
}

struct heard_message hear_next(int fd, int timeout_ms) {
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int passed BB_CLEANUP_FD = -1;
    struct heard_message message = {.kind = HEARD_END};
    enum bb_err err = bb_ipc_receive(fd, &bytes, &passed, timeout_ms);
    if (err == BB_ERR_CLOSED)
        return message;
    OK(err);
    assert_int_equal(passed, -1);
    read_message(bb_buf_view(&bytes), &message);
    return message;
}

struct heard_message hear_answer(int fd, uint64_t id, char *text, size_t text_max) {
    if (text_max > 0)
        text[0] = '\0';
    for (;;) {
        struct heard_message message = hear_next(fd, 60000);
        if (message.kind != HEARD_END)
            assert_int_equal(message.id, id);
        if (message.kind != HEARD_SEGMENT)
            return message;
        if (text_max > 0) {
            assert_true(strlen(text) + strlen(message.text) < text_max);
            strcat(text, message.text);
        }
    }
}
