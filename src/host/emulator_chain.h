/*
 * The certificates under which the NSM emulator signs: development root, then regional, zonal, instance and
 * leaf certificate with the names and lives of AWS's, each with a key of its own. A certificate is made anew,
 * with all below it, once half of its life is over, so that evidence signed now can be checked for a good
 * while.
 */
#ifndef BB_HOST_EMULATOR_CHAIN_H
#define BB_HOST_EMULATOR_CHAIN_H

#include "base/bytes.h"
#include "host/devroot.h"

enum bb_emulator_level {
    BB_LEVEL_REGIONAL,
    BB_LEVEL_ZONAL,
    BB_LEVEL_INSTANCE,
    BB_LEVEL_LEAF,
    BB_LEVEL_COUNT
};

#define BB_EMULATOR_CERT_MAX 1024u /* bytes of a certificate (attestation_process.md, section 3.1) */

struct bb_emulator_chain {
    const struct bb_devroot *root; /* borrowed, like the names */
    const char *instance_id;
    const char *module_id;
    struct {
        struct bb_key *key;
        struct bb_cert *cert;
        int64_t made_ms;
    } levels[BB_LEVEL_COUNT];
};

void bb_emulator_chain_init(struct bb_emulator_chain *chain, const struct bb_devroot *root,
                            const char *instance_id, const char *module_id);
void bb_emulator_chain_done(struct bb_emulator_chain *chain);
/* Makes whatever is missing or due at now_ms. On failure the chain may lack levels: call again. */
BB_MUST_USE enum bb_err bb_emulator_chain_renew(struct bb_emulator_chain *chain, int64_t now_ms);

#endif
