/*
 * init after it has booted: starts the roles, wires them, answers the gate, starts again what dies, ends
 * everything in order (docs/ARCHITECTURE.md section 2). It trusts its children with nothing but their own
 * task: what comes from the gate is read strictly, and a gate that breaks the protocol is ended and started
 * anew.
 */
#ifndef BB_ENCLAVE_SUPERVISOR_H
#define BB_ENCLAVE_SUPERVISOR_H

#include "enclave/nsm.h"

#define BB_RESTART_MAX       5     /* deaths of one role … */
#define BB_RESTART_WINDOW_MS 60000 /* … within this time; one more ends the enclave */
#define BB_DRAIN_MS          7000  /* from SIGTERM until the gate is killed; it drains for 5 s itself */
#define BB_WORKER_END_MS     2000  /* from SIGTERM until a worker is killed */

/* What the roles are given. All borrowed. */
struct bb_roles {
    const char *speech_path;
    int config_fd, model_fd, listen_fd;
    struct bb_nsm *nsm;
};

/*
 * Runs until SIGTERM, SIGINT or SIGHUP (BB_OK, everything ended in order), or until the enclave cannot go on:
 * an error, with a sentence in reason, and all roles ended. on_ready is called once, when the gate first says
 * it is.
 */
BB_MUST_USE enum bb_err bb_supervise(const struct bb_roles *roles, void (*on_ready)(void *context),
                                     void *context, struct bb_buf *reason);

#endif
