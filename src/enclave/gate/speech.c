/* See speech.h. */
#include "enclave/gate/speech.h"

#include <stdlib.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/fd.h"
#include "enclave/gate/speech_wire.h"
#include "enclave/ipc.h"

#define TICK_MS 100 /* held requests and unsent cancellations are looked at this often */

TAILQ_HEAD(job_list, bb_speech_job);

struct bb_speech_job {
    TAILQ_ENTRY(bb_speech_job) entry;
    struct bb_speech *speech;
    uint64_t id;
    int audio_fd; /* until it is sent */
    bool sent;
    bool has_temperature;
    double temperature;
    int64_t arrived_ms;
    struct bb_buf language, prompt, text;
    bb_speech_cb *done; /* NULL: cancelled, and the worker has not been told yet */
    void *arg;
};

struct bb_speech {
    struct event_base *base;
    const struct bb_limits *limits;
    struct bb_metrics *metrics;
    void (*ready)(void *arg);
    void *arg;
    int fd;
    bool is_ready;
    bool had_worker;
    struct event *readable;
    struct event *timer;
    uint64_t last_id;
    struct job_list jobs;
};

static void job_free(struct bb_speech_job *job) {
    struct bb_speech *speech = job->speech;
    if (job->sent)
        speech->metrics->speech_working--;
    else
        speech->metrics->speech_held--;
    TAILQ_REMOVE(&speech->jobs, job, entry);
    bb_fd_close(&job->audio_fd);
    bb_buf_done(&job->language);
    bb_buf_done(&job->prompt);
    bb_buf_done(&job->text);
    free(job);
}

static void job_fail(struct bb_speech_job *job, enum bb_err err, struct bb_view detail) {
    bb_speech_cb *done = job->done;
    void *arg = job->arg;
    job_free(job);
    if (done != NULL)
        done(arg, err, detail, NULL);
}

static void arm_timer(struct bb_speech *speech) {
    const struct timeval tick = {.tv_usec = TICK_MS * 1000};
    if (!evtimer_pending(speech->timer, NULL))
        (void)evtimer_add(speech->timer, &tick);
}

/* Drops the worker's socket; what it had fails. */
static void detach(struct bb_speech *speech) {
    if (speech->readable != NULL)
        event_free(speech->readable);
    speech->readable = NULL;
    bb_fd_close(&speech->fd);
    speech->is_ready = false;
    struct bb_speech_job *job = TAILQ_FIRST(&speech->jobs);
    while (job != NULL) {
        struct bb_speech_job *next = TAILQ_NEXT(job, entry);
        if (job->sent)
            job_fail(job, BB_ERR_CLOSED, bb_view(NULL, 0));
        job = next;
    }
}

static enum bb_err send_job(struct bb_speech *speech, struct bb_speech_job *job) {
    int64_t waited = bb_clock_monotonic_ms() - job->arrived_ms;
    int64_t deadline = (int64_t)speech->limits->request_ms - waited;
    const struct bb_speech_order order = {.id = job->id,
                                          .deadline_ms = deadline > 0 ? (uint64_t)deadline : 1,
                                          .language = bb_buf_view(&job->language),
                                          .prompt = bb_buf_view(&job->prompt),
                                          .has_temperature = job->has_temperature,
                                          .temperature = job->temperature};
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    enum bb_err err = bb_speech_write_transcribe(&order, &message);
    if (err == BB_OK)
        err = bb_ipc_send(speech->fd, bb_buf_view(&message), job->audio_fd, 0);
    if (err != BB_OK)
        return err;
    bb_fd_close(&job->audio_fd);
    job->sent = true;
    speech->metrics->speech_held--;
    speech->metrics->speech_working++;
    return BB_OK;
}

/* A new worker serves those that waited for it. A full socket leaves them to the next tick; any other failure
 * is the worker's, whose end of file is about to be seen. */
static void send_held(struct bb_speech *speech) {
    struct bb_speech_job *job;
    TAILQ_FOREACH(job, &speech->jobs, entry) {
        if (!job->sent && speech->is_ready && send_job(speech, job) != BB_OK)
            break;
    }
}

static struct bb_speech_job *find_job(struct bb_speech *speech, uint64_t id) {
    struct bb_speech_job *job;
    TAILQ_FOREACH(job, &speech->jobs, entry) {
        if (job->sent && job->id == id)
            return job;
    }
    return NULL;
}

static void finish(struct bb_speech_job *job, const struct bb_speech_message *message) {
    struct bb_metrics *metrics = job->speech->metrics;
    metrics->speech_audio_seconds += (double)message->audio_ms / 1000;
    metrics->speech_queue_seconds += (double)message->queue_ms / 1000;
    metrics->speech_decode_seconds += (double)message->decode_ms / 1000;
    metrics->speech_infer_seconds += (double)message->infer_ms / 1000;
    struct bb_buf text BB_CLEANUP_BUF = job->text;
    job->text = BB_BUF_INIT(0);
    const struct bb_speech_result result = {.text = bb_buf_view(&text), .audio_ms = message->audio_ms};
    bb_speech_cb *done = job->done;
    void *arg = job->arg;
    job_free(job);
    if (done != NULL)
        done(arg, BB_OK, bb_view(NULL, 0), &result);
}

static enum bb_err take_message(struct bb_speech *speech, struct bb_view packet) {
    struct bb_speech_message message;
    enum bb_err err = bb_speech_read(packet, &message);
    if (err != BB_OK)
        return err;
    if (message.type == BB_SPEECH_READY) {
        if (speech->is_ready)
            return BB_ERR_PROTOCOL;
        speech->is_ready = true;
        send_held(speech);
        speech->ready(speech->arg);
        return BB_OK;
    }
    struct bb_speech_job *job = find_job(speech, message.id);
    if (job == NULL)
        return BB_OK; /* a cancelled one's answer */
    if (message.type == BB_SPEECH_ERROR)
        job_fail(job, message.err, message.text);
    else if (message.type == BB_SPEECH_DONE)
        finish(job, &message);
    else if (bb_buf_append(&job->text, message.text.data, message.text.len) != BB_OK)
        job_fail(job, BB_ERR_ENGINE, bb_view(NULL, 0)); /* more than anyone can say */
    return BB_OK;
}

static void on_readable(evutil_socket_t socket, short what, void *arg) {
    (void)what;
    struct bb_speech *speech = arg;
    struct bb_buf packet BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int fd BB_CLEANUP_FD = -1;
    enum bb_err err = bb_ipc_receive(socket, &packet, &fd, 0);
    if (err == BB_ERR_TIMEOUT)
        return;
    if (err == BB_OK && fd >= 0)
        err = BB_ERR_PROTOCOL; /* workers pass no descriptors */
    if (err == BB_OK)
        err = take_message(speech, bb_buf_view(&packet));
    if (err != BB_OK)
        detach(speech);
}

/* True: the worker has been told. */
static bool tell_cancel(struct bb_speech_job *job) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(64);
    if (bb_speech_write_cancel(job->id, &message) != BB_OK)
        return false;
    return bb_ipc_send(job->speech->fd, bb_buf_view(&message), -1, 0) != BB_ERR_BUSY;
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct bb_speech *speech = arg;
    int64_t now = bb_clock_monotonic_ms();
    send_held(speech);
    bool again = false;
    struct bb_speech_job *job = TAILQ_FIRST(&speech->jobs);
    while (job != NULL) {
        struct bb_speech_job *next = TAILQ_NEXT(job, entry);
        if (job->sent && job->done == NULL && tell_cancel(job))
            job_free(job);
        else if (!job->sent && now - job->arrived_ms > BB_SPEECH_HOLD_MS)
            job_fail(job, BB_ERR_CLOSED, bb_view(NULL, 0));
        else
            again = again || !job->sent || job->done == NULL;
        job = next;
    }
    if (again)
        arm_timer(speech);
}

enum bb_err bb_speech_new(struct event_base *base, const struct bb_limits *limits, struct bb_metrics *metrics,
                          void (*ready)(void *arg), void *arg, struct bb_speech **out) {
    struct bb_speech *speech = calloc(1, sizeof *speech);
    if (speech == NULL)
        return BB_ERR_NO_MEMORY;
    *speech = (struct bb_speech){
        .base = base, .limits = limits, .metrics = metrics, .ready = ready, .arg = arg, .fd = -1};
    TAILQ_INIT(&speech->jobs);
    speech->timer = evtimer_new(base, on_timer, speech);
    if (speech->timer == NULL) {
        free(speech);
        return BB_ERR_NO_MEMORY;
    }
    *out = speech;
    return BB_OK;
}

void bb_speech_free(struct bb_speech *speech) {
    if (speech == NULL)
        return;
    detach(speech);
    while (!TAILQ_EMPTY(&speech->jobs))
        job_fail(TAILQ_FIRST(&speech->jobs), BB_ERR_CLOSED, bb_view(NULL, 0));
    event_free(speech->timer);
    free(speech);
}

void bb_speech_attach(struct bb_speech *speech, int fd) {
    detach(speech);
    if (speech->had_worker)
        speech->metrics->speech_restarts++;
    speech->had_worker = true;
    speech->fd = fd;
    speech->readable = event_new(speech->base, fd, EV_READ | EV_PERSIST, on_readable, speech);
    if (speech->readable == NULL || event_add(speech->readable, NULL) != 0)
        detach(speech);
}

bool bb_speech_is_ready(const struct bb_speech *speech) {
    return speech->is_ready;
}

static enum bb_err copy_texts(struct bb_speech_job *job, const struct bb_speech_request *request) {
    enum bb_err err = bb_buf_append(&job->language, request->language.data, request->language.len);
    if (err == BB_OK)
        err = bb_buf_append(&job->prompt, request->prompt.data, request->prompt.len);
    return err;
}

enum bb_err bb_speech_submit(struct bb_speech *speech, struct bb_speech_request *request, bb_speech_cb *done,
                             void *arg, struct bb_speech_job **out) {
    int audio_fd BB_CLEANUP_FD = bb_fd_take(&request->audio_fd);
    if (!speech->is_ready && speech->metrics->speech_held >= speech->limits->queue)
        return BB_ERR_BUSY;
    struct bb_speech_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return BB_ERR_NO_MEMORY;
    *job = (struct bb_speech_job){.speech = speech,
                                  .id = ++speech->last_id,
                                  .audio_fd = bb_fd_take(&audio_fd),
                                  .has_temperature = request->has_temperature,
                                  .temperature = request->temperature,
                                  .arrived_ms = bb_clock_monotonic_ms(),
                                  .language = BB_BUF_INIT(BB_SPEECH_LANGUAGE_MAX),
                                  .prompt = BB_BUF_INIT(BB_SPEECH_PROMPT_MAX),
                                  .text = BB_BUF_INIT(BB_SPEECH_TEXT_MAX),
                                  .done = done,
                                  .arg = arg};
    TAILQ_INSERT_TAIL(&speech->jobs, job, entry);
    speech->metrics->speech_held++;
    enum bb_err err = copy_texts(job, request);
    if (err == BB_OK && speech->is_ready)
        err = send_job(speech, job);
    if (err == BB_ERR_CLOSED)
        err = BB_OK; /* the worker has just died: the next one gets it */
    if (err != BB_OK) {
        job_free(job);
        return err;
    }
    if (!job->sent)
        arm_timer(speech);
    *out = job;
    return BB_OK;
}

void bb_speech_cancel(struct bb_speech_job *job) {
    job->done = NULL;
    if (!job->sent || tell_cancel(job))
        job_free(job);
    else
        arm_timer(job->speech);
}
