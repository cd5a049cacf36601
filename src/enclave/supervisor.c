/* See supervisor.h. */
#include "enclave/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cbor/cbor.h"
#include "enclave/broker.h"
#include "enclave/ipc.h"
#include "enclave/role.h"
#include "enclave/roles.h"
#include "enclave/say.h"

#define SEND_MS 2000 /* a gate that does not read its control socket for so long is ended */

struct supervisor {
    const struct bb_roles *roles;
    struct bb_broker broker;
    struct bb_role gate, speech;
    int control; /* socket to the gate, -1 when there is none */
    int signals;
    int64_t end_ms; /* 0: not ending; else when the gate is killed */
    bool was_ready;
    void (*on_ready)(void *context);
    void *context;
    struct bb_buf *reason;
};

__attribute__((format(printf, 3, 4))) static enum bb_err fail(struct supervisor *s, enum bb_err err,
                                                              const char *format, ...) {
    char sentence[400];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (len < 0 || bb_buf_append_str(s->reason, sentence) != BB_OK)
        return BB_ERR_NO_MEMORY;
    return err;
}

static enum bb_err put_pair(struct bb_buf *out, const char *key, const char *value) {
    enum bb_err err = bb_cbor_put_text(out, key);
    return err == BB_OK ? bb_cbor_put_text(out, value) : err;
}

/* The gate is useless when it cannot be told things: end it, and its death will be noticed like any other. */
static void tell_gate(struct supervisor *s, struct bb_view message, int pass_fd) {
    enum bb_err err = s->control < 0 ? BB_ERR_CLOSED : bb_ipc_send(s->control, message, pass_fd, SEND_MS);
    if (err == BB_OK)
        return;
    if (err != BB_ERR_CLOSED)
        bb_say("the gate does not take a message (%s); ending it", bb_err_sentence(err));
    bb_child_signal(&s->gate.child, SIGKILL);
}

static enum bb_err introduce_worker(struct supervisor *s, int socket) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(64);
    enum bb_err err = bb_cbor_put_map(&message, 2);
    if (err == BB_OK)
        err = put_pair(&message, "type", "worker");
    if (err == BB_OK)
        err = put_pair(&message, "role", "speech");
    if (err == BB_OK)
        tell_gate(s, bb_buf_view(&message), socket);
    return err;
}

static enum bb_err drain_gate(struct supervisor *s) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(64);
    enum bb_err err = bb_cbor_put_map(&message, 1);
    if (err == BB_OK)
        err = put_pair(&message, "type", "drain");
    if (err == BB_OK)
        tell_gate(s, bb_buf_view(&message), -1);
    return err;
}

static enum bb_err start_gate(struct supervisor *s) {
    int pair[2];
    enum bb_err err = bb_ipc_pair(pair);
    if (err != BB_OK)
        return fail(s, err, "no socket pair: %s", strerror(errno));
    int mine BB_CLEANUP_FD = pair[0];
    int theirs BB_CLEANUP_FD = pair[1];
    const struct bb_spawn_fd fds[] = {{theirs, BB_GATE_FD_CONTROL},
                                      {s->roles->listen_fd, BB_GATE_FD_LISTEN},
                                      {s->roles->config_fd, BB_GATE_FD_CONFIG}};
    char *argv[] = {(char[]){"blindboxd"}, (char[]){"gate"}, NULL};
    err = bb_role_start(&s->gate, "/proc/self/exe", argv, fds, sizeof fds / sizeof *fds);
    if (err != BB_OK)
        return fail(s, err, "the gate cannot be started: %s", strerror(errno));
    bb_fd_close(&s->control);
    s->control = bb_fd_take(&mine);
    bb_say("gate started (pid %d)", (int)s->gate.child.pid);
    return BB_OK;
}

static enum bb_err start_speech(struct supervisor *s) {
    int pair[2];
    enum bb_err err = bb_ipc_pair(pair);
    if (err != BB_OK)
        return fail(s, err, "no socket pair: %s", strerror(errno));
    int for_gate BB_CLEANUP_FD = pair[0];
    int for_speech BB_CLEANUP_FD = pair[1];
    const struct bb_spawn_fd fds[] = {{for_speech, BB_SPEECH_FD_GATE},
                                      {s->roles->model_fd, BB_SPEECH_FD_MODEL},
                                      {s->roles->config_fd, BB_SPEECH_FD_CONFIG}};
    char *argv[] = {(char[]){"blindbox-speech"}, NULL};
    err = bb_role_start(&s->speech, s->roles->speech_path, argv, fds, sizeof fds / sizeof *fds);
    if (err != BB_OK)
        return fail(s, err, "the speech worker %s cannot be started: %s", s->roles->speech_path,
                    strerror(errno));
    bb_say("speech worker started (pid %d)", (int)s->speech.child.pid);
    return introduce_worker(s, for_gate);
}

static enum bb_err start_all(struct supervisor *s) {
    enum bb_err err = start_gate(s);
    return err == BB_OK ? start_speech(s) : err;
}

/* Collects a role that has ended and says how. BB_OK: it may be started again. */
static enum bb_err bury(struct supervisor *s, struct bb_role *role, const char *what_now) {
    struct bb_buf how BB_CLEANUP_BUF = BB_BUF_INIT(128);
    int status = 0;
    int pid = (int)role->child.pid;
    enum bb_err err = bb_child_wait(&role->child, -1, &status);
    if (err == BB_OK)
        err = bb_child_describe(status, &how);
    if (err != BB_OK)
        return fail(s, err, "the end of the %s cannot be told: %s", role->name, strerror(errno));
    if (!bb_role_may_restart(role, bb_clock_monotonic_ms()))
        return fail(s, BB_ERR_CLOSED, "the %s ended more than %d times in %d s; the last one %s", role->name,
                    BB_RESTART_MAX, BB_RESTART_WINDOW_MS / 1000, bb_buf_str(&how));
    bb_say("the %s (pid %d) %s; %s", role->name, pid, bb_buf_str(&how), what_now);
    return BB_OK;
}

static enum bb_err on_speech_end(struct supervisor *s) {
    enum bb_err err = bury(s, &s->speech, "starting a new one");
    return err == BB_OK ? start_speech(s) : err;
}

static enum bb_err on_gate_end(struct supervisor *s) {
    enum bb_err err = bury(s, &s->gate, "starting all roles anew");
    if (err != BB_OK)
        return err;
    bb_fd_close(&s->control);
    bb_child_done(&s->speech.child);
    return start_all(s);
}

static enum bb_err on_attest(struct supervisor *s, struct bb_view message) {
    struct bb_buf reply BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    enum bb_err err = bb_broker_answer(&s->broker, message, bb_clock_monotonic_ms(), &reply);
    if (err == BB_OK)
        tell_gate(s, bb_buf_view(&reply), -1);
    if (err == BB_OK || err == BB_ERR_PROTOCOL)
        return err;
    return fail(s, err, "the NSM does not answer: %s", bb_err_sentence(err));
}

static void on_gate_ready(struct supervisor *s) {
    bb_say("ready");
    if (!s->was_ready)
        s->on_ready(s->context);
    s->was_ready = true;
}

/* One message from the gate. */
static enum bb_err on_control(struct supervisor *s) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int passed BB_CLEANUP_FD = -1;
    struct bb_view type;
    enum bb_err err = bb_ipc_receive(s->control, &message, &passed, 0);
    if (err == BB_ERR_TIMEOUT)
        return BB_OK;
    if (err == BB_OK)
        err = bb_ipc_type(bb_buf_view(&message), &type);
    if (err == BB_OK && passed >= 0)
        err = BB_ERR_PROTOCOL;
    if (err == BB_OK && bb_view_equal(type, bb_view_str("attest"))) {
        err = on_attest(s, bb_buf_view(&message));
        if (err != BB_OK && err != BB_ERR_PROTOCOL)
            return err;
    } else if (err == BB_OK && bb_view_equal(type, bb_view_str("ready")))
        on_gate_ready(s);
    else if (err == BB_OK)
        err = BB_ERR_PROTOCOL;
    if (err == BB_OK)
        return BB_OK;
    if (err != BB_ERR_CLOSED)
        bb_say("ending the gate: %s", bb_err_sentence(err));
    bb_fd_close(&s->control);
    if (s->end_ms == 0) /* else it is on its way out */
        bb_child_signal(&s->gate.child, SIGKILL);
    return BB_OK;
}

static enum bb_err on_signal(struct supervisor *s) {
    struct signalfd_siginfo info;
    enum bb_err err = bb_fd_read_exactly(s->signals, &info, sizeof info, 1000);
    if (err != BB_OK)
        return fail(s, err, "signals cannot be read");
    if (s->end_ms != 0)
        return BB_OK;
    bb_say("ending: signal %u", info.ssi_signo);
    s->end_ms = bb_clock_monotonic_ms() + BB_DRAIN_MS;
    return drain_gate(s);
}

enum { SIGNALS, NSM, CONTROL, GATE, SPEECH, SOURCES };

/* Waits for events; entries without a descriptor stay silent. While ending, only the gate counts. */
static int wait_events(struct supervisor *s, struct pollfd entries[SOURCES]) {
    bool ending = s->end_ms != 0;
    const int fds[SOURCES] = {s->signals, ending ? -1 : s->roles->nsm->fd, s->control, s->gate.child.pidfd,
                              ending ? -1 : s->speech.child.pidfd};
    for (int i = 0; i < SOURCES; i++)
        entries[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    int64_t left = s->end_ms - bb_clock_monotonic_ms();
    int timeout = !ending ? -1 : left > 0 ? (int)left : 0;
    int ready;
    do
        ready = poll(entries, SOURCES, timeout);
    while (ready < 0 && errno == EINTR);
    return ready;
}

/* Until a signal asks for the end. */
static enum bb_err serve(struct supervisor *s) {
    enum bb_err err = BB_OK;
    while (err == BB_OK && s->end_ms == 0) {
        struct pollfd entries[SOURCES];
        if (wait_events(s, entries) < 0)
            return fail(s, BB_ERR_IO, "poll: %s", strerror(errno));
        if (entries[SIGNALS].revents != 0)
            err = on_signal(s);
        else if (entries[NSM].revents != 0) /* between requests it has nothing to say */
            err = fail(s, BB_ERR_CLOSED, "the connection to the NSM is gone");
        else if (entries[GATE].revents != 0)
            err = on_gate_end(s);
        else if (entries[SPEECH].revents != 0)
            err = on_speech_end(s);
        else if (entries[CONTROL].revents != 0)
            err = on_control(s);
    }
    return err;
}

/* Lets the gate finish what runs, which may take attestation requests, then ends the worker. */
static enum bb_err end_in_order(struct supervisor *s) {
    int status = 0;
    for (;;) {
        struct pollfd entries[SOURCES];
        int ready = wait_events(s, entries);
        if (ready <= 0 || entries[GATE].revents != 0)
            break;
        enum bb_err err = BB_OK;
        if (entries[SIGNALS].revents != 0)
            err = on_signal(s);
        else if (entries[CONTROL].revents != 0)
            err = on_control(s);
        if (err != BB_OK)
            return err;
    }
    if (bb_child_wait(&s->gate.child, 0, &status) != BB_OK)
        bb_say("the gate has not ended by itself; killing it");
    bb_child_done(&s->gate.child);
    bb_child_signal(&s->speech.child, SIGTERM);
    if (bb_child_wait(&s->speech.child, BB_WORKER_END_MS, &status) == BB_ERR_TIMEOUT)
        bb_say("the speech worker has not ended by itself; killing it");
    bb_say("ended");
    return BB_OK;
}

static enum bb_err open_signals(int *fd) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return BB_ERR_IO;
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd < 0 ? BB_ERR_IO : BB_OK;
}

enum bb_err bb_supervise(const struct bb_roles *roles, void (*on_ready)(void *context), void *context,
                         struct bb_buf *reason) {
    struct supervisor s = {.roles = roles,
                           .gate = {.name = "gate", .child = BB_CHILD_INIT},
                           .speech = {.name = "speech worker", .child = BB_CHILD_INIT},
                           .control = -1,
                           .signals = -1,
                           .on_ready = on_ready,
                           .context = context,
                           .reason = reason};
    bb_broker_init(&s.broker, roles->nsm, bb_clock_monotonic_ms());
    enum bb_err err = open_signals(&s.signals);
    if (err != BB_OK)
        err = fail(&s, err, "signals cannot be received: %s", strerror(errno));
    if (err == BB_OK)
        err = start_all(&s);
    if (err == BB_OK)
        err = serve(&s);
    if (err == BB_OK)
        err = end_in_order(&s);
    bb_child_done(&s.gate.child);
    bb_child_done(&s.speech.child);
    bb_fd_close(&s.control);
    bb_fd_close(&s.signals);
    return err;
}
