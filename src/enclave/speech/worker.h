/*
 * The speech worker: takes requests from the gate, runs them on a fixed number of threads, answers.
 *
 * One thread (the caller of bb_worker_serve) reads the gate's messages and keeps the deadlines; each of
 * `states` others runs one request at a time. All share one lock, which also orders what is sent: after a
 * request's last message nothing follows.
 */
#ifndef BB_SPEECH_WORKER_H
#define BB_SPEECH_WORKER_H

#include <pthread.h>

#include "enclave/config.h"
#include "enclave/speech/engine.h"
#include "enclave/speech/job.h"

struct bb_worker {
    int gate_fd;
    int wake_fd; /* eventfd: a thread could not send, serving is over */
    struct bb_engine *engine;
    const struct bb_config *config;
    unsigned states;
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job waits */
    struct bb_job_list jobs;
    unsigned idle; /* threads without a job */
};

/* Prepares the worker and starts its threads; what it is given must outlive it. It has no end but the
 * process's. */
BB_MUST_USE enum bb_err bb_worker_start(struct bb_worker *worker, int gate_fd, struct bb_engine *engine,
                                        unsigned states, const struct bb_config *config);
/*
 * Says ready, then serves until the gate closes its end (BB_ERR_CLOSED), breaks the protocol
 * (BB_ERR_PROTOCOL) or does not read what it is sent (BB_ERR_TIMEOUT). Threads may still be running then.
 */
BB_MUST_USE enum bb_err bb_worker_serve(struct bb_worker *worker, const char *engine_name);

/* For the threads that run jobs. */

/* Sends one message of a job unless it is answered; `last` marks it as answered. Failures end the serving. */
void bb_worker_send(struct bb_worker *worker, struct bb_job *job, struct bb_view message, bool last);
/* Sends an error as the job's last message; sentence NULL: the usual one of that code. */
void bb_worker_refuse(struct bb_worker *worker, struct bb_job *job, enum bb_err code, const char *sentence);
/* Decodes and transcribes; on return the job is answered. */
void bb_worker_run(struct bb_worker *worker, struct bb_job *job);

#endif
