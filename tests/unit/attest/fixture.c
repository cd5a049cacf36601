/* See fixture.h. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fnmatch.h>

#define ok(call) assert_int_equal((call), BB_OK)

void fixture_expect_pcr(struct bb_policy *policy, unsigned index, uint8_t fill) {
    uint8_t value[BB_PCR_LEN];
    memset(value, fill, sizeof value);
    ok(bb_policy_expect_pcr(policy, index, value));
}

void fixture_trust_root(struct bb_policy *policy, const struct forge *forge) {
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    forge_root_pem(forge, &pem);
    ok(bb_policy_trust_root_pem(policy, bb_buf_str(&pem), pem.len));
}

struct bb_policy *fixture_policy(const struct forge *forge) {
    struct bb_policy *policy = bb_policy_new();
    assert_non_null(policy);
    fixture_trust_root(policy, forge);
    fixture_expect_pcr(policy, 0, 0x10);
    fixture_expect_pcr(policy, 1, 0x11);
    fixture_expect_pcr(policy, 2, 0x12);
    fixture_expect_pcr(policy, 8, 0x18);
    return policy;
}

void fixture_evidence_cert(struct forge *forge, struct bb_key *key, struct bb_buf *der) {
    struct bb_buf spki BB_CLEANUP_BUF = BB_BUF_INIT(256), document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    ok(bb_key_spki(key, &spki));
    forge_field_set_bytes(forge, "public_key", bb_buf_view(&spki));
    forge_build(forge, &document);
    const struct bb_cert_request request = {
        .common_name = "BlindBox enclave",
        .subject_key = key,
        .issuer_key = key,
        .not_before_ms = FIXTURE_NOW_MS - 300000,
        .not_after_ms = FIXTURE_NOW_MS + 86400000,
        .path_length = -1,
        .evidence = bb_buf_view(&document),
    };
    ok(bb_cert_make(&request, der));
}

void fixture_assert_sentence(const char *sentence, const char *pattern) {
    if (sentence == NULL || fnmatch(pattern, sentence, 0) != 0)
        fail_msg("sentence \"%s\", expected \"%s\"", sentence == NULL ? "(none)" : sentence, pattern);
}
