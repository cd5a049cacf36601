/* What a role of the enclave gives up before it meets any data: the ways in which its memory could leave it.
 */
#ifndef BB_ENCLAVE_HARDEN_H
#define BB_ENCLAVE_HARDEN_H

#include "base/bytes.h"

/*
 * No core dumps, no tracing by other processes (PR_SET_DUMPABLE 0; left out under sanitizers, whose leak
 * check traces), no privileges gained by exec, SIGPIPE ignored. Call first thing: exec resets the dumpable
 * flag.
 */
BB_MUST_USE enum bb_err bb_role_harden(void);

#endif
