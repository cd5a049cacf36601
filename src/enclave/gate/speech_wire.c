/* See speech_wire.h. */
#include "enclave/gate/speech_wire.h"

#include "cbor/cbor.h"
#include "enclave/ipc.h"

static enum bb_err read_all(struct bb_view packet, struct bb_cbor_field *fields, size_t count) {
    struct bb_cbor reader;
    bb_cbor_init(&reader, packet);
    enum bb_err err = bb_cbor_read_fields(&reader, fields, count, false);
    if (err == BB_OK)
        err = bb_cbor_finish(&reader);
    return err == BB_OK ? BB_OK : BB_ERR_PROTOCOL;
}

static enum bb_err read_ready(struct bb_view packet, struct bb_speech_message *out) {
    struct bb_view type, engine, model;
    uint64_t states, threads;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "engine", .type = BB_CBOR_TEXT, .out = &engine, .required = true},
        {.key = "model", .type = BB_CBOR_TEXT, .out = &model, .required = true},
        {.key = "states", .type = BB_CBOR_UINT, .out = &states, .required = true},
        {.key = "threads", .type = BB_CBOR_UINT, .out = &threads, .required = true},
    };
    out->type = BB_SPEECH_READY;
    return read_all(packet, fields, sizeof fields / sizeof fields[0]);
}

static enum bb_err read_segment(struct bb_view packet, struct bb_speech_message *out) {
    struct bb_view type;
    uint64_t start_ms, end_ms;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &out->id, .required = true},
        {.key = "start_ms", .type = BB_CBOR_UINT, .out = &start_ms, .required = true},
        {.key = "end_ms", .type = BB_CBOR_UINT, .out = &end_ms, .required = true},
        {.key = "text", .type = BB_CBOR_TEXT, .out = &out->text, .required = true},
    };
    out->type = BB_SPEECH_SEGMENT;
    return read_all(packet, fields, sizeof fields / sizeof fields[0]);
}

static enum bb_err read_done(struct bb_view packet, struct bb_speech_message *out) {
    struct bb_view type, language;
    uint64_t tokens;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &out->id, .required = true},
        {.key = "audio_ms", .type = BB_CBOR_UINT, .out = &out->audio_ms, .required = true},
        {.key = "language", .type = BB_CBOR_TEXT, .out = &language, .required = true},
        {.key = "tokens", .type = BB_CBOR_UINT, .out = &tokens, .required = true},
        {.key = "queue_ms", .type = BB_CBOR_UINT, .out = &out->queue_ms, .required = true},
        {.key = "decode_ms", .type = BB_CBOR_UINT, .out = &out->decode_ms, .required = true},
        {.key = "infer_ms", .type = BB_CBOR_UINT, .out = &out->infer_ms, .required = true},
    };
    out->type = BB_SPEECH_DONE;
    return read_all(packet, fields, sizeof fields / sizeof fields[0]);
}

static enum bb_err read_error(struct bb_view packet, struct bb_speech_message *out) {
    struct bb_view type;
    uint64_t code = 0;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &out->id, .required = true},
        {.key = "code", .type = BB_CBOR_UINT, .out = &code, .required = true},
        {.key = "message", .type = BB_CBOR_TEXT, .out = &out->text, .required = true},
    };
    out->type = BB_SPEECH_ERROR;
    enum bb_err err = read_all(packet, fields, sizeof fields / sizeof fields[0]);
    if (err != BB_OK || code == BB_OK || code >= BB_ERR_COUNT)
        return BB_ERR_PROTOCOL;
    out->err = (enum bb_err)code;
    return BB_OK;
}

enum bb_err bb_speech_read(struct bb_view packet, struct bb_speech_message *out) {
    static const struct {
        const char *type;
        enum bb_err (*read)(struct bb_view packet, struct bb_speech_message *out);
    } table[] = {
        {"ready", read_ready},
        {"segment", read_segment},
        {"done", read_done},
        {"error", read_error},
    };
    struct bb_view type;
    struct bb_speech_message message = {0};
    if (bb_ipc_type(packet, &type) != BB_OK)
        return BB_ERR_PROTOCOL;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!bb_view_equal(type, bb_view_str(table[i].type)))
            continue;
        enum bb_err err = table[i].read(packet, &message);
        if (err == BB_OK)
            *out = message;
        return err;
    }
    return BB_ERR_PROTOCOL;
}

static enum bb_err put_head(struct bb_buf *out, size_t pairs, const char *type, uint64_t id) {
    enum bb_err err = bb_cbor_put_map(out, pairs);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "type");
    if (err == BB_OK)
        err = bb_cbor_put_text(out, type);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "id");
    return err == BB_OK ? bb_cbor_put_uint(out, id) : err;
}

static enum bb_err put_text(struct bb_buf *out, const char *key, struct bb_view text) {
    if (text.len == 0)
        return BB_OK;
    enum bb_err err = bb_cbor_put_text(out, key);
    return err == BB_OK ? bb_cbor_put_text_view(out, text) : err;
}

enum bb_err bb_speech_write_transcribe(const struct bb_speech_order *order, struct bb_buf *out) {
    size_t pairs = 3u + (order->language.len > 0) + (order->prompt.len > 0) + order->has_temperature;
    enum bb_err err = put_head(out, pairs, "transcribe", order->id);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "deadline_ms");
    if (err == BB_OK)
        err = bb_cbor_put_uint(out, order->deadline_ms);
    if (err == BB_OK)
        err = put_text(out, "language", order->language);
    if (err == BB_OK)
        err = put_text(out, "prompt", order->prompt);
    if (err == BB_OK && order->has_temperature)
        err = bb_cbor_put_text(out, "temperature");
    if (err == BB_OK && order->has_temperature)
        err = bb_cbor_put_double(out, order->temperature);
    return err;
}

enum bb_err bb_speech_write_cancel(uint64_t id, struct bb_buf *out) {
    return put_head(out, 2, "cancel", id);
}
