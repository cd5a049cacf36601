/*
 * Checks the structure of a ggml speech model, because libwhisper loads a file that was cut short without an
 * error. Trusts nothing in the file: every length is held against what is left, every size of the network
 * against a named bound. Refuses anything but header, mel filters, vocabulary and exactly the number of
 * tensors that the header's layer counts call for.
 */
#include "enclave/speech/model_file.h"

#include "enclave/speech/little.h"

#define MAGIC         0x67676d6cu /* "ggml" */
#define VOCABULARY    1000000u    /* entries at most */
#define TOKEN_BYTES   1024u
#define NAME_BYTES    256u
#define DIMENSIONS    4u
#define DIMENSION_MAX (1u << 24)

/* The eleven numbers behind the magic, with the largest value that is believed. All must be at least 1. */
enum header_field {
    N_VOCAB,
    N_AUDIO_CTX,
    N_AUDIO_STATE,
    N_AUDIO_HEAD,
    N_AUDIO_LAYER,
    N_TEXT_CTX,
    N_TEXT_STATE,
    N_TEXT_HEAD,
    N_TEXT_LAYER,
    N_MELS,
    FTYPE,
    HEADER_FIELDS
};

static const struct {
    const char *name;
    uint32_t highest;
} header_fields[HEADER_FIELDS] = {
    [N_VOCAB] = {"n_vocab", VOCABULARY},
    [N_AUDIO_CTX] = {"n_audio_ctx", 8192},
    [N_AUDIO_STATE] = {"n_audio_state", 8192},
    [N_AUDIO_HEAD] = {"n_audio_head", 256},
    [N_AUDIO_LAYER] = {"n_audio_layer", 256},
    [N_TEXT_CTX] = {"n_text_ctx", 8192},
    [N_TEXT_STATE] = {"n_text_state", 8192},
    [N_TEXT_HEAD] = {"n_text_head", 256},
    [N_TEXT_LAYER] = {"n_text_layer", 256},
    [N_MELS] = {"n_mels", 1024},
    [FTYPE] = {"ftype", 100000},
};

/* ggml's types that speech models use: values and bytes of a block. */
static const struct {
    uint32_t type, values, bytes;
} types[] = {
    {0, 1, 4},   {1, 1, 2},     {2, 32, 18},    {3, 32, 20},    {6, 32, 22},    {7, 32, 24},
    {8, 32, 34}, {10, 256, 84}, {11, 256, 110}, {12, 256, 144}, {13, 256, 176}, {14, 256, 210},
};

static enum bb_err refuse(struct bb_buf *reason, const char *sentence) {
    return bb_buf_append_str(reason, sentence) == BB_OK ? BB_ERR_MODEL : BB_ERR_NO_MEMORY;
}

static enum bb_err read_header(struct bb_cursor *in, uint32_t header[HEADER_FIELDS], struct bb_buf *reason) {
    uint32_t magic;
    if (bb_little_u32(in, &magic) != BB_OK || magic != MAGIC)
        return refuse(reason, "the file is not a ggml speech model");
    for (int i = 0; i < HEADER_FIELDS; i++) {
        if (bb_little_u32(in, &header[i]) != BB_OK)
            return refuse(reason, "the file ends inside its header");
        if ((header[i] == 0 && i != FTYPE) || header[i] > header_fields[i].highest) {
            if (bb_buf_printf(reason, "%s is %u, allowed is 1 to %u", header_fields[i].name, header[i],
                              header_fields[i].highest) != BB_OK)
                return BB_ERR_NO_MEMORY;
            return BB_ERR_MODEL;
        }
    }
    return BB_OK;
}

static enum bb_err skip_filters(struct bb_cursor *in, uint32_t mels, struct bb_buf *reason) {
    uint32_t rows, columns;
    struct bb_view values;
    if (bb_little_u32(in, &rows) != BB_OK || bb_little_u32(in, &columns) != BB_OK)
        return refuse(reason, "the file ends before its mel filters");
    if (rows != mels || columns == 0 || columns > 4096)
        return refuse(reason, "the mel filters do not have the size that the header names");
    if (bb_cursor_take(in, (size_t)4 * rows * columns, &values) != BB_OK)
        return refuse(reason, "the file ends inside its mel filters");
    return BB_OK;
}

static enum bb_err skip_vocabulary(struct bb_cursor *in, struct bb_buf *reason) {
    uint32_t count, len;
    struct bb_view token;
    if (bb_little_u32(in, &count) != BB_OK || count == 0 || count > VOCABULARY)
        return refuse(reason, "the vocabulary's size is missing or not believable");
    for (uint32_t i = 0; i < count; i++)
        if (bb_little_u32(in, &len) != BB_OK || len > TOKEN_BYTES || bb_cursor_take(in, len, &token) != BB_OK)
            return refuse(reason, "the file ends inside its vocabulary");
    return BB_OK;
}

/* Bytes of a tensor's data, or 0 where its type or size is not believable. */
static uint64_t tensor_bytes(uint32_t type, const uint32_t *dimensions, uint32_t count) {
    uint64_t values = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (dimensions[i] == 0 || dimensions[i] > DIMENSION_MAX || values > UINT64_C(1) << 36)
            return 0;
        values *= dimensions[i];
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].type == type)
            return dimensions[0] % types[i].values == 0 ? values / types[i].values * types[i].bytes : 0;
    return 0;
}

static enum bb_err skip_tensor(struct bb_cursor *in, struct bb_buf *reason) {
    uint32_t count, name_len, type, dimensions[DIMENSIONS];
    struct bb_view bytes;
    if (bb_little_u32(in, &count) != BB_OK || bb_little_u32(in, &name_len) != BB_OK ||
        bb_little_u32(in, &type) != BB_OK)
        return refuse(reason, "the file ends inside a tensor's header");
    if (count == 0 || count > DIMENSIONS || name_len == 0 || name_len > NAME_BYTES)
        return refuse(reason, "a tensor's header is damaged");
    for (uint32_t i = 0; i < count; i++)
        if (bb_little_u32(in, &dimensions[i]) != BB_OK)
            return refuse(reason, "the file ends inside a tensor's header");
    uint64_t len = tensor_bytes(type, dimensions, count);
    if (len == 0)
        return refuse(reason, "a tensor has an unknown type or size");
    if (bb_cursor_take(in, name_len, &bytes) != BB_OK || bb_cursor_take(in, len, &bytes) != BB_OK)
        return refuse(reason, "the file ends inside a tensor: it is truncated");
    return BB_OK;
}

/* Tensors of the Whisper architecture; keys have no bias. */
static uint32_t tensors_expected(const uint32_t header[HEADER_FIELDS]) {
    uint32_t encoder =
        7 + header[N_AUDIO_LAYER] * 15; /* positions, 2 convolutions, last norm; attention, mlp */
    uint32_t decoder =
        4 + header[N_TEXT_LAYER] * 24; /* positions, tokens, last norm; cross attention as well */
    return encoder + decoder;
}

enum bb_err bb_model_file_check(struct bb_view file, struct bb_buf *reason) {
    struct bb_cursor in = bb_cursor(file);
    uint32_t header[HEADER_FIELDS];
    enum bb_err err = read_header(&in, header, reason);
    if (err == BB_OK)
        err = skip_filters(&in, header[N_MELS], reason);
    if (err == BB_OK)
        err = skip_vocabulary(&in, reason);
    uint32_t tensors = 0;
    while (err == BB_OK && in.left > 0) {
        err = skip_tensor(&in, reason);
        tensors++;
    }
    if (err != BB_OK || tensors == tensors_expected(header))
        return err;
    if (bb_buf_printf(reason, "the file holds %u tensors, its header calls for %u: it is truncated", tensors,
                      tensors_expected(header)) != BB_OK)
        return BB_ERR_NO_MEMORY;
    return BB_ERR_MODEL;
}
