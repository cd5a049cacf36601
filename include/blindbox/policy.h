/*
 * What a client demands of an enclave: trusted roots, measurements, age, debug or not.
 *
 * A policy starts out refusing everything: without a root and at least one measurement each verification
 * fails with BB_ERR_POLICY_NO_ROOT or BB_ERR_POLICY_EMPTY. A policy is not changed by verifying; one policy
 * may serve many threads as long as none of them changes it.
 */
#ifndef BLINDBOX_POLICY_H
#define BLINDBOX_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blindbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define BB_PCR_LEN   48u /* bytes of a SHA-384 platform configuration register */
#define BB_PCR_COUNT 32u /* indices 0..31 */

#define BB_POLICY_MAX_AGE_MS_DEFAULT    (60 * 60 * 1000) /* documents older than 1 h are refused */
#define BB_POLICY_CLOCK_SKEW_MS_DEFAULT (5 * 60 * 1000)  /* tolerated difference of clocks */

struct bb_policy;

/* Returns NULL when out of memory. Free with bb_policy_free(). */
struct bb_policy *bb_policy_new(void);
void bb_policy_free(struct bb_policy *policy);

/* Trusts the AWS Nitro Enclaves root G1, pinned by the SHA-256 of its DER encoding (AWS documentation, "Root
 * of trust"). */
BB_MUST_USE enum bb_err bb_policy_trust_aws(struct bb_policy *policy);

/* False as soon as any root but AWS's is trusted (or none is): what such a policy accepts may be simulated.
 */
bool bb_policy_trusts_only_aws(const struct bb_policy *policy);

/* Trusts every certificate in a PEM file's bytes as a root (at most 8 roots in all). BB_ERR_PEM. */
BB_MUST_USE enum bb_err bb_policy_trust_root_pem(struct bb_policy *policy, const char *pem, size_t len);

/*
 * Reads expected measurements from JSON: nitro-cli's form {"Measurements":{"HashAlgorithm":"Sha384 { ...
 * }","PCR0":"…"}} or its inner object alone; keys PCR0..PCR31, 96 hexadecimal digits each. Unknown keys are
 * refused, so that a typing error cannot switch a check off: BB_ERR_JSON. A file that names no PCR is
 * BB_ERR_POLICY_EMPTY. Replaces nothing: a PCR that the policy has already is BB_ERR_ARGUMENT. More than
 * 64 KiB: BB_ERR_TOO_LARGE. On failure the policy is as it was.
 */
BB_MUST_USE enum bb_err bb_policy_load_measurements(struct bb_policy *policy, const char *json, size_t len);

/* Demands one PCR value. index 0..31. */
BB_MUST_USE enum bb_err bb_policy_expect_pcr(struct bb_policy *policy, unsigned index,
                                             const uint8_t value[BB_PCR_LEN]);

/* The value that the policy demands of a PCR (BB_PCR_LEN bytes), or NULL when it demands none. */
const uint8_t *bb_policy_expected_pcr(const struct bb_policy *policy, unsigned index);

/*
 * Documents whose age exceeds max_age_ms are refused; a document dated more than skew_ms ahead of the clock
 * too. A certificate may likewise start up to skew_ms after the clock (AWS's leaf is as young as the
 * document); its end has no tolerance. Negative values count as 0.
 */
void bb_policy_set_max_age_ms(struct bb_policy *policy, int64_t max_age_ms);
void bb_policy_set_clock_skew_ms(struct bb_policy *policy, int64_t skew_ms);

/* Accept enclaves in debug mode, in which the operator can read everything: PCR0 or PCR1 is zero
 * (BB_ERR_DEBUG_MODE) or missing (BB_ERR_PCR_MISSING). Off at the start. Expected PCRs are still compared. */
void bb_policy_allow_debug(struct bb_policy *policy, bool allow);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
