/*
 * Memory that held a caller's data is overwritten when it is given back: our own buffers by bb_buf, and those
 * of libevent, jansson and OpenSSL by the allocator functions that this installs in them. (init sets
 * glibc's perturb tunable as a second net for the rest.)
 */
#ifndef BB_GATE_MEMORY_H
#define BB_GATE_MEMORY_H

#include <blindbox/error.h>

/* Once, before the process's first call of these libraries. */
BB_MUST_USE enum bb_err bb_memory_wipe_on_free(void);

#endif
