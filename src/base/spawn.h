/*
 * Starting programs: fork and exec with exactly the descriptors, arguments and environment that are named,
 * and children that die with their parent. No shell, no search path.
 */
#ifndef BB_BASE_SPAWN_H
#define BB_BASE_SPAWN_H

#include <sys/types.h>

#include "base/bytes.h"

#define BB_SPAWN_MAX_FDS 16u
#define BB_SPAWN_NULL    (-1) /* as `from`: /dev/null */

/* The new program finds `from` under the number `to`. */
struct bb_spawn_fd {
    int from, to;
};

struct bb_spawn {
    const char *path;              /* what is executed; "/proc/self/exe" for this very program */
    char *const *argv;             /* NULL-terminated */
    char *const *envp;             /* NULL-terminated; the whole environment */
    const struct bb_spawn_fd *fds; /* 0, 1 and 2 stay open when not named here; all others are closed */
    size_t fd_count;
    bool new_session; /* setsid(2): the terminal's Ctrl-C does not reach it */
};

/* A child process; pid 0 and pidfd -1: none. */
struct bb_child {
    pid_t pid;
    int pidfd; /* readable once the child has ended */
};
#define BB_CHILD_INIT ((struct bb_child){.pidfd = -1})

/*
 * Starts a program. It gets signal handling as after login (nothing blocked, nothing ignored) and is killed
 * when the calling thread ends, however that happens. BB_ERR_NOT_FOUND when path cannot be executed,
 * BB_ERR_ARGUMENT for a bad descriptor map, BB_ERR_IO otherwise.
 */
BB_MUST_USE enum bb_err bb_spawn(const struct bb_spawn *what, struct bb_child *out);
/*
 * Waits for the child's end and collects it: *status as waitpid(2) gives it, the child is empty afterwards.
 * BB_ERR_TIMEOUT when it still runs after timeout_ms (-1: no limit).
 */
BB_MUST_USE enum bb_err bb_child_wait(struct bb_child *child, int timeout_ms, int *status);
/* Does nothing when there is no child. */
void bb_child_signal(const struct bb_child *child, int signal_number);
/* Kills and collects a child that is still there. */
void bb_child_done(struct bb_child *child);
#define BB_CLEANUP_CHILD __attribute__((cleanup(bb_child_done)))
/* "exited with status 1", "was ended by signal 9 (Killed)". */
BB_MUST_USE enum bb_err bb_child_describe(int status, struct bb_buf *out);

#endif
