/* The last thing that a role does before it serves: giving up every system call that serving does not need.
 */
#ifndef BB_ENCLAVE_CONFINE_H
#define BB_ENCLAVE_CONFINE_H

#include "base/bytes.h"

enum bb_role_kind { BB_ROLE_GATE = 1, BB_ROLE_SPEECH = 2 };

/*
 * Allows only the system calls of confine.c's table, in all threads, for good (seccomp(2)). Opening files
 * fails with EACCES in the gate and is read-only in the worker; anything else that is not in the table (exec,
 * socket, ptrace, …) ends the process with SIGSYS, which init sees and says. Memory can no longer be made
 * executable. Call it when everything is loaded and connected; new threads may still be started (not
 * processes). Does nothing when built with sanitizers. BB_ERR_IO when the kernel refuses.
 */
BB_MUST_USE enum bb_err bb_role_confine(enum bb_role_kind role);

#endif
