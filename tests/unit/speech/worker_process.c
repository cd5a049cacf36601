/* See worker_process.h. */
#include "worker_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "enclave/ipc.h"
#include "enclave/roles.h"
#include "sounds.h"

extern char **environ;

struct worker_process worker_start(const char *program, struct bb_view model, const char *speech,
                                   const char *limits) {
    char config[1024];
    snprintf(config, sizeof config,
             "version: 1\nspeech:\n  model: sha256:%064d\n  name: demo-speech\n%s%s\n%s%s\n", 0,
             speech != NULL ? "  " : "", speech != NULL ? speech : "", limits != NULL ? "limits:\n  " : "",
             limits != NULL ? limits : "");
    int pair[2];
    assert_int_equal(bb_ipc_pair(pair), BB_OK);
    int theirs BB_CLEANUP_FD = pair[1];
    int model_fd BB_CLEANUP_FD = sealed_file(model);
    int config_fd BB_CLEANUP_FD = sealed_file(bb_view_str(config));
    const struct bb_spawn_fd fds[] = {
        {theirs, BB_SPEECH_FD_GATE}, {model_fd, BB_SPEECH_FD_MODEL}, {config_fd, BB_SPEECH_FD_CONFIG}};
    char *argv[] = {(char[]){"blindbox-speech"}, NULL};
    struct bb_spawn what = {.path = program, .argv = argv, .envp = environ, .fds = fds, .fd_count = 3};
    struct worker_process worker = {.child = BB_CHILD_INIT, .gate_fd = pair[0]};
    assert_int_equal(bb_spawn(&what, &worker.child), BB_OK);
    return worker;
}

int worker_stop(struct worker_process *worker) {
    int status = -1;
    bb_fd_close(&worker->gate_fd);
    assert_int_equal(bb_child_wait(&worker->child, 20000, &status), BB_OK);
    return status;
}

long worker_cpu_ms(const struct worker_process *worker) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)worker->child.pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    unsigned long user, system;
    /* fields 14 and 15; the name in parentheses (field 2) holds no space here */
    assert_int_equal(
        sscanf(line, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
    return (long)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}
