/*
 * See spawn.h. Between fork and exec the child only makes system calls; what goes wrong there comes back to
 * the parent as an errno value through a pipe that a successful exec closes.
 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

static int null_device(void) {
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* Puts every descriptor under its number. Sources are first copied out of the way of all targets. */
static int place_descriptors(const struct bb_spawn *what, int *error_fd) {
    int first_free = 3;
    for (size_t i = 0; i < what->fd_count; i++)
        if (what->fds[i].to >= first_free)
            first_free = what->fds[i].to + 1;
    int copies[BB_SPAWN_MAX_FDS];
    for (size_t i = 0; i < what->fd_count; i++) {
        int from = what->fds[i].from == BB_SPAWN_NULL ? null_device() : what->fds[i].from;
        copies[i] = fcntl(from, F_DUPFD_CLOEXEC, first_free);
        if (copies[i] < 0)
            return -1;
    }
    int moved = fcntl(*error_fd, F_DUPFD_CLOEXEC, first_free);
    if (moved < 0 || syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) != 0)
        return -1;
    *error_fd = moved;
    for (size_t i = 0; i < what->fd_count; i++)
        if (dup2(copies[i], what->fds[i].to) < 0)
            return -1;
    return 0;
}

static void reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child's way to exec; never returns. */
__attribute__((noreturn)) static void become(const struct bb_spawn *what, pid_t parent, int error_fd) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
        (!what->new_session || setsid() >= 0) && place_descriptors(what, &error_fd) == 0) {
        reset_signals();
        execve(what->path, what->argv, what->envp);
    }
    int failure = errno != 0 ? errno : ECHILD;
    ssize_t n = write(error_fd, &failure, sizeof failure);
    _exit(n == sizeof failure ? 126 : 127);
}

static int open_pidfd(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static enum bb_err collect(pid_t pid, int *status) {
    pid_t got;
    do
        got = waitpid(pid, status, 0);
    while (got < 0 && errno == EINTR);
    return got == pid ? BB_OK : BB_ERR_IO;
}

static enum bb_err exec_result(int error_fd) {
    int failure = 0;
    enum bb_err err = bb_fd_read_exactly(error_fd, &failure, sizeof failure, -1);
    if (err == BB_ERR_CLOSED)
        return BB_OK;
    if (err != BB_OK)
        return BB_ERR_IO;
    errno = failure;
    return failure == ENOENT || failure == EACCES || failure == ENOEXEC ? BB_ERR_NOT_FOUND : BB_ERR_IO;
}

enum bb_err bb_spawn(const struct bb_spawn *what, struct bb_child *out) {
    if (what->fd_count > BB_SPAWN_MAX_FDS)
        return BB_ERR_ARGUMENT;
    for (size_t i = 0; i < what->fd_count; i++)
        if (what->fds[i].to < 0 || what->fds[i].from < BB_SPAWN_NULL)
            return BB_ERR_ARGUMENT;
    int error_pipe[2];
    if (pipe2(error_pipe, O_CLOEXEC) != 0)
        return BB_ERR_IO;
    int reading BB_CLEANUP_FD = error_pipe[0];
    int writing BB_CLEANUP_FD = error_pipe[1];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return BB_ERR_IO;
    if (pid == 0) {
        errno = 0;
        become(what, parent, writing);
    }
    bb_fd_close(&writing);
    struct bb_child child BB_CLEANUP_CHILD = {.pid = pid, .pidfd = open_pidfd(pid)};
    enum bb_err err = child.pidfd < 0 ? BB_ERR_IO : exec_result(reading);
    if (err != BB_OK)
        return err;
    *out = child;
    child = BB_CHILD_INIT;
    return BB_OK;
}

enum bb_err bb_child_wait(struct bb_child *child, int timeout_ms, int *status) {
    if (child->pid <= 0)
        return BB_ERR_NOT_FOUND;
    struct pollfd entry = {.fd = child->pidfd, .events = POLLIN};
    int ready;
    do
        ready = poll(&entry, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return BB_ERR_TIMEOUT;
    int got = 0;
    enum bb_err err = ready < 0 ? BB_ERR_IO : collect(child->pid, &got);
    if (err != BB_OK)
        return err;
    bb_fd_close(&child->pidfd);
    child->pid = 0;
    *status = got;
    return BB_OK;
}

void bb_child_signal(const struct bb_child *child, int signal_number) {
    if (child->pid > 0) /* not collected yet, so the number is still the child's */
        (void)kill(child->pid, signal_number);
}

void bb_child_done(struct bb_child *child) {
    if (child->pid > 0) {
        int status;
        int kept = errno;
        bb_child_signal(child, SIGKILL);
        (void)collect(child->pid, &status);
        errno = kept;
    }
    child->pid = 0;
    bb_fd_close(&child->pidfd);
}

enum bb_err bb_child_describe(int status, struct bb_buf *out) {
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        return bb_buf_printf(out, "was ended by signal %d (%s)", number, strsignal(number));
    }
    return bb_buf_printf(out, "exited with status %d", WEXITSTATUS(status));
}
