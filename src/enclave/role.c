/* See role.h. */
#include "enclave/role.h"

#include <string.h>
#include <unistd.h>

static bool is_mark(const char *variable) {
    return strncmp(variable, "BLINDBOX_RUN_MARK=", 18) == 0 || strncmp(variable, "XDG_STATE_HOME=", 15) == 0;
}

void bb_role_environment(char *out[BB_ROLE_ENVIRONMENT_MAX]) {
    static char perturb[] = "GLIBC_TUNABLES=glibc.malloc.perturb=165:glibc.malloc.tcache_count=0";
    static char openmp[] = "OMP_NUM_THREADS=1";
    static char language[] = "LANG=C.UTF-8";
    size_t count = 0;
    out[count++] = perturb;
    out[count++] = openmp;
    out[count++] = language;
    for (char **at = environ; *at != NULL && count < BB_ROLE_ENVIRONMENT_MAX - 1; at++)
        if (is_mark(*at))
            out[count++] = *at;
    out[count] = NULL;
}

enum bb_err bb_role_start(struct bb_role *role, const char *path, char *const *argv,
                          const struct bb_spawn_fd *fds, size_t count) {
    struct bb_spawn_fd all[BB_SPAWN_MAX_FDS] = {{.from = BB_SPAWN_NULL, .to = STDIN_FILENO},
                                                {.from = STDERR_FILENO, .to = STDOUT_FILENO}};
    if (count > BB_SPAWN_MAX_FDS - 2)
        return BB_ERR_ARGUMENT;
    for (size_t i = 0; i < count; i++)
        all[2 + i] = fds[i];
    char *envp[BB_ROLE_ENVIRONMENT_MAX];
    bb_role_environment(envp);
    const struct bb_spawn what = {
        .path = path, .argv = argv, .envp = envp, .fds = all, .fd_count = count + 2};
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
