/* What is in a policy, for the files of src/attest. */
#ifndef BB_ATTEST_POLICY_INTERNAL_H
#define BB_ATTEST_POLICY_INTERNAL_H

#include "base/bytes.h"
#include "crypto/hash.h"
#include <blindbox/policy.h>

#define BB_POLICY_MAX_ROOTS 8u

/* Clock values outside of 1970-01-01 to 9999-12-31 are refused; so no sum of times here can overflow. */
#define BB_TIME_MAX_MS INT64_C(253402300799999)

/* Plain data, so that a change can be tried on a copy. */
struct bb_policy {
    uint8_t roots[BB_POLICY_MAX_ROOTS][BB_SHA256_LEN]; /* SHA-256 of the certificates' DER */
    size_t root_count;
    uint8_t pcrs[BB_PCR_COUNT][BB_PCR_LEN];
    bool expects_pcr[BB_PCR_COUNT];
    int64_t max_age_ms, skew_ms;
    bool allow_debug;
};

bool bb_policy_trusts(const struct bb_policy *policy, const uint8_t root_sha256[BB_SHA256_LEN]);
size_t bb_policy_expected_count(const struct bb_policy *policy);
/* SHA-256 of the AWS Nitro Enclaves root G1. */
extern const uint8_t bb_aws_root_sha256[BB_SHA256_LEN];

#endif
