/*
 * See config.h. libcyaml reads the file's shape (known keys, each a scalar) and every value as text; the
 * values are then judged here, by one table of numbers and a few checks of text, so that each refusal can
 * name the field and what is allowed. Trusts nothing in the file: it is measured, not vetted. Refuses unknown
 * and repeated keys, aliases, and numbers in any form but plain decimal.
 */
#include "enclave/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cyaml/cyaml.h>

#include "base/fd.h"
#include "base/hex.h"

#define REASON_MAX 512u

/* The file as libcyaml delivers it: NULL where a field is absent. */
struct raw_limits {
#define RAW_LIMIT(name, value, lowest, highest, meaning) char *name;
    BB_LIMIT_LIST(RAW_LIMIT)
#undef RAW_LIMIT
};

struct raw_config {
    char *version;
    struct {
        char *model, *name, *states, *threads, *language, *fallback;
    } speech;
    struct {
        char *renew_seconds;
    } evidence;
    struct raw_limits limits;
};

#define TEXT_MAX 256u
#define SPEECH(member, flags)                                                                                \
    {                                                                                                        \
        .key = #member,                                                                                      \
        .data_offset = offsetof(struct raw_config, speech.member) - offsetof(struct raw_config, speech),     \
        .value = {                                                                                           \
            CYAML_VALUE_STRING((flags) | CYAML_FLAG_POINTER, char *, 0, TEXT_MAX)                            \
        }                                                                                                    \
    }

static const cyaml_schema_field_t speech_fields[] = {
    SPEECH(model, CYAML_FLAG_DEFAULT),
    SPEECH(name, CYAML_FLAG_OPTIONAL),
    SPEECH(states, CYAML_FLAG_OPTIONAL),
    SPEECH(threads, CYAML_FLAG_OPTIONAL),
    SPEECH(language, CYAML_FLAG_OPTIONAL),
    SPEECH(fallback, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t evidence_fields[] = {
    {.key = "renew_seconds",
     .data_offset = 0,
     .value = {CYAML_VALUE_STRING(CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER, char *, 0, TEXT_MAX)}},
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t limit_fields[] = {
#define LIMIT_FIELD(name, value, lowest, highest, meaning)                                                   \
    CYAML_FIELD_STRING_PTR(#name, CYAML_FLAG_OPTIONAL, struct raw_limits, name, 0, TEXT_MAX),
    BB_LIMIT_LIST(LIMIT_FIELD)
#undef LIMIT_FIELD
        CYAML_FIELD_END,
};

static const cyaml_schema_field_t file_fields[] = {
    CYAML_FIELD_STRING_PTR("version", CYAML_FLAG_DEFAULT, struct raw_config, version, 0, TEXT_MAX),
    CYAML_FIELD_MAPPING("speech", CYAML_FLAG_DEFAULT, struct raw_config, speech, speech_fields),
    CYAML_FIELD_MAPPING("evidence", CYAML_FLAG_OPTIONAL, struct raw_config, evidence, evidence_fields),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct raw_config, limits, limit_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, file_fields),
};

/* What libcyaml says when it refuses a file: the first sentence, and where. */
struct complaint {
    char what[160];
    char where[160];
};

static void keep_complaint(cyaml_log_t level, void *context, const char *format, va_list arguments) {
    struct complaint *complaint = context;
    char line[160];
    if (level < CYAML_LOG_ERROR || vsnprintf(line, sizeof line, format, arguments) < 0)
        return;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "Load: Backtrace", 15) == 0)
        return;
    if (complaint->what[0] == '\0' && strncmp(line, "  in ", 5) != 0)
        snprintf(complaint->what, sizeof complaint->what, "%s",
                 strncmp(line, "Load: ", 6) == 0 ? line + 6 : line);
    else if (complaint->where[0] == '\0' && strncmp(line, "  in ", 5) == 0)
        snprintf(complaint->where, sizeof complaint->where, "%s", line + 2);
}

/* Appends a sentence and gives back the code, so that refusing is one line. A full reason only gets shorter.
 */
__attribute__((format(printf, 2, 3))) static enum bb_err refuse(struct bb_buf *reason, const char *format,
                                                                ...) {
    char sentence[REASON_MAX];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (len > 0 && bb_buf_append_str(reason, sentence) != BB_OK)
        return BB_ERR_NO_MEMORY;
    return BB_ERR_CONFIG;
}

static const cyaml_config_t *loader(struct complaint *complaint, cyaml_config_t *config) {
    *config = (cyaml_config_t){.log_fn = keep_complaint,
                               .log_ctx = complaint,
                               .mem_fn = cyaml_mem,
                               .log_level = CYAML_LOG_ERROR,
                               .flags = CYAML_CFG_NO_ALIAS};
    return config;
}

static enum bb_err load(struct bb_view yaml, struct raw_config **out, struct bb_buf *reason) {
    if (yaml.len > BB_CONFIG_MAX)
        return refuse(reason, "blindbox.yml: %zu bytes are more than %u", yaml.len, BB_CONFIG_MAX);
    if (yaml.data == NULL || yaml.len == 0)
        return refuse(reason, "blindbox.yml: the file is empty");
    if (memchr(yaml.data, '\0', yaml.len) != NULL)
        return refuse(reason, "blindbox.yml: the file contains a zero byte");
    if (memmem(yaml.data, yaml.len, "\n---", 4) != NULL || memmem(yaml.data, yaml.len, "\n...", 4) != NULL)
        return refuse(reason, "blindbox.yml: one document is allowed, without the marks --- and ...");
    struct complaint complaint = {0};
    cyaml_config_t config;
    cyaml_data_t *data = NULL;
    cyaml_err_t err =
        cyaml_load_data(yaml.data, yaml.len, loader(&complaint, &config), &file_schema, &data, NULL);
    if (err == CYAML_ERR_OOM)
        return BB_ERR_NO_MEMORY;
    if (err != CYAML_OK)
        return refuse(reason, "blindbox.yml: %s%s%s",
                      complaint.what[0] != '\0' ? complaint.what : cyaml_strerror(err),
                      complaint.where[0] != '\0' ? " " : "", complaint.where);
    if (data == NULL)
        return refuse(reason, "blindbox.yml: the file has no content");
    *out = data;
    return BB_OK;
}

/* A value as it may be shown: what is not printable is left out of the reason altogether. */
static const char *shown(const char *value) {
    for (const char *at = value; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            return "something unprintable";
    return value;
}

static enum bb_err read_number(const char *field, const char *text, uint64_t lowest, uint64_t highest,
                               uint64_t *out, struct bb_buf *reason) {
    uint64_t value = 0;
    size_t len = strlen(text);
    bool plain = len >= 1 && len <= 18 && strspn(text, "0123456789") == len && (len == 1 || text[0] != '0');
    for (size_t i = 0; plain && i < len; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (!plain || value < lowest || value > highest)
        return refuse(reason, "blindbox.yml: %s is %s, allowed: %llu to %llu", field, shown(text),
                      (unsigned long long)lowest, (unsigned long long)highest);
    *out = value;
    return BB_OK;
}

/* A setting that is a number: where its text is in raw_config, where its value goes, and its bounds. */
struct number {
    const char *field;
    size_t text_offset, value_offset;
    size_t value_size; /* of an unsigned or a uint64_t */
    uint64_t initial, lowest, highest;
};

#define NUMBER(field, text, member, initial, lowest, highest)                                                \
    {field,                                                                                                  \
     offsetof(struct raw_config, text),                                                                      \
     offsetof(struct bb_config, member),                                                                     \
     sizeof(((struct bb_config *)NULL)->member),                                                             \
     initial,                                                                                                \
     lowest,                                                                                                 \
     highest},
#define NUMBER_OF_LIMIT(name, value, lowest, highest, meaning)                                               \
    NUMBER("limits." #name, limits.name, limits.name, value, lowest, highest)

static const struct number numbers[] = {
    NUMBER("speech.states", speech.states, speech_states, 0, 0, 256)
        NUMBER("speech.threads", speech.threads, speech_threads, 1, 1, 256)
            NUMBER("evidence.renew_seconds", evidence.renew_seconds, evidence_renew_seconds, 1200, 1, 9000)
                BB_LIMIT_LIST(NUMBER_OF_LIMIT)};

static enum bb_err read_numbers(const struct raw_config *raw, struct bb_config *out, struct bb_buf *reason) {
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const struct number *number = &numbers[i];
        const char *text;
        memcpy(&text, (const char *)raw + number->text_offset, sizeof text);
        uint64_t value = number->initial;
        if (text != NULL) {
            enum bb_err err =
                read_number(number->field, text, number->lowest, number->highest, &value, reason);
            if (err != BB_OK)
                return err;
        }
        unsigned small = (unsigned)value;
        char *to = (char *)out + number->value_offset;
        memcpy(to, number->value_size == sizeof value ? (void *)&value : (void *)&small, number->value_size);
    }
    return BB_OK;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define NAME  LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static enum bb_err read_speech(const struct raw_config *raw, struct bb_config *out, struct bb_buf *reason) {
    const char *model = raw->speech.model;
    if (strncmp(model, "sha256:", 7) != 0 ||
        bb_hex_decode(bb_view_str(model + 7), out->speech_model_sha256, 32) != BB_OK)
        return refuse(reason, "blindbox.yml: speech.model is %s, allowed: sha256: and 64 hexadecimal digits",
                      shown(model));
    const char *name = raw->speech.name != NULL ? raw->speech.name : "speech";
    size_t len = strlen(name);
    if (len < 1 || len >= sizeof out->speech_name || strspn(name, NAME) != len)
        return refuse(reason,
                      "blindbox.yml: speech.name is %s, allowed: 1 to 64 letters, digits, dots, lines "
                      "(- and _)",
                      shown(name));
    memcpy(out->speech_name, name, len + 1);
    const char *language = raw->speech.language != NULL ? raw->speech.language : "en";
    len = strlen(language);
    if (len < 2 || len >= sizeof out->speech_language || strspn(language, LOWER) != len)
        return refuse(reason, "blindbox.yml: speech.language is %s, allowed: a code such as en, or auto",
                      shown(language));
    memcpy(out->speech_language, language, len + 1);
    const char *fallback = raw->speech.fallback != NULL ? raw->speech.fallback : "true";
    out->speech_fallback = strcmp(fallback, "true") == 0;
    if (!out->speech_fallback && strcmp(fallback, "false") != 0)
        return refuse(reason, "blindbox.yml: speech.fallback is %s, allowed: true or false", shown(fallback));
    return BB_OK;
}

enum bb_err bb_config_parse(struct bb_view yaml, struct bb_config *out, struct bb_buf *reason) {
    struct raw_config *raw = NULL;
    enum bb_err err = load(yaml, &raw, reason);
    if (err != BB_OK)
        return err;
    struct bb_config config = {0};
    if (strcmp(raw->version, "1") != 0)
        err = refuse(reason, "blindbox.yml: version is %s, allowed: 1", shown(raw->version));
    if (err == BB_OK)
        err = read_speech(raw, &config, reason);
    if (err == BB_OK)
        err = read_numbers(raw, &config, reason);
    cyaml_config_t how;
    struct complaint unused = {0};
    (void)cyaml_free(loader(&unused, &how), &file_schema, raw, 0);
    if (err == BB_OK)
        *out = config;
    return err;
}

enum bb_err bb_config_from_fd(int fd, struct bb_config *out, struct bb_buf *reason) {
    uint64_t len = 0;
    enum bb_err err = bb_memfd_check_sealed(fd, BB_CONFIG_MAX, &len);
    if (err != BB_OK)
        return err;
    struct bb_buf yaml BB_CLEANUP_BUF = BB_BUF_INIT(BB_CONFIG_MAX);
    uint8_t *to;
    err = bb_buf_reserve(&yaml, (size_t)len, &to);
    if (err != BB_OK)
        return err;
    /* pread: the offset is shared with every process that inherited the file */
    if (pread(fd, to, (size_t)len, 0) != (ssize_t)len)
        return BB_ERR_IO;
    bb_buf_commit(&yaml, (size_t)len);
    return bb_config_parse(bb_buf_view(&yaml), out, reason);
}
