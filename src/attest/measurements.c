/*
 * Expected measurements out of a JSON file: see bb_policy_load_measurements() in blindbox/policy.h. The file
 * is the user's own; still every key that is not understood is refused, because it may be a check that the
 * user meant.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "attest/policy_internal.h"
#include "base/hex.h"

#define MEASUREMENTS_MAX (64u * 1024)

/* "PCR0" to "PCR31", in that one spelling. */
static bool parse_pcr_key(const char *key, unsigned *index) {
    char spelled[8];
    for (unsigned i = 0; i < BB_PCR_COUNT; i++) {
        snprintf(spelled, sizeof spelled, "PCR%u", i);
        if (strcmp(key, spelled) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

static enum bb_err read_pcr(struct bb_policy *policy, unsigned index, const json_t *value) {
    uint8_t pcr[BB_PCR_LEN];
    if (!json_is_string(value))
        return BB_ERR_JSON;
    struct bb_view text = bb_view(json_string_value(value), json_string_length(value));
    if (bb_hex_decode(text, pcr, sizeof pcr) != BB_OK)
        return BB_ERR_JSON;
    return bb_policy_expect_pcr(policy, index, pcr);
}

/* nitro-cli writes "Sha384 { ... }", the Debug form of a Rust type. */
static bool is_sha384(const json_t *value) {
    return json_is_string(value) && strncmp(json_string_value(value), "Sha384", 6) == 0;
}

static enum bb_err read_measurements(struct bb_policy *policy, json_t *object) {
    const char *key;
    json_t *value;
    size_t pcrs = 0;
    if (!json_is_object(object))
        return BB_ERR_JSON;
    json_object_foreach(object, key, value) {
        unsigned index;
        enum bb_err err = BB_OK;
        if (parse_pcr_key(key, &index)) {
            err = read_pcr(policy, index, value);
            pcrs++;
        } else if (strcmp(key, "HashAlgorithm") != 0 || !is_sha384(value)) {
            err = BB_ERR_JSON;
        }
        if (err != BB_OK)
            return err;
    }
    return pcrs > 0 ? BB_OK : BB_ERR_POLICY_EMPTY;
}

static void json_cleanup(json_t **json) {
    json_decref(*json);
}

enum bb_err bb_policy_load_measurements(struct bb_policy *policy, const char *json, size_t len) {
    if (len > MEASUREMENTS_MAX)
        return BB_ERR_TOO_LARGE;
    json_error_t error;
    json_t *root __attribute__((cleanup(json_cleanup))) =
        json_loadb(len > 0 ? json : "", len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? BB_ERR_NO_MEMORY : BB_ERR_JSON;
    json_t *inner = json_object_get(root, "Measurements");
    if (inner != NULL && json_object_size(root) != 1)
        return BB_ERR_JSON;
    struct bb_policy changed = *policy;
    enum bb_err err = read_measurements(&changed, inner != NULL ? inner : root);
    if (err == BB_OK)
        *policy = changed;
    return err;
}
