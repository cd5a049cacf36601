/* What the launcher's files share: a prepared launch. */
#ifndef BB_HOST_LAUNCHER_INTERNAL_H
#define BB_HOST_LAUNCHER_INTERNAL_H

#include "host/launcher.h"

struct bb_launch {
    const char *name;
    int lock;                           /* holds the claim on the name */
    struct bb_buf state, cache;         /* folders */
    struct bb_buf blindboxd, speech;    /* the enclave's programs */
    struct bb_buf config, measurements; /* files in the enclave's folder */
    struct bb_endpoint listen;
    struct bb_measurements expected;
    struct bb_record record;
};

#endif
