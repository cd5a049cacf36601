/* See message.h. Reads strictly by table; the caller learns only that the gate broke the protocol. */
#include "enclave/speech/message.h"

#include "cbor/cbor.h"
#include "enclave/ipc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum bb_err read_table(struct bb_view bytes, struct bb_cbor_field *fields, size_t count) {
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = bb_cbor_read_fields(&reader, fields, count, false);
    if (err == BB_OK)
        err = bb_cbor_finish(&reader);
    return err == BB_OK || err == BB_ERR_NO_MEMORY ? err : BB_ERR_PROTOCOL;
}

static enum bb_err read_transcribe(struct bb_view bytes, struct bb_speech_message *out) {
    struct bb_speech_message message = {.kind = BB_SPEECH_TRANSCRIBE};
    struct bb_view type;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &message.id, .required = true},
        {.key = "deadline_ms", .type = BB_CBOR_UINT, .out = &message.deadline_ms, .required = true},
        {.key = "language", .type = BB_CBOR_TEXT, .out = &message.language},
        {.key = "prompt", .type = BB_CBOR_TEXT, .out = &message.prompt},
        {.key = "temperature", .type = BB_CBOR_DOUBLE, .out = &message.temperature},
        {.key = "max_tokens", .type = BB_CBOR_UINT, .out = &message.max_tokens},
        {.key = "translate", .type = BB_CBOR_BOOL, .out = &message.translate},
    };
    enum bb_err err = read_table(bytes, fields, COUNT(fields));
    if (err == BB_OK)
        *out = message;
    return err;
}

static enum bb_err read_cancel(struct bb_view bytes, struct bb_speech_message *out) {
    struct bb_speech_message message = {.kind = BB_SPEECH_CANCEL};
    struct bb_view type;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &message.id, .required = true},
    };
    enum bb_err err = read_table(bytes, fields, COUNT(fields));
    if (err == BB_OK)
        *out = message;
    return err;
}

enum bb_err bb_speech_message_read(struct bb_view bytes, struct bb_speech_message *out) {
    struct bb_view type;
    enum bb_err err = bb_ipc_type(bytes, &type);
    if (err != BB_OK)
        return err;
    if (bb_view_equal(type, bb_view_str("transcribe")))
        return read_transcribe(bytes, out);
    if (bb_view_equal(type, bb_view_str("cancel")))
        return read_cancel(bytes, out);
    return BB_ERR_PROTOCOL;
}

/* --- writing: a chain of calls that stops at the first failure --- */

struct writer {
    struct bb_buf *out;
    enum bb_err err;
};

static struct writer begin(struct bb_buf *out, const char *type, size_t pairs) {
    struct writer writer = {.out = out, .err = bb_cbor_put_map(out, pairs)};
    if (writer.err == BB_OK)
        writer.err = bb_cbor_put_text(out, "type");
    if (writer.err == BB_OK)
        writer.err = bb_cbor_put_text(out, type);
    return writer;
}

static bool key(struct writer *writer, const char *name) {
    if (writer->err == BB_OK)
        writer->err = bb_cbor_put_text(writer->out, name);
    return writer->err == BB_OK;
}

static void put_uint(struct writer *writer, const char *name, uint64_t value) {
    if (key(writer, name))
        writer->err = bb_cbor_put_uint(writer->out, value);
}

static void put_text(struct writer *writer, const char *name, struct bb_view text) {
    if (key(writer, name))
        writer->err = bb_cbor_put_text_view(writer->out, text);
}

enum bb_err bb_speech_put_ready(struct bb_buf *out, const char *engine, const char *model, unsigned states,
                                unsigned threads) {
    struct writer writer = begin(out, "ready", 5);
    put_text(&writer, "engine", bb_view_str(engine));
    put_text(&writer, "model", bb_view_str(model));
    put_uint(&writer, "states", states);
    put_uint(&writer, "threads", threads);
    return writer.err;
}

enum bb_err bb_speech_put_segment(struct bb_buf *out, uint64_t id, uint64_t start_ms, uint64_t end_ms,
                                  struct bb_view text) {
    struct writer writer = begin(out, "segment", 5);
    put_uint(&writer, "id", id);
    put_uint(&writer, "start_ms", start_ms);
    put_uint(&writer, "end_ms", end_ms);
    put_text(&writer, "text", text);
    return writer.err;
}

enum bb_err bb_speech_put_done(struct bb_buf *out, uint64_t id, const struct bb_speech_done *done) {
    struct writer writer = begin(out, "done", 8);
    put_uint(&writer, "id", id);
    put_uint(&writer, "audio_ms", done->audio_ms);
    put_text(&writer, "language", bb_view_str(done->language));
    put_uint(&writer, "tokens", done->tokens);
    put_uint(&writer, "queue_ms", done->queue_ms);
    put_uint(&writer, "decode_ms", done->decode_ms);
    put_uint(&writer, "infer_ms", done->infer_ms);
    return writer.err;
}

enum bb_err bb_speech_put_error(struct bb_buf *out, uint64_t id, enum bb_err code, const char *message) {
    struct writer writer = begin(out, "error", 4);
    put_uint(&writer, "id", id);
    put_uint(&writer, "code", (uint64_t)code);
    put_text(&writer, "message", bb_view_str(message));
    return writer.err;
}
