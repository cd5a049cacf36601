/*
 * What the speech worker knows of an inference engine. Engines get replaced; each is one table of functions.
 *
 * An engine keeps nothing of a request: whatever a run needs is made for it and given back to the system
 * after it, so that one caller's words cannot come out in another's answer, and the same recording gives the
 * same text whatever ran before or runs beside it. run() may be called from as many threads at once as
 * bb_engine_options.states says, always from the same ones.
 */
#ifndef BB_SPEECH_ENGINE_H
#define BB_SPEECH_ENGINE_H

#include "base/bytes.h"

#define BB_SPEECH_RATE        16000u /* samples per second that engines take, one channel */
#define BB_SPEECH_SHORTEST    1600u  /* samples; less is silence by definition and never reaches the engine */
#define BB_ENGINE_LANGUAGE    9u     /* bytes of a language code with its terminator */
#define BB_ENGINE_PROMPT_LEN  2048u  /* bytes of a prompt that are used: its last ones */
#define BB_ENGINE_MAX_THREADS 64u

struct bb_engine_options {
    unsigned states;  /* requests that run at once, ≥ 1 */
    unsigned threads; /* cores for each of them, 1 to BB_ENGINE_MAX_THREADS */
    bool fallback;    /* try a window again, warmer, when its text looks wrong (loops, improbable words) */
};

struct bb_engine_info {
    char name[64]; /* "libwhisper 1.9.5" */
    bool multilingual;
};

struct bb_engine_request {
    const float *samples; /* finite, BB_SPEECH_RATE per second */
    size_t count;
    const char *language; /* a code, or "auto" */
    const char *prompt;   /* UTF-8, or NULL */
    double temperature;   /* 0 to 1; 0 takes the likeliest token each time */
    unsigned max_tokens;  /* of text in the whole answer; 0: no limit */
    bool translate;       /* into English, where the model can */
};

/* How a run talks back. Both functions are called on the thread that runs, never after run() has returned. */
struct bb_engine_events {
    void *context;
    /* False: stop at the next step. */
    bool (*wanted)(void *context);
    /* A piece of text, in order; bytes as the model spelled them, not always whole characters. */
    void (*segment)(void *context, uint64_t start_ms, uint64_t end_ms, struct bb_view text);
};

struct bb_engine_result {
    char language[BB_ENGINE_LANGUAGE];
    unsigned tokens; /* of text */
};

/* The part that every engine's object starts with. */
struct bb_engine {
    const struct bb_engine_ops *ops;
};

struct bb_engine_ops {
    /*
     * Loads the weights out of a sealed memory file. BB_ERR_MODEL with a sentence in reason. The descriptor
     * stays the caller's and may be closed afterwards.
     */
    enum bb_err (*load)(int model_fd, const struct bb_engine_options *options, struct bb_engine **out,
                        struct bb_buf *reason) BB_MUST_USE;
    void (*free)(struct bb_engine *engine); /* no run may be under way */
    void (*describe)(const struct bb_engine *engine, struct bb_engine_info *out);
    /*
     * Checks what a request asks for, before its audio is decoded. BB_ERR_ARGUMENT with a sentence in reason
     * that does not repeat what the caller sent.
     */
    enum bb_err (*check)(const struct bb_engine *engine, const struct bb_engine_request *request,
                         struct bb_buf *reason) BB_MUST_USE;
    /*
     * Runs a request that check() passed. BB_ERR_CANCELLED when wanted() said no, BB_ERR_ENGINE when the
     * engine failed; segments may have been delivered before either.
     */
    enum bb_err (*run)(struct bb_engine *engine, const struct bb_engine_request *request,
                       const struct bb_engine_events *events, struct bb_engine_result *out) BB_MUST_USE;
};

/* libwhisper over ggml. */
extern const struct bb_engine_ops bb_engine_whisper;

#endif
