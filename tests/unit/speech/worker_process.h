/* The real blindbox-speech as a child process, with the test in the gate's place. */
#ifndef BB_TEST_WORKER_PROCESS_H
#define BB_TEST_WORKER_PROCESS_H

#include "base/spawn.h"

struct worker_process {
    struct bb_child child;
    int gate_fd; /* the gate's end */
};

/*
 * Starts the program with a model and a configuration: `speech` and `limits` are lines of those sections
 * ("states: 1", "queue: 2"), or NULL.
 */
struct worker_process worker_start(const char *program, struct bb_view model, const char *speech,
                                   const char *limits);
/* Closes the gate's end and waits; returns the status as waitpid(2) gives it. */
int worker_stop(struct worker_process *worker);
/* Processor time used so far, in milliseconds. */
long worker_cpu_ms(const struct worker_process *worker);

#endif
