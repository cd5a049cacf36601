/* See launcher_config.h. */
#include "host/launcher_config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/fd.h"
#include "base/hex.h"
#include "base/spawn.h"

#define ASK_MS       10000
#define ANSWER_MAX   4096u
#define SETTINGS_MAX 64u
#define MODEL_ID_MAX 64u

static const char *const sections[] = {"speech", "evidence", "limits"};

/* The id of a model: its file's name without "ggml-" and ".bin", other than plain characters made '-'. */
static void model_id(const char *path, char out[MODEL_ID_MAX + 1]) {
    const char *slash = strrchr(path, '/');
    const char *from = slash != NULL ? slash + 1 : path;
    if (strncmp(from, "ggml-", 5) == 0 && from[5] != '\0')
        from += 5;
    size_t len = strlen(from);
    if (len > 4 && strcmp(from + len - 4, ".bin") == 0)
        len -= 4;
    len = len > MODEL_ID_MAX ? MODEL_ID_MAX : len;
    for (size_t i = 0; i < len; i++)
        out[i] = isalnum((unsigned char)from[i]) || strchr("._-", from[i]) != NULL ? from[i] : '-';
    out[len] = '\0';
}

static bool is_word(const char *text, const char *more) {
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && strchr(more, text[i]) == NULL)
            return false;
    return len >= 1 && len <= 128;
}

/* The part of a setting's name after "SECTION.", or NULL when it is of another section. */
static const char *key_in(const char *section, const char *name) {
    size_t len = strlen(section);
    return strncmp(name, section, len) == 0 && name[len] == '.' ? name + len + 1 : NULL;
}

static enum bb_err check_setting(const struct bb_launch_setting *setting, struct bb_buf *reason) {
    const char *key = NULL;
    for (size_t i = 0; i < sizeof sections / sizeof *sections && key == NULL; i++)
        key = key_in(sections[i], setting->name);
    if (key != NULL && is_word(key, "_") && is_word(setting->value, "._-:"))
        return BB_OK;
    enum bb_err err = bb_buf_append_str(reason, "a setting is SECTION.NAME=VALUE, such as limits.queue=10; "
                                                "sections are speech, evidence and limits");
    return err == BB_OK ? BB_ERR_ARGUMENT : err;
}

static bool given_later(const struct bb_launch_setting *settings, size_t count, size_t index) {
    for (size_t i = index + 1; i < count; i++)
        if (strcmp(settings[i].name, settings[index].name) == 0)
            return true;
    return false;
}

static bool given(const struct bb_launch_setting *settings, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, name) == 0)
            return true;
    return false;
}

static enum bb_err write_section(const char *section, const struct bb_launch_setting *settings, size_t count,
                                 bool opened, struct bb_buf *out) {
    enum bb_err err = BB_OK;
    for (size_t i = 0; i < count && err == BB_OK; i++) {
        const char *key = key_in(section, settings[i].name);
        if (key == NULL || given_later(settings, count, i))
            continue;
        if (!opened)
            err = bb_buf_printf(out, "%s:\n", section);
        opened = true;
        if (err == BB_OK)
            err = bb_buf_printf(out, "  %s: %s\n", key, settings[i].value);
    }
    return err;
}

enum bb_err bb_launch_config_write(const char *model_path, const uint8_t digest[BB_SHA256_LEN],
                                   const struct bb_launch_setting *settings, size_t count, struct bb_buf *out,
                                   struct bb_buf *reason) {
    enum bb_err err = count <= SETTINGS_MAX ? BB_OK : BB_ERR_TOO_LARGE;
    for (size_t i = 0; i < count && err == BB_OK; i++)
        err = check_setting(&settings[i], reason);
    char hex[2 * BB_SHA256_LEN + 1];
    bb_hex_encode(bb_view(digest, BB_SHA256_LEN), hex);
    if (err == BB_OK)
        err = bb_buf_append_str(out, "version: 1\nspeech:\n");
    if (err == BB_OK && !given(settings, count, "speech.model"))
        err = bb_buf_printf(out, "  model: sha256:%s\n", hex);
    if (err == BB_OK && !given(settings, count, "speech.name")) {
        char id[MODEL_ID_MAX + 1];
        model_id(model_path, id);
        err = bb_buf_printf(out, "  name: %s\n", id);
    }
    for (size_t i = 0; i < sizeof sections / sizeof *sections && err == BB_OK; i++)
        err = write_section(sections[i], settings, count, i == 0, out);
    return err;
}

/* Runs `blindboxd config FILE`; its standard output goes into out, its standard error into complaint. */
static enum bb_err run_check(const char *blindboxd, const char *path, struct bb_buf *out,
                             struct bb_buf *complaint, int *status) {
    int output[2];
    int errors[2];
    if (pipe2(output, O_CLOEXEC) != 0)
        return BB_ERR_IO;
    int output_read BB_CLEANUP_FD = output[0];
    int output_write BB_CLEANUP_FD = output[1];
    if (pipe2(errors, O_CLOEXEC) != 0)
        return BB_ERR_IO;
    int errors_read BB_CLEANUP_FD = errors[0];
    int errors_write BB_CLEANUP_FD = errors[1];
    const struct bb_spawn_fd fds[] = {
        {BB_SPAWN_NULL, STDIN_FILENO}, {output_write, STDOUT_FILENO}, {errors_write, STDERR_FILENO}};
    char *file BB_CLEANUP_FREE = strdup(path);
    char *argv[] = {(char[]){"blindboxd"}, (char[]){"config"}, file, NULL};
    char *envp[] = {NULL};
    struct bb_spawn what = {.path = blindboxd, .argv = argv, .envp = envp, .fds = fds, .fd_count = 3};
    struct bb_child child BB_CLEANUP_CHILD = BB_CHILD_INIT;
    enum bb_err err = file == NULL ? BB_ERR_NO_MEMORY : bb_spawn(&what, &child);
    if (err != BB_OK)
        return err;
    bb_fd_close(&output_write);
    bb_fd_close(&errors_write);
    /* Both answers are far smaller than a pipe holds, so neither waits for the other to be read. */
    err = bb_fd_read_to_end(output_read, out);
    if (err == BB_OK)
        err = bb_fd_read_to_end(errors_read, complaint);
    return err == BB_OK ? bb_child_wait(&child, ASK_MS, status) : err;
}

static enum bb_err take_answer(const struct bb_buf *answer, struct bb_record *record) {
    const char *model, *name;
    json_t *json = json_loadb(bb_buf_str(answer), answer->len, 0, NULL);
    enum bb_err err = BB_ERR_JSON;
    if (json != NULL && json_unpack(json, "{s:{s:s, s:s}}", "speech", "model", &model, "name", &name) == 0 &&
        strncmp(model, "sha256:", 7) == 0 && strlen(model) < sizeof record->model_digest &&
        strlen(name) < sizeof record->model_name) {
        memcpy(record->model_digest, model, strlen(model) + 1);
        memcpy(record->model_name, name, strlen(name) + 1);
        err = BB_OK;
    }
    json_decref(json);
    return err;
}

enum bb_err bb_launch_config_ask(const char *blindboxd, const char *path, struct bb_record *record,
                                 struct bb_buf *reason) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(ANSWER_MAX);
    struct bb_buf complaint BB_CLEANUP_BUF = BB_BUF_INIT(ANSWER_MAX);
    int status = 0;
    enum bb_err err = run_check(blindboxd, path, &answer, &complaint, &status);
    if (err != BB_OK)
        return bb_buf_printf(reason, "%s cannot be asked about the configuration: %s", blindboxd,
                             bb_err_sentence(err)) == BB_OK
                   ? err
                   : BB_ERR_NO_MEMORY;
    if (status == 0)
        return take_answer(&answer, record);
    size_t len =
        complaint.len > 0 && complaint.data[complaint.len - 1] == '\n' ? complaint.len - 1 : complaint.len;
    return bb_buf_append(reason, complaint.data, len) == BB_OK ? BB_ERR_CONFIG : BB_ERR_NO_MEMORY;
}
