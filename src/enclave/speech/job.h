/* One request inside the worker, from its arrival to its last message, and the list of them all. */
#ifndef BB_SPEECH_JOB_H
#define BB_SPEECH_JOB_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "enclave/speech/message.h"

struct bb_job {
    uint64_t id;
    int audio_fd; /* sealed memory file, owned */
    uint64_t audio_len;
    int64_t arrival_ms;  /* monotonic */
    int64_t deadline_ms; /* monotonic */
    char *language;      /* as asked for; NULL: the configured one */
    char *prompt;        /* NULL: none */
    double temperature;
    unsigned max_tokens;
    bool translate;
    atomic_bool stop; /* nobody waits for it any more; read by the thread that runs it */
    /* Guarded by the worker's lock: */
    bool running;
    bool answered; /* its last message is sent, or it was cancelled: nothing more may be sent */
    struct bb_job *next;
};

/*
 * Makes a job of a message; takes *audio_fd over on success. BB_ERR_PROTOCOL when the descriptor is missing
 * or not a sealed memory file of at most audio_max bytes, BB_ERR_ARGUMENT when language or prompt hold a zero
 * byte.
 */
BB_MUST_USE enum bb_err bb_job_new(const struct bb_speech_message *message, int *audio_fd, uint64_t audio_max,
                                   int64_t now_ms, struct bb_job **out);
/* Wipes and frees. */
void bb_job_free(struct bb_job *job);

/* Jobs in the order of their arrival. */
struct bb_job_list {
    struct bb_job *first;
    unsigned waiting; /* not running */
};

void bb_job_list_append(struct bb_job_list *list, struct bb_job *job);
void bb_job_list_remove(struct bb_job_list *list, struct bb_job *job);
/* NULL when there is none. */
struct bb_job *bb_job_list_find(const struct bb_job_list *list, uint64_t id);
/* Marks the longest-waiting job as running and returns it; NULL when none waits. */
struct bb_job *bb_job_list_start(struct bb_job_list *list);

#endif
