/* A client's demands: see blindbox/policy.h. Measurement files are read in measurements.c. */
#include <stdlib.h>
#include <string.h>

#include "attest/policy_internal.h"
#include "crypto/cert.h"

/*
 * AWS documentation, "Verifying the root of trust": root.pem in AWS_NitroEnclaves_Root-G1.zip,
 * CN=aws.nitro-enclaves, valid 2019-10-28 to 2049-10-28, certificate fingerprint (SHA-256)
 * 64:1A:03:21:A3:E2:44:EF:E4:56:46:31:95:D6:06:31:7E:D7:CD:CC:3C:17:56:E0:98:93:F3:C6:8F:79:BB:5B
 */
const uint8_t bb_aws_root_sha256[BB_SHA256_LEN] = {
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31,
    0x7e, 0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
};

struct bb_policy *bb_policy_new(void) {
    struct bb_policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return NULL;
    policy->max_age_ms = BB_POLICY_MAX_AGE_MS_DEFAULT;
    policy->skew_ms = BB_POLICY_CLOCK_SKEW_MS_DEFAULT;
    return policy;
}

void bb_policy_free(struct bb_policy *policy) {
    free(policy);
}

bool bb_policy_trusts(const struct bb_policy *policy, const uint8_t root_sha256[BB_SHA256_LEN]) {
    for (size_t i = 0; i < policy->root_count; i++)
        if (memcmp(policy->roots[i], root_sha256, BB_SHA256_LEN) == 0)
            return true;
    return false;
}

bool bb_policy_trusts_only_aws(const struct bb_policy *policy) {
    return policy->root_count == 1 && memcmp(policy->roots[0], bb_aws_root_sha256, BB_SHA256_LEN) == 0;
}

static enum bb_err trust(struct bb_policy *policy, const uint8_t root_sha256[BB_SHA256_LEN]) {
    if (bb_policy_trusts(policy, root_sha256))
        return BB_OK;
    if (policy->root_count == BB_POLICY_MAX_ROOTS)
        return BB_ERR_TOO_LARGE;
    memcpy(policy->roots[policy->root_count++], root_sha256, BB_SHA256_LEN);
    return BB_OK;
}

enum bb_err bb_policy_trust_aws(struct bb_policy *policy) {
    return trust(policy, bb_aws_root_sha256);
}

/* The first certificate of *pem, which then is what follows it. */
static enum bb_err trust_first(struct bb_policy *policy, struct bb_view *pem) {
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_view rest;
    enum bb_err err = bb_cert_parse_pem(*pem, &cert, &rest);
    if (err != BB_OK)
        return err == BB_ERR_CHAIN_PARSE ? BB_ERR_PEM : err;
    *pem = rest;
    uint8_t digest[BB_SHA256_LEN];
    err = bb_sha256(bb_cert_der(cert), digest);
    return err == BB_OK ? trust(policy, digest) : err;
}

static bool holds_certificate(struct bb_view pem) {
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    return pem.len > 0 && memmem(pem.data, pem.len, begin, sizeof begin - 1) != NULL;
}

enum bb_err bb_policy_trust_root_pem(struct bb_policy *policy, const char *pem, size_t len) {
    struct bb_policy changed = *policy;
    struct bb_view left = bb_view(pem, len);
    if (!holds_certificate(left))
        return BB_ERR_PEM;
    while (holds_certificate(left)) {
        enum bb_err err = trust_first(&changed, &left);
        if (err != BB_OK)
            return err;
    }
    *policy = changed;
    return BB_OK;
}

enum bb_err bb_policy_expect_pcr(struct bb_policy *policy, unsigned index, const uint8_t value[BB_PCR_LEN]) {
    if (index >= BB_PCR_COUNT || value == NULL || policy->expects_pcr[index])
        return BB_ERR_ARGUMENT;
    memcpy(policy->pcrs[index], value, BB_PCR_LEN);
    policy->expects_pcr[index] = true;
    return BB_OK;
}

const uint8_t *bb_policy_expected_pcr(const struct bb_policy *policy, unsigned index) {
    return index < BB_PCR_COUNT && policy->expects_pcr[index] ? policy->pcrs[index] : NULL;
}

size_t bb_policy_expected_count(const struct bb_policy *policy) {
    size_t count = 0;
    for (unsigned i = 0; i < BB_PCR_COUNT; i++)
        count += policy->expects_pcr[i] ? 1 : 0;
    return count;
}

static int64_t clamp(int64_t ms) {
    return ms < 0 ? 0 : ms > BB_TIME_MAX_MS ? BB_TIME_MAX_MS : ms;
}

void bb_policy_set_max_age_ms(struct bb_policy *policy, int64_t max_age_ms) {
    policy->max_age_ms = clamp(max_age_ms);
}

void bb_policy_set_clock_skew_ms(struct bb_policy *policy, int64_t skew_ms) {
    policy->skew_ms = clamp(skew_ms);
}

void bb_policy_allow_debug(struct bb_policy *policy, bool allow) {
    policy->allow_debug = allow;
}
