/* See worker.h. Trusts the gate to send well-formed messages and ends when it does not. */
#include "enclave/speech/worker.h"

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "enclave/ipc.h"
#include "enclave/speech/container.h"

#define SEND_TIMEOUT_MS 10000      /* a gate that reads nothing for so long is stuck */
#define STACK_BYTES     (8u << 20) /* libwhisper's tokenizer recurses by the length of a word */

/* --- sending --- */

static void send_failed(const struct bb_worker *worker) {
    uint64_t one = 1;
    ssize_t written = write(worker->wake_fd, &one, sizeof one);
    (void)written; /* it can only be full of ones */
}

/* The lock is held. */
static void send_locked(struct bb_worker *worker, struct bb_job *job, struct bb_view message, bool last) {
    if (job->answered)
        return;
    job->answered = last;
    if (bb_ipc_send(worker->gate_fd, message, -1, SEND_TIMEOUT_MS) != BB_OK) {
        job->answered = true;
        atomic_store(&job->stop, true);
        send_failed(worker);
    }
}

void bb_worker_send(struct bb_worker *worker, struct bb_job *job, struct bb_view message, bool last) {
    pthread_mutex_lock(&worker->lock);
    send_locked(worker, job, message, last);
    pthread_mutex_unlock(&worker->lock);
}

/* The sentence for the caller; limits are named with their values. */
static enum bb_err describe(const struct bb_limits *limits, enum bb_err code, struct bb_buf *out) {
    switch (code) {
    case BB_ERR_AUDIO_TRUNCATED:
        return bb_buf_append_str(out, "The audio file is truncated");
    case BB_ERR_AUDIO_EMPTY:
        return bb_buf_append_str(out, "The audio file holds no samples");
    case BB_ERR_AUDIO_RATE:
        return bb_buf_printf(out, "The sample rate must be from %u to %u Hz with 1 to %u channels",
                             BB_AUDIO_RATE_MIN, BB_AUDIO_RATE_MAX, BB_AUDIO_CHANNELS_MAX);
    case BB_ERR_AUDIO_TOO_LONG:
        return bb_buf_printf(out, "The recording is longer than the limit audio_seconds (%" PRIu64 ")",
                             limits->audio_seconds);
    case BB_ERR_BUSY:
        return bb_buf_printf(out, "Too many requests are waiting: the limit queue (%" PRIu64 ") is reached",
                             limits->queue);
    case BB_ERR_TIMEOUT:
        return bb_buf_printf(out, "The request took longer than the limit request_ms (%" PRIu64 ")",
                             limits->request_ms);
    default:
        return bb_buf_append_str(out, bb_err_sentence(code));
    }
}

static void refuse_locked(struct bb_worker *worker, struct bb_job *job, enum bb_err code,
                          const char *sentence) {
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(512);
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    enum bb_err err = sentence != NULL ? bb_buf_append_str(&text, sentence)
                                       : describe(&worker->config->limits, code, &text);
    if (err == BB_OK)
        err = bb_speech_put_error(&message, job->id, code, bb_buf_str(&text));
    if (err == BB_OK)
        send_locked(worker, job, bb_buf_view(&message), true);
    else
        send_failed(worker); /* no memory even for this: better a new worker than a silent one */
}

void bb_worker_refuse(struct bb_worker *worker, struct bb_job *job, enum bb_err code, const char *sentence) {
    pthread_mutex_lock(&worker->lock);
    refuse_locked(worker, job, code, sentence);
    pthread_mutex_unlock(&worker->lock);
}

/* --- the threads that run jobs --- */

static void *run_jobs(void *context) {
    struct bb_worker *worker = context;
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        struct bb_job *job = bb_job_list_start(&worker->jobs);
        if (job == NULL) {
            worker->idle++;
            pthread_cond_wait(&worker->work, &worker->lock);
            worker->idle--;
            continue;
        }
        pthread_mutex_unlock(&worker->lock);
        bb_worker_run(worker, job);
        pthread_mutex_lock(&worker->lock);
        bb_job_list_remove(&worker->jobs, job);
        bb_job_free(job);
    }
    return NULL;
}

enum bb_err bb_worker_start(struct bb_worker *worker, int gate_fd, struct bb_engine *engine, unsigned states,
                            const struct bb_config *config) {
    *worker = (struct bb_worker){
        .gate_fd = gate_fd, .engine = engine, .states = states, .config = config, .wake_fd = -1};
    worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_attr_t attributes;
    if (worker->wake_fd < 0 || pthread_mutex_init(&worker->lock, NULL) != 0 ||
        pthread_cond_init(&worker->work, NULL) != 0 || pthread_attr_init(&attributes) != 0 ||
        pthread_attr_setstacksize(&attributes, STACK_BYTES) != 0)
        return BB_ERR_NO_MEMORY;
    for (unsigned i = 0; i < states; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, run_jobs, worker) != 0)
            return BB_ERR_NO_MEMORY;
        pthread_detach(thread);
    }
    pthread_attr_destroy(&attributes);
    return BB_OK;
}

/* --- the thread that serves --- */

/* The lock is held. A job that waits for a thread which is about to take it does not count as waiting. */
static void admit(struct bb_worker *worker, struct bb_job *job) {
    uint64_t waiting = worker->jobs.waiting > worker->idle ? worker->jobs.waiting - worker->idle : 0;
    if (waiting >= worker->config->limits.queue) {
        refuse_locked(worker, job, BB_ERR_BUSY, NULL);
        bb_job_free(job);
        return;
    }
    bb_job_list_append(&worker->jobs, job);
    pthread_cond_signal(&worker->work);
}

/* A message whose request cannot even be made into a job gets its answer all the same. */
static void refuse_message(struct bb_worker *worker, uint64_t id, enum bb_err code, const char *sentence) {
    struct bb_job nobody = {.id = id, .audio_fd = -1};
    bb_worker_refuse(worker, &nobody, code, sentence);
}

static enum bb_err take_request(struct bb_worker *worker, const struct bb_speech_message *message,
                                int *audio_fd) {
    struct bb_job *job;
    enum bb_err err =
        bb_job_new(message, audio_fd, worker->config->limits.body_bytes, bb_clock_monotonic_ms(), &job);
    if (err == BB_ERR_ARGUMENT)
        refuse_message(worker, message->id, err, "The form field language or prompt holds a zero byte");
    else if (err == BB_ERR_NO_MEMORY)
        refuse_message(worker, message->id, err, NULL);
    if (err != BB_OK)
        return err == BB_ERR_PROTOCOL ? err : BB_OK;
    pthread_mutex_lock(&worker->lock);
    if (bb_job_list_find(&worker->jobs, job->id) != NULL)
        err = BB_ERR_PROTOCOL; /* an id twice: answers could go to the wrong caller */
    else
        admit(worker, job);
    pthread_mutex_unlock(&worker->lock);
    if (err != BB_OK)
        bb_job_free(job);
    return err;
}

/* Stops a job: one that waits is gone at once, one that runs at its next step. The lock is held. */
static void stop_job(struct bb_worker *worker, struct bb_job *job) {
    job->answered = true;
    atomic_store(&job->stop, true);
    if (!job->running) {
        bb_job_list_remove(&worker->jobs, job);
        bb_job_free(job);
    }
}

static void cancel(struct bb_worker *worker, uint64_t id) {
    pthread_mutex_lock(&worker->lock);
    struct bb_job *job = bb_job_list_find(&worker->jobs, id);
    if (job != NULL) /* else it was answered a moment ago */
        stop_job(worker, job);
    pthread_mutex_unlock(&worker->lock);
}

/* Answers what has run out of time; returns how long to sleep until the next one does (poll(2)'s form). */
static int keep_deadlines(struct bb_worker *worker) {
    int64_t now = bb_clock_monotonic_ms(), next = INT64_MAX;
    pthread_mutex_lock(&worker->lock);
    for (struct bb_job *job = worker->jobs.first, *following; job != NULL; job = following) {
        following = job->next;
        if (job->answered)
            continue;
        if (job->deadline_ms <= now) {
            refuse_locked(worker, job, BB_ERR_TIMEOUT, NULL);
            stop_job(worker, job);
        } else if (job->deadline_ms < next) {
            next = job->deadline_ms;
        }
    }
    pthread_mutex_unlock(&worker->lock);
    if (next == INT64_MAX)
        return -1;
    return next - now < INT_MAX ? (int)(next - now) : INT_MAX;
}

static enum bb_err serve_message(struct bb_worker *worker) {
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int audio_fd BB_CLEANUP_FD = -1;
    struct bb_speech_message message;
    enum bb_err err = bb_ipc_receive(worker->gate_fd, &bytes, &audio_fd, 0);
    if (err == BB_ERR_TIMEOUT)
        return BB_OK;
    if (err == BB_OK)
        err = bb_speech_message_read(bb_buf_view(&bytes), &message);
    if (err != BB_OK)
        return err;
    if (message.kind == BB_SPEECH_TRANSCRIBE)
        return take_request(worker, &message, &audio_fd);
    if (audio_fd >= 0)
        return BB_ERR_PROTOCOL;
    cancel(worker, message.id);
    return BB_OK;
}

enum bb_err bb_worker_serve(struct bb_worker *worker, const char *engine_name) {
    struct bb_buf ready BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    enum bb_err err = bb_speech_put_ready(&ready, engine_name, worker->config->speech_name, worker->states,
                                          worker->config->speech_threads);
    if (err == BB_OK)
        err = bb_ipc_send(worker->gate_fd, bb_buf_view(&ready), -1, SEND_TIMEOUT_MS);
    while (err == BB_OK) {
        struct pollfd entries[] = {{.fd = worker->gate_fd, .events = POLLIN},
                                   {.fd = worker->wake_fd, .events = POLLIN}};
        if (poll(entries, 2, keep_deadlines(worker)) < 0)
            continue; /* interrupted */
        if (entries[1].revents != 0)
            err = BB_ERR_TIMEOUT;
        else if (entries[0].revents != 0)
            err = serve_message(worker);
    }
    return err;
}
