/* See launcher_record.h. */
#include "host/launcher_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/fd.h"
#include "host/state_dir.h"

static void free_json(json_t **json) {
    json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(free_json)))

enum bb_err bb_record_to_json(const char *name, const struct bb_record *record, struct bb_buf *out) {
    json_t *json CLEANUP_JSON = json_pack(
        "{s:s, s:s, s:b, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:{s:s, s:s}}", "name", name, "place",
        "process", "simulated", 1, "state", record->ready ? "ready" : "starting", "address", record->address,
        "pid", (json_int_t)record->pid, "pid_start", (json_int_t)record->pid_start, "root", record->root,
        "measurements", record->measurements, "started", record->started, "version", BB_VERSION, "speech",
        "name", record->model_name, "model", record->model_digest);
    char *text BB_CLEANUP_FREE = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));
    if (text == NULL)
        return BB_ERR_NO_MEMORY;
    return bb_buf_printf(out, "%s\n", text);
}

enum bb_err bb_record_write(const char *name, const struct bb_record *record) {
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(BB_RECORD_MAX_BYTES);
    enum bb_err err = bb_state_enclave_path(name, BB_STATE_RECORD, &path);
    if (err == BB_OK)
        err = bb_record_to_json(name, record, &text);
    return err == BB_OK ? bb_file_write(bb_buf_str(&path), bb_buf_view(&text), 0600) : err;
}

static bool copy_text(const char *from, char *to, size_t room) {
    size_t len = strlen(from);
    if (len >= room)
        return false;
    memcpy(to, from, len + 1);
    return true;
}

static enum bb_err parse(const struct bb_buf *text, struct bb_record *out) {
    json_error_t where;
    json_t *json CLEANUP_JSON = json_loadb(bb_buf_str(text), text->len, JSON_REJECT_DUPLICATES, &where);
    const char *state, *address, *root, *measurements, *started, *model_name, *model_digest;
    json_int_t pid, start;
    if (json == NULL ||
        json_unpack(json, "{s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:{s:s, s:s}}", "state", &state, "address",
                    &address, "pid", &pid, "pid_start", &start, "root", &root, "measurements", &measurements,
                    "started", &started, "speech", "name", &model_name, "model", &model_digest) != 0)
        return BB_ERR_JSON;
    struct bb_record found = {
        .ready = strcmp(state, "ready") == 0, .pid = (pid_t)pid, .pid_start = (uint64_t)start};
    if (pid <= 0 || pid > INT32_MAX || !copy_text(address, found.address, sizeof found.address) ||
        !copy_text(root, found.root, sizeof found.root) ||
        !copy_text(measurements, found.measurements, sizeof found.measurements) ||
        !copy_text(started, found.started, sizeof found.started) ||
        !copy_text(model_name, found.model_name, sizeof found.model_name) ||
        !copy_text(model_digest, found.model_digest, sizeof found.model_digest))
        return BB_ERR_JSON;
    *out = found;
    return BB_OK;
}

enum bb_err bb_record_read(const char *name, struct bb_record *out) {
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(BB_RECORD_MAX_BYTES);
    struct bb_record found;
    uint64_t start = 0;
    enum bb_err err = bb_state_enclave_path(name, BB_STATE_RECORD, &path);
    if (err == BB_OK)
        err = bb_file_read(bb_buf_str(&path), &text);
    if (err == BB_OK)
        err = parse(&text, &found);
    if (err == BB_OK)
        err = bb_process_start_time(found.pid, &start);
    if (err == BB_OK && start != found.pid_start)
        err = BB_ERR_NOT_FOUND;
    if (err == BB_OK)
        *out = found;
    return err;
}

void bb_record_remove(const char *name) {
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    if (bb_state_enclave_path(name, BB_STATE_RECORD, &path) == BB_OK)
        (void)unlink(bb_buf_str(&path));
}

enum bb_err bb_process_start_time(pid_t pid, uint64_t *out) {
    char path[64];
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    enum bb_err err = bb_file_read(path, &text);
    if (err != BB_OK)
        return BB_ERR_NOT_FOUND;
    /* The second field, a name in parentheses, may itself hold spaces and parentheses. */
    const char *at = strrchr(bb_buf_str(&text), ')');
    if (at == NULL || strlen(at) < 3 || at[2] == 'Z' || at[2] == 'X')
        return BB_ERR_NOT_FOUND;
    for (int field = 2; field < 22 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return BB_ERR_NOT_FOUND;
    *out = strtoull(at + 1, NULL, 10);
    return BB_OK;
}
