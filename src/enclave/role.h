/* One role of the enclave as init sees it: its process and how often it died lately. */
#ifndef BB_ENCLAVE_ROLE_H
#define BB_ENCLAVE_ROLE_H

#include "base/spawn.h"
#include "enclave/supervisor.h"

struct bb_role {
    const char *name;
    struct bb_child child;
    int64_t deaths_ms[BB_RESTART_MAX]; /* monotonic times of the last deaths, 0: none */
    unsigned next_death;
};

/*
 * The environment of every role, NULL-terminated; strings of static storage or of this process's own
 * environment. Heap memory is overwritten when it is freed (GLIBC_TUNABLES; without the per-thread cache,
 * which would keep freed blocks as they were), and OpenMP starts no team that was not asked for. Of init's
 * own environment only marks are handed on, by which all processes of one enclave can be found.
 */
#define BB_ROLE_ENVIRONMENT_MAX 8u
void bb_role_environment(char *out[BB_ROLE_ENVIRONMENT_MAX]);

/* Starts a role's program with these descriptors; standard input is /dev/null, standard output is standard
 * error. */
BB_MUST_USE enum bb_err bb_role_start(struct bb_role *role, const char *path, char *const *argv,
                                      const struct bb_spawn_fd *fds, size_t count);
/* Notes a death. False: it was one too many, the role must not be started again. */
bool bb_role_may_restart(struct bb_role *role, int64_t now_ms);

#endif
