/*
 * The gate's link to the speech worker (docs/ARCHITECTURE.md section 3). The worker parses hostile audio and
 * is not trusted: every message is checked, text is bounded, and one that breaks the protocol loses its
 * socket (init then starts another).
 *
 * When a worker dies, the requests that it had fail with BB_ERR_CLOSED. Requests that come while the next one
 * starts are held for up to BB_SPEECH_HOLD_MS.
 */
#ifndef BB_GATE_SPEECH_H
#define BB_GATE_SPEECH_H

#include "base/bytes.h"
#include "enclave/gate/metrics.h"
#include "enclave/limits.h"

struct event_base;
struct bb_speech;
struct bb_speech_job;

#define BB_SPEECH_HOLD_MS      10000
#define BB_SPEECH_TEXT_MAX     (4u << 20) /* bytes of one transcript */
#define BB_SPEECH_PROMPT_MAX   4096u      /* of a longer prompt the end counts, as engines do */
#define BB_SPEECH_LANGUAGE_MAX 8u

/* What to transcribe. The views need to live until bb_speech_submit() returns. */
struct bb_speech_request {
    int audio_fd;            /* sealed memory file; taken, also on failure */
    struct bb_view language; /* empty: the configured one; at most BB_SPEECH_LANGUAGE_MAX bytes */
    struct bb_view prompt;   /* UTF-8, at most BB_SPEECH_PROMPT_MAX bytes */
    bool has_temperature;
    double temperature;
};

struct bb_speech_result {
    struct bb_view text; /* UTF-8 as the worker sent it */
    uint64_t audio_ms;
};

/* detail: the worker's sentence for the caller, or empty. result is NULL unless err is BB_OK. */
typedef void bb_speech_cb(void *arg, enum bb_err err, struct bb_view detail,
                          const struct bb_speech_result *result);

/* `ready` is called each time that a worker has become ready. limits and metrics must outlive the link. */
BB_MUST_USE enum bb_err bb_speech_new(struct event_base *base, const struct bb_limits *limits,
                                      struct bb_metrics *metrics, void (*ready)(void *arg), void *arg,
                                      struct bb_speech **out);
void bb_speech_free(struct bb_speech *speech);
/* A new worker's socket, taken; the one before it is dropped. */
void bb_speech_attach(struct bb_speech *speech, int fd);
bool bb_speech_is_ready(const struct bb_speech *speech);
/*
 * Hands a request over. `done` is called once, never from inside this function. BB_ERR_BUSY: the limit queue
 * is reached; BB_ERR_CLOSED: there is no worker and none can be waited for.
 */
BB_MUST_USE enum bb_err bb_speech_submit(struct bb_speech *speech, struct bb_speech_request *request,
                                         bb_speech_cb *done, void *arg, struct bb_speech_job **job);
/* The caller is gone: `done` will not be called, and the worker is told to stop. */
void bb_speech_cancel(struct bb_speech_job *job);

#endif
