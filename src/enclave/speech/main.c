/*
 * blindbox-speech: the process that decodes audio and transcribes it. Started by init with the descriptors of
 * src/enclave/roles.h and nothing else: no keys, no network. Everything the audio can do happens here.
 *
 * Standard error gets fixed sentences about the model and the configuration; nothing of any request.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "enclave/config.h"
#include "enclave/confine.h"
#include "enclave/harden.h"
#include "enclave/roles.h"
#include "enclave/speech/cores.h"
#include "enclave/speech/engine.h"
#include "enclave/speech/heap.h"
#include "enclave/speech/worker.h"

#define REASON_MAX 1024u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* the sanitizer's report goes to standard error */
#else
#define SANITIZED 0
#endif

static int say_fd = STDERR_FILENO; /* where sentences go */

static int fail(const char *what, enum bb_err err, const struct bb_buf *reason) {
    dprintf(say_fd, "blindbox-speech: %s: %s\n", what,
            reason->len > 0 ? bb_buf_str(reason) : bb_err_sentence(err));
    return EXIT_FAILURE;
}

/*
 * Decoders print what they think of a damaged file (libmpg123 does): text that callers provoke has no place
 * in the log. Standard output and error become a pipe that nobody reads; this program keeps a copy of the
 * real standard error for itself. (SIGPIPE is ignored.)
 */
static enum bb_err silence_libraries(void) {
    int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    int ends[2];
    if (kept < 0 || pipe2(ends, O_CLOEXEC) != 0)
        return BB_ERR_IO;
    say_fd = kept;
    close(ends[0]);
    bool done = dup2(ends[1], STDOUT_FILENO) >= 0 && (SANITIZED || dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    return done ? BB_OK : BB_ERR_IO;
}

/* As many requests at once as there are cores for them, unless the configuration says. */
static struct bb_engine_options options_for(const struct bb_config *config) {
    struct bb_engine_options options = {.states = config->speech_states,
                                        .threads = config->speech_threads,
                                        .fallback = config->speech_fallback};
    if (options.states == 0)
        options.states = bb_cores_available() / options.threads;
    if (options.states == 0)
        options.states = 1;
    return options;
}

int main(void) {
    static struct bb_config config;
    static struct bb_worker worker;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX);
    bb_heap_init();
    setenv("GGML_NO_BACKTRACE", "1", 1); /* ggml would start a debugger when it aborts */
    enum bb_err err = bb_role_harden();
    if (err == BB_OK)
        err = silence_libraries();
    if (err != BB_OK)
        return fail("giving up rights", err, &reason);
    err = bb_config_from_fd(BB_SPEECH_FD_CONFIG, &config, &reason);
    if (err != BB_OK)
        return fail("configuration", err, &reason);
    struct bb_engine_options options = options_for(&config);
    struct bb_engine *engine;
    err = bb_engine_whisper.load(BB_SPEECH_FD_MODEL, &options, &engine, &reason);
    if (err != BB_OK)
        return fail("the model cannot be loaded", err, &reason);
    close(BB_SPEECH_FD_MODEL);
    struct bb_engine_info info;
    engine->ops->describe(engine, &info);
    err = bb_fd_set_nonblocking(BB_SPEECH_FD_GATE);
    if (err == BB_OK)
        err = bb_worker_start(&worker, BB_SPEECH_FD_GATE, engine, options.states, &config);
    if (err == BB_OK)
        err = bb_role_confine(BB_ROLE_SPEECH);
    if (err == BB_OK)
        err = bb_worker_serve(&worker, info.name);
    if (err != BB_ERR_CLOSED)
        fail("serving the gate ended", err, &reason);
    _exit(err == BB_ERR_CLOSED ? EXIT_SUCCESS : EXIT_FAILURE); /* threads may be at work: no destructors */
}
