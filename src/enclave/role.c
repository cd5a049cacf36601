/* See role.h. */
#include "enclave/role.h"

#include <string.h>
#include <unistd.h>

char *const bb_role_environment[] = {
    (char[]){"GLIBC_TUNABLES=glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"},
    (char[]){"OMP_NUM_THREADS=1"},
    (char[]){"LANG=C.UTF-8"},
    NULL,
};

enum bb_err bb_role_start(struct bb_role *role, const char *path, char *const *argv,
                          const struct bb_spawn_fd *fds, size_t count) {
    struct bb_spawn_fd all[BB_SPAWN_MAX_FDS] = {{.from = BB_SPAWN_NULL, .to = STDIN_FILENO},
                                                {.from = STDERR_FILENO, .to = STDOUT_FILENO}};
    if (count > BB_SPAWN_MAX_FDS - 2)
        return BB_ERR_ARGUMENT;
    memcpy(all + 2, fds, count * sizeof *fds);
    struct bb_spawn what = {
        .path = path, .argv = argv, .envp = bb_role_environment, .fds = all, .fd_count = count + 2};
    return bb_spawn(&what, &role->child);
}

bool bb_role_may_restart(struct bb_role *role, int64_t now_ms) {
    int64_t oldest = role->deaths_ms[role->next_death];
    if (oldest != 0 && now_ms - oldest < BB_RESTART_WINDOW_MS)
        return false;
    role->deaths_ms[role->next_death] = now_ms;
    role->next_death = (role->next_death + 1) % BB_RESTART_MAX;
    return true;
}
