/* A good document of a forge, and the policy that accepts it: what the verifier's tests start from. */
#ifndef BB_TEST_FIXTURE_H
#define BB_TEST_FIXTURE_H

#include <blindbox/verify.h>

#include "forge.h"

#define FIXTURE_NOW_MS INT64_C(1767268800000) /* 2026-01-01T12:00:00Z */

/* Expects PCR0, 1, 2 and 8 as forge_init() sets them, and trusts the forge's root. */
struct bb_policy *fixture_policy(const struct forge *forge);
void fixture_expect_pcr(struct bb_policy *policy, unsigned index, uint8_t fill);
void fixture_trust_root(struct bb_policy *policy, const struct forge *forge);
/* A P-256 certificate that carries the forge's document about its own key. */
void fixture_evidence_cert(struct forge *forge, struct bb_key *key, struct bb_buf *der);
/* Does the sentence match a pattern of fnmatch(3)? Fails the test with both when not. */
void fixture_assert_sentence(const char *sentence, const char *pattern);

#endif
