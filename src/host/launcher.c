/* Running a launch: see launcher.h. */
#include "host/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "host/launcher_internal.h"

#define HELPER_END_MS  2000 /* from SIGTERM to emulator and store until they are killed */
#define READY_LINE_MAX 4096u

enum { EMULATOR, STORE, INIT, CHILDREN };
static const char *const child_names[CHILDREN] = {"the NSM emulator", "the store", "blindboxd init"};

/* Descriptor numbers that the children find. */
enum { CHILD_FD_NSM = 3, CHILD_FD_STORE = 4, CHILD_FD_READY = 5 };

struct running {
    struct bb_launch *launch;
    struct bb_child children[CHILDREN];
    int signals;
    int watch; /* somebody waits at its other end for the ready line; -1: nobody, or not any more */
    int ready; /* init's reports */
    int64_t ready_by_ms;
    void (*on_ready)(void *context, const struct bb_record *record);
    void *context;
    struct bb_buf *reason;
};

__attribute__((format(printf, 3, 4))) static enum bb_err fail(struct running *run, enum bb_err err,
                                                              const char *format, ...) {
    char sentence[READY_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (len < 0 || bb_buf_append_str(run->reason, sentence) != BB_OK)
        return BB_ERR_NO_MEMORY;
    return err;
}

/*
 * The children's environment: nothing but marks by which a person or a test finds all processes of one
 * enclave (init hands them on).
 */
static size_t environment(char *envp[3], struct bb_buf *text) {
    static const char *const names[] = {"BLINDBOX_RUN_MARK", "XDG_STATE_HOME"};
    size_t starts[2];
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        starts[count] = text->len;
        if (value != NULL && bb_buf_printf(text, "%s=%s", names[i], value) == BB_OK &&
            bb_buf_append(text, "", 1) == BB_OK)
            count++;
    }
    for (size_t i = 0; i < count; i++)
        envp[i] = (char *)text->data + starts[i];
    envp[count] = NULL;
    return count;
}

static enum bb_err start(struct running *run, int which, const char *path, char *const *argv,
                         const struct bb_spawn_fd *fds, size_t fd_count) {
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(8192);
    char *envp[3];
    (void)environment(envp, &text);
    const struct bb_spawn what = {
        .path = path, .argv = argv, .envp = envp, .fds = fds, .fd_count = fd_count, .new_session = true};
    enum bb_err err = bb_spawn(&what, &run->children[which]);
    return err == BB_OK ? err
                        : fail(run, err, "%s cannot be started: %s", child_names[which], strerror(errno));
}

static enum bb_err start_emulator(struct running *run, int connection) {
    struct bb_launch *launch = run->launch;
    char *argv[] = {(char[]){"blindbox"},
                    (char[]){"nsm-emulator"},
                    (char[]){"--connection"},
                    (char[]){"fd:3"},
                    (char[]){"--state"},
                    (char *)launch->state.data,
                    (char[]){"--runtime"},
                    (char *)launch->blindboxd.data,
                    (char[]){"--runtime"},
                    (char *)launch->speech.data,
                    (char[]){"--service"},
                    (char *)launch->config.data,
                    NULL};
    const struct bb_spawn_fd fds[] = {{BB_SPAWN_NULL, STDIN_FILENO}, {connection, CHILD_FD_NSM}};
    return start(run, EMULATOR, "/proc/self/exe", argv, fds, 2);
}

static enum bb_err start_store(struct running *run, int connection) {
    char *argv[] = {(char[]){"blindbox"},
                    (char[]){"store"},
                    (char[]){"--connection"},
                    (char[]){"fd:4"},
                    (char[]){"--cache"},
                    (char *)run->launch->cache.data,
                    NULL};
    const struct bb_spawn_fd fds[] = {{BB_SPAWN_NULL, STDIN_FILENO}, {connection, CHILD_FD_STORE}};
    return start(run, STORE, "/proc/self/exe", argv, fds, 2);
}

static enum bb_err start_init(struct running *run, int nsm, int store, int ready) {
    struct bb_launch *launch = run->launch;
    struct bb_buf listen BB_CLEANUP_BUF = BB_BUF_INIT(512);
    enum bb_err err = bb_buf_printf(&listen, "tcp:%s", launch->record.address);
    if (err != BB_OK)
        return err;
    char *argv[] = {(char[]){"blindboxd"},
                    (char[]){"init"},
                    (char[]){"--nsm"},
                    (char[]){"fd:3"},
                    (char[]){"--store"},
                    (char[]){"fd:4"},
                    (char[]){"--config"},
                    (char *)launch->config.data,
                    (char[]){"--listen"},
                    (char *)listen.data,
                    (char[]){"--ready-fd"},
                    (char[]){"5"},
                    NULL};
    const struct bb_spawn_fd fds[] = {
        {BB_SPAWN_NULL, STDIN_FILENO}, {nsm, CHILD_FD_NSM}, {store, CHILD_FD_STORE}, {ready, CHILD_FD_READY}};
    return start(run, INIT, bb_buf_str(&launch->blindboxd), argv, fds, 4);
}

/* Makes the wires, starts the three children with their ends, and keeps none of them but init's report. */
static enum bb_err start_all(struct running *run) {
    int nsm[2];
    int store[2];
    int ready[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, nsm) != 0)
        return fail(run, BB_ERR_IO, "no socket pair: %s", strerror(errno));
    int nsm_inside BB_CLEANUP_FD = nsm[0];
    int nsm_outside BB_CLEANUP_FD = nsm[1];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, store) != 0)
        return fail(run, BB_ERR_IO, "no socket pair: %s", strerror(errno));
    int store_inside BB_CLEANUP_FD = store[0];
    int store_outside BB_CLEANUP_FD = store[1];
    if (pipe2(ready, O_CLOEXEC) != 0)
        return fail(run, BB_ERR_IO, "no pipe: %s", strerror(errno));
    run->ready = ready[0];
    int ready_inside BB_CLEANUP_FD = ready[1];
    enum bb_err err = start_emulator(run, nsm_outside);
    if (err == BB_OK)
        err = start_store(run, store_outside);
    return err == BB_OK ? start_init(run, nsm_inside, store_inside, ready_inside) : err;
}

static enum bb_err note_ready(struct running *run, const char *address) {
    struct bb_record *record = &run->launch->record;
    if (record->ready || strlen(address) >= sizeof record->address)
        return fail(run, BB_ERR_PROTOCOL, "%s reported something unreadable", child_names[INIT]);
    memcpy(record->address, address, strlen(address) + 1);
    record->ready = true;
    run->watch = -1;
    enum bb_err err = bb_record_write(run->launch->name, record);
    if (err != BB_OK)
        return fail(run, err, "the enclave's record cannot be written: %s", strerror(errno));
    run->on_ready(run->context, record);
    return BB_OK;
}

/* A line of init's: where it listens, or why it ends. */
static enum bb_err on_report_line(struct running *run, const char *line, size_t len) {
    const char *state;
    const char *text;
    enum bb_err err;
    json_t *json = json_loadb(line, len, 0, NULL);
    if (json != NULL && json_unpack(json, "{s:s, s:s}", "state", &state, "reason", &text) == 0)
        err = fail(run, BB_ERR_CLOSED, "%s", text);
    else if (json != NULL && json_unpack(json, "{s:s, s:s}", "state", &state, "listen", &text) == 0)
        err = note_ready(run, text);
    else
        err = fail(run, BB_ERR_PROTOCOL, "%s reported something unreadable", child_names[INIT]);
    json_decref(json);
    return err;
}

/* What init reported since the last time; whole lines, because each is written at once. */
static enum bb_err on_report(struct running *run) {
    char lines[READY_LINE_MAX];
    ssize_t got;
    do
        got = read(run->ready, lines, sizeof lines);
    while (got < 0 && errno == EINTR);
    if (got <= 0) /* its end will be noticed, and tells more */
        bb_fd_close(&run->ready);
    enum bb_err err = BB_OK;
    for (const char *at = lines, *end = lines + (got > 0 ? got : 0); at < end && err == BB_OK;) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((feed != NULL ? feed : end) - at);
        err = on_report_line(run, at, len);
        at += len + 1;
    }
    return err;
}

/* Any child's end is the end of all; when init has said why it ends, that is the reason. */
static enum bb_err on_child_end(struct running *run, int which) {
    struct bb_buf how BB_CLEANUP_BUF = BB_BUF_INIT(128);
    struct pollfd report = {.fd = run->ready, .events = POLLIN};
    int status = 0;
    enum bb_err err = bb_child_wait(&run->children[which], HELPER_END_MS, &status);
    /* Emulator and store end by themselves, with status 0, when init has gone: then that is the reason. */
    if (err == BB_OK && which != INIT && status == 0)
        return on_child_end(run, INIT);
    if (which == INIT && poll(&report, 1, 0) > 0) {
        enum bb_err told = on_report(run);
        if (told != BB_OK)
            return told;
    }
    if (err == BB_OK)
        err = bb_child_describe(status, &how);
    if (err != BB_OK)
        return fail(run, err, "%s cannot be collected: %s", child_names[which], bb_err_sentence(err));
    return fail(run, BB_ERR_CLOSED, "%s %s", child_names[which], bb_buf_str(&how));
}

static bool take_signal(struct running *run) {
    struct signalfd_siginfo info;
    struct pollfd entry = {.fd = run->signals, .events = POLLIN};
    return poll(&entry, 1, 0) > 0 && read(run->signals, &info, sizeof info) == sizeof info;
}

enum { SIGNALS, WATCH, READY, FIRST_CHILD, SOURCES = FIRST_CHILD + CHILDREN };

static int wait_events(struct running *run, struct pollfd entries[SOURCES]) {
    entries[SIGNALS] = (struct pollfd){.fd = run->signals, .events = POLLIN};
    entries[WATCH] = (struct pollfd){.fd = run->watch}; /* POLLERR: the reader is gone */
    entries[READY] = (struct pollfd){.fd = run->ready, .events = POLLIN};
    for (int i = 0; i < CHILDREN; i++)
        entries[FIRST_CHILD + i] = (struct pollfd){.fd = run->children[i].pidfd, .events = POLLIN};
    int64_t left = run->ready_by_ms - bb_clock_monotonic_ms();
    int timeout = run->launch->record.ready ? -1 : left > 0 ? (int)left : 0;
    int count;
    do
        count = poll(entries, SOURCES, timeout);
    while (count < 0 && errno == EINTR);
    return count;
}

/* Until a signal asks for the end (BB_OK) or something ends by itself. */
static enum bb_err attend(struct running *run) {
    for (;;) {
        struct pollfd entries[SOURCES];
        int count = wait_events(run, entries);
        if (count < 0)
            return fail(run, BB_ERR_IO, "poll: %s", strerror(errno));
        if (count == 0)
            return fail(run, BB_ERR_TIMEOUT, "the enclave is not ready after %d s",
                        BB_LAUNCH_READY_MS / 1000);
        if (entries[SIGNALS].revents != 0 || entries[WATCH].revents != 0) {
            (void)take_signal(run);
            return BB_OK;
        }
        if (entries[READY].revents != 0) {
            enum bb_err err = on_report(run);
            if (err != BB_OK)
                return err;
            continue;
        }
        for (int i = CHILDREN - 1; i >= 0; i--)
            if (entries[FIRST_CHILD + i].revents != 0)
                return on_child_end(run, i);
    }
}

/* Waits for a child to end; a signal meanwhile means: now. */
static void end_child(struct running *run, int which, int timeout_ms) {
    struct bb_child *child = &run->children[which];
    struct pollfd entries[] = {{.fd = child->pidfd, .events = POLLIN},
                               {.fd = run->signals, .events = POLLIN}};
    bb_child_signal(child, SIGTERM);
    if (child->pid > 0)
        (void)poll(entries, 2, timeout_ms);
    bb_child_done(child);
}

static void end_all(struct running *run) {
    end_child(run, INIT, BB_LAUNCH_END_MS);
    end_child(run, EMULATOR, HELPER_END_MS);
    end_child(run, STORE, HELPER_END_MS);
    /* Roles whose init was killed are killed by the kernel and become our children to collect. */
    pid_t pid;
    do
        pid = waitpid(-1, NULL, 0);
    while (pid > 0 || (pid < 0 && errno == EINTR));
    bb_fd_close(&run->ready);
    bb_fd_close(&run->signals);
}

static enum bb_err open_signals(struct running *run) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
        run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (run->signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return fail(run, BB_ERR_IO, "signals cannot be received: %s", strerror(errno));
    return BB_OK;
}

static enum bb_err write_first_record(struct running *run) {
    struct bb_record *record = &run->launch->record;
    const char *host = run->launch->listen.host;
    bool brackets = strchr(host, ':') != NULL; /* IPv6 */
    int len = snprintf(record->address, sizeof record->address, "%s%s%s:%s", brackets ? "[" : "", host,
                       brackets ? "]" : "", run->launch->listen.port);
    if (len >= (int)sizeof record->address)
        return fail(run, BB_ERR_TOO_LARGE, "the address is too long");
    record->ready = false;
    record->pid = getpid();
    enum bb_err err = bb_process_start_time(record->pid, &record->pid_start);
    if (err == BB_OK)
        err = bb_record_write(run->launch->name, record);
    return err == BB_OK ? err : fail(run, err, "the enclave's record cannot be written: %s", strerror(errno));
}

enum bb_err bb_launch_run(struct bb_launch *launch, int watch,
                          void (*on_ready)(void *context, const struct bb_record *record), void *context,
                          struct bb_buf *reason) {
    struct running run = {.launch = launch,
                          .children = {BB_CHILD_INIT, BB_CHILD_INIT, BB_CHILD_INIT},
                          .signals = -1,
                          .watch = watch,
                          .ready = -1,
                          .ready_by_ms = bb_clock_monotonic_ms() + BB_LAUNCH_READY_MS,
                          .on_ready = on_ready,
                          .context = context,
                          .reason = reason};
    enum bb_err err = open_signals(&run);
    if (err == BB_OK)
        err = write_first_record(&run);
    if (err == BB_OK)
        err = start_all(&run);
    if (err == BB_OK)
        err = attend(&run);
    end_all(&run);
    bb_record_remove(launch->name);
    return err;
}
