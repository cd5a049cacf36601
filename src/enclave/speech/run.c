/* One request on the thread that runs it: decode, transcribe, answer. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "enclave/ipc.h"
#include "enclave/speech/audio.h"
#include "enclave/speech/utf8_repair.h"
#include "enclave/speech/worker.h"

#define REASON_MAX 512u

struct run {
    struct bb_worker *worker;
    struct bb_job *job;
    struct bb_utf8_repair repair;
    uint64_t last_end_ms;
    enum bb_err failed; /* a segment could not be made into a message */
};

static bool wanted(void *context) {
    const struct run *run = context;
    return !atomic_load_explicit(&run->job->stop, memory_order_relaxed) && run->failed == BB_OK;
}

/* Valid text, in as many messages as it takes. */
static enum bb_err send_text(struct run *run, uint64_t start_ms, uint64_t end_ms, struct bb_view text) {
    while (text.len > 0) {
        struct bb_view part = bb_utf8_head(text, BB_SPEECH_TEXT_MAX);
        struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
        enum bb_err err = bb_speech_put_segment(&message, run->job->id, start_ms, end_ms, part);
        if (err != BB_OK)
            return err;
        bb_worker_send(run->worker, run->job, bb_buf_view(&message), false);
        text = bb_view(text.data + part.len, text.len - part.len);
    }
    return BB_OK;
}

static void on_segment(void *context, uint64_t start_ms, uint64_t end_ms, struct bb_view text) {
    struct run *run = context;
    struct bb_buf valid BB_CLEANUP_BUF = BB_BUF_INIT(3 * (text.len + sizeof run->repair.held));
    run->failed = bb_utf8_repair_feed(&run->repair, text, &valid);
    if (run->failed == BB_OK)
        run->failed = send_text(run, start_ms, end_ms, bb_buf_view(&valid));
    run->last_end_ms = end_ms;
}

/* The engine is through: what it held back of a character, then the figures. */
static enum bb_err finish(struct run *run, const struct bb_speech_done *done) {
    struct bb_buf rest BB_CLEANUP_BUF = BB_BUF_INIT(8);
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    enum bb_err err = run->failed;
    if (err == BB_OK)
        err = bb_utf8_repair_finish(&run->repair, &rest);
    if (err == BB_OK)
        err = send_text(run, run->last_end_ms, run->last_end_ms, bb_buf_view(&rest));
    if (err == BB_OK)
        err = bb_speech_put_done(&message, run->job->id, done);
    if (err == BB_OK)
        bb_worker_send(run->worker, run->job, bb_buf_view(&message), true);
    return err;
}

static enum bb_err decode(struct run *run, struct bb_buf *samples) {
    const struct bb_job *job = run->job;
    if (job->audio_len == 0)
        return BB_ERR_AUDIO_EMPTY;
    void *at = mmap(NULL, job->audio_len, PROT_READ, MAP_SHARED, job->audio_fd, 0);
    if (at == MAP_FAILED)
        return BB_ERR_NO_MEMORY;
    struct bb_audio_poll poll = {.context = run, .wanted = wanted};
    enum bb_err err = bb_audio_decode(bb_view(at, job->audio_len), run->worker->config->limits.audio_seconds,
                                      &poll, samples);
    munmap(at, job->audio_len);
    return err;
}

static enum bb_err transcribe(struct run *run, struct bb_buf *reason) {
    const struct bb_job *job = run->job;
    struct bb_engine *engine = run->worker->engine;
    int64_t begun_ms = bb_clock_monotonic_ms();
    struct bb_engine_request request = {
        .language = job->language != NULL ? job->language : run->worker->config->speech_language,
        .prompt = job->prompt,
        .temperature = job->temperature,
        .max_tokens = job->max_tokens,
        .translate = job->translate,
    };
    struct bb_buf samples BB_CLEANUP_BUF = {0};
    enum bb_err err = engine->ops->check(engine, &request, reason);
    if (err == BB_OK)
        err = decode(run, &samples);
    if (err != BB_OK)
        return err;
    int64_t decoded_ms = bb_clock_monotonic_ms();
    request.samples = bb_audio_samples(&samples);
    request.count = samples.len / sizeof(float);
    struct bb_engine_events events = {.context = run, .wanted = wanted, .segment = on_segment};
    struct bb_engine_result result;
    err = engine->ops->run(engine, &request, &events, &result);
    if (err != BB_OK)
        return run->failed != BB_OK ? run->failed : err;
    struct bb_speech_done done = {
        .audio_ms = request.count * 1000 / BB_SPEECH_RATE,
        .tokens = result.tokens,
        .queue_ms = (uint64_t)(begun_ms - job->arrival_ms),
        .decode_ms = (uint64_t)(decoded_ms - begun_ms),
        .infer_ms = (uint64_t)(bb_clock_monotonic_ms() - decoded_ms),
        .language = result.language,
    };
    return finish(run, &done);
}

void bb_worker_run(struct bb_worker *worker, struct bb_job *job) {
    struct run run = {.worker = worker, .job = job};
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX);
    enum bb_err err = transcribe(&run, &reason);
    if (err == BB_ERR_AUDIO_EMPTY && job->audio_len == 0)
        bb_worker_refuse(worker, job, err, "The audio file is empty");
    else if (err != BB_OK) /* says nothing when the job was stopped: it is answered then */
        bb_worker_refuse(worker, job, err, reason.len > 0 ? bb_buf_str(&reason) : NULL);
    bb_wipe(&run, sizeof run);
}
