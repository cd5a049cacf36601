/*
 * What happens before the enclave serves anybody: read the configuration, fetch the model, record both in the
 * NSM's registers and lock these, only then listen.
 */
#ifndef BB_ENCLAVE_BOOT_H
#define BB_ENCLAVE_BOOT_H

#include "base/endpoint.h"
#include "enclave/config.h"
#include "enclave/nsm.h"

#define BB_PCR_SPEECH_MODEL 16u
#define BB_PCR_TEXT_MODEL   17u
#define BB_PCR_CONFIG       18u

struct bb_boot_options {
    struct bb_endpoint nsm, store, listen;
    const char *config_path;
};

struct bb_boot {
    struct bb_config config;
    struct bb_nsm nsm;
    int store_fd;  /* kept open: the store lives as long as the enclave */
    int config_fd; /* sealed memory files */
    int model_fd;
    int listen_fd;
    char address[80]; /* where it listens */
};

/* On failure a sentence is appended to reason. Give `out` back with bb_boot_done() in any case. */
BB_MUST_USE enum bb_err bb_boot(const struct bb_boot_options *options, struct bb_boot *out,
                                struct bb_buf *reason);
void bb_boot_done(struct bb_boot *boot);
#define BB_CLEANUP_BOOT __attribute__((cleanup(bb_boot_done)))

/* Reads and checks a configuration file, "blindbox.yml" or any other path. */
BB_MUST_USE enum bb_err bb_boot_read_config(const char *path, struct bb_buf *yaml, struct bb_config *out,
                                            struct bb_buf *reason);

#endif
