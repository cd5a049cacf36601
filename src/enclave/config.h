/* blindbox.yml, the service's configuration (docs/ARCHITECTURE.md section 6). */
#ifndef BB_ENCLAVE_CONFIG_H
#define BB_ENCLAVE_CONFIG_H

#include "base/bytes.h"
#include "enclave/limits.h"

#define BB_CONFIG_MAX 65536u /* bytes of the file */

struct bb_config {
    uint8_t speech_model_sha256[32];
    char speech_name[65];    /* [A-Za-z0-9._-]{1,64} */
    char speech_language[9]; /* ISO 639-1 code or "auto" */
    unsigned speech_states;  /* 0: as many as cores / threads */
    unsigned speech_threads; /* ≥ 1 */
    bool speech_fallback;    /* try a window again, warmer, when its text looks wrong */
    unsigned evidence_renew_seconds;
    struct bb_limits limits;
};

/*
 * Reads and checks a configuration. BB_ERR_CONFIG with a sentence in reason (line where known, field, what is
 * allowed).
 */
BB_MUST_USE enum bb_err bb_config_parse(struct bb_view yaml, struct bb_config *out, struct bb_buf *reason);
/* The same from a sealed memory file that init passed on. */
BB_MUST_USE enum bb_err bb_config_from_fd(int fd, struct bb_config *out, struct bb_buf *reason);

#endif
