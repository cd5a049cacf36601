/* See emulator_chain.h. */
#include "host/emulator_chain.h"

#include <stdio.h>

#include "base/hex.h"

#define SECOND_MS   INT64_C(1000)
#define HOUR_MS     (INT64_C(3600) * SECOND_MS)
#define DAY_MS      (INT64_C(24) * HOUR_MS)
#define BACKDATE_MS (3 * SECOND_MS) /* as AWS's leaves */

enum naming { NAMED_AT_RANDOM, NAMED_AFTER_INSTANCE, NAMED_AFTER_MODULE };

static const struct {
    enum naming naming;
    const char *suffix;
    int64_t life_ms;
    bool ca;
    int path_length;
} forms[BB_LEVEL_COUNT] = {
    [BB_LEVEL_REGIONAL] = {NAMED_AT_RANDOM, "dev.nitro-enclaves", 20 * DAY_MS, true, 2},
    [BB_LEVEL_ZONAL] = {NAMED_AT_RANDOM, "zonal.dev.nitro-enclaves", 5 * DAY_MS, true, 1},
    [BB_LEVEL_INSTANCE] = {NAMED_AFTER_INSTANCE, "dev.nitro-enclaves", DAY_MS, true, 0},
    [BB_LEVEL_LEAF] = {NAMED_AFTER_MODULE, "dev", 3 * HOUR_MS, false, -1},
};

void bb_emulator_chain_init(struct bb_emulator_chain *chain, const struct bb_devroot *root,
                            const char *instance_id, const char *module_id) {
    *chain = (struct bb_emulator_chain){.root = root, .instance_id = instance_id, .module_id = module_id};
}

static void drop(struct bb_emulator_chain *chain, size_t level) {
    bb_key_free(chain->levels[level].key);
    bb_cert_free(chain->levels[level].cert);
    chain->levels[level].key = NULL;
    chain->levels[level].cert = NULL;
}

void bb_emulator_chain_done(struct bb_emulator_chain *chain) {
    for (size_t level = 0; level < BB_LEVEL_COUNT; level++)
        drop(chain, level);
}

static bool is_due(const struct bb_emulator_chain *chain, size_t level, int64_t now_ms) {
    int64_t age_ms = now_ms - chain->levels[level].made_ms;
    return chain->levels[level].cert == NULL || age_ms < 0 || age_ms > forms[level].life_ms / 2;
}

static enum bb_err make_name(const struct bb_emulator_chain *chain, size_t level, struct bb_buf *out) {
    uint8_t random[8];
    char hex[2 * sizeof random + 1];
    const char *name = hex;
    enum bb_err err = bb_random(random, sizeof random);
    if (err != BB_OK)
        return err;
    bb_hex_encode(bb_view(random, sizeof random), hex);
    if (forms[level].naming == NAMED_AFTER_INSTANCE)
        name = chain->instance_id;
    if (forms[level].naming == NAMED_AFTER_MODULE)
        name = chain->module_id;
    return bb_buf_printf(out, "SIMULATED.%s.%s", name, forms[level].suffix);
}

static enum bb_err make_level(struct bb_emulator_chain *chain, size_t level, int64_t now_ms) {
    bool top = level == 0;
    struct bb_buf name BB_CLEANUP_BUF = BB_BUF_INIT(64); /* ub-common-name, RFC 5280 appendix A */
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(BB_EMULATOR_CERT_MAX);
    enum bb_err err = bb_key_generate(BB_CURVE_P384, &chain->levels[level].key);
    if (err == BB_OK)
        err = make_name(chain, level, &name);
    if (err != BB_OK)
        return err;
    struct bb_cert_request request = {
        .common_name = bb_buf_str(&name),
        .organization = "BlindBox development",
        .subject_key = chain->levels[level].key,
        .issuer_key = top ? bb_devroot_key(chain->root) : chain->levels[level - 1].key,
        .issuer = top ? bb_devroot_cert(chain->root) : chain->levels[level - 1].cert,
        .not_before_ms = now_ms - BACKDATE_MS,
        .not_after_ms = now_ms + forms[level].life_ms,
        .ca = forms[level].ca,
        .path_length = forms[level].path_length,
    };
    err = bb_cert_make(&request, &der);
    if (err == BB_OK)
        err = bb_cert_parse(bb_buf_view(&der), &chain->levels[level].cert);
    if (err == BB_OK)
        chain->levels[level].made_ms = now_ms;
    return err;
}

enum bb_err bb_emulator_chain_renew(struct bb_emulator_chain *chain, int64_t now_ms) {
    size_t level = 0;
    while (level < BB_LEVEL_COUNT && !is_due(chain, level, now_ms))
        level++;
    for (size_t below = level; below < BB_LEVEL_COUNT; below++)
        drop(chain, below);
    enum bb_err err = BB_OK;
    for (; err == BB_OK && level < BB_LEVEL_COUNT; level++)
        err = make_level(chain, level, now_ms);
    return err;
}
