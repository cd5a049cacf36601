/* See job.h. */
#include "enclave/speech/job.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

#define DEADLINE_MAX_MS (INT64_C(1) << 40) /* so that sums stay far from overflow */

/* A C string of its own; NULL for an empty view. */
static enum bb_err copy_text(struct bb_view text, char **out) {
    if (text.len == 0)
        return BB_OK;
    if (memchr(text.data, '\0', text.len) != NULL)
        return BB_ERR_ARGUMENT;
    char *copy = strndup((const char *)text.data, text.len);
    if (copy == NULL)
        return BB_ERR_NO_MEMORY;
    *out = copy;
    return BB_OK;
}

static void cleanup_job(struct bb_job **job) {
    bb_job_free(*job);
}

enum bb_err bb_job_new(const struct bb_speech_message *message, int *audio_fd, uint64_t audio_max,
                       int64_t now_ms, struct bb_job **out) {
    uint64_t len;
    if (*audio_fd < 0 || bb_memfd_check_sealed(*audio_fd, audio_max, &len) != BB_OK)
        return BB_ERR_PROTOCOL;
    struct bb_job *job __attribute__((cleanup(cleanup_job))) = calloc(1, sizeof *job);
    if (job == NULL)
        return BB_ERR_NO_MEMORY;
    int64_t deadline =
        message->deadline_ms < (uint64_t)DEADLINE_MAX_MS ? (int64_t)message->deadline_ms : DEADLINE_MAX_MS;
    job->id = message->id;
    job->audio_fd = -1;
    job->audio_len = len;
    job->arrival_ms = now_ms;
    job->deadline_ms = now_ms + deadline;
    job->temperature = message->temperature;
    job->max_tokens = message->max_tokens < UINT_MAX ? (unsigned)message->max_tokens : UINT_MAX;
    job->translate = message->translate;
    enum bb_err err = copy_text(message->language, &job->language);
    if (err == BB_OK)
        err = copy_text(message->prompt, &job->prompt);
    if (err != BB_OK)
        return err;
    job->audio_fd = bb_fd_take(audio_fd);
    *out = job;
    job = NULL;
    return BB_OK;
}

static void free_text(char *text) {
    if (text != NULL)
        bb_wipe(text, strlen(text));
    free(text);
}

void bb_job_free(struct bb_job *job) {
    if (job == NULL)
        return;
    bb_fd_close(&job->audio_fd);
    free_text(job->language);
    free_text(job->prompt);
    free(job);
}

void bb_job_list_append(struct bb_job_list *list, struct bb_job *job) {
    struct bb_job **end = &list->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = job;
    list->waiting++;
}

void bb_job_list_remove(struct bb_job_list *list, struct bb_job *job) {
    struct bb_job **link = &list->first;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    job->next = NULL;
    if (!job->running)
        list->waiting--;
}

struct bb_job *bb_job_list_find(const struct bb_job_list *list, uint64_t id) {
    struct bb_job *job = list->first;
    while (job != NULL && job->id != id)
        job = job->next;
    return job;
}

struct bb_job *bb_job_list_start(struct bb_job_list *list) {
    for (struct bb_job *job = list->first; job != NULL; job = job->next) {
        if (!job->running) {
            job->running = true;
            list->waiting--;
            return job;
        }
    }
    return NULL;
}
