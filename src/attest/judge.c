/*
 * The order of the checks on a document. A later check runs although an earlier one failed wherever there is
 * something to judge, so that the report tells all; the verdict's first failure is the result.
 */
#include "attest/judge.h"

#include <stdio.h>

#include "attest/chain.h"
#include "attest/cose.h"
#include "attest/policy_internal.h"
#include "attest/text.h"

bool bb_judge_time_is_sane(int64_t now_ms) {
    return now_ms >= 0 && now_ms <= BB_TIME_MAX_MS;
}

static enum bb_err check_policy(const struct bb_policy *policy, struct bb_verdict *verdict) {
    static const char name[] = "Policy";
    enum bb_err err = BB_OK;
    size_t pcrs = bb_policy_expected_count(policy);
    if (pcrs == 0)
        err = bb_verdict_fail(verdict, BB_ERR_POLICY_EMPTY, name, "%s", bb_err_sentence(BB_ERR_POLICY_EMPTY));
    if (policy->root_count == 0)
        err = bb_verdict_fail(verdict, BB_ERR_POLICY_NO_ROOT, name, "%s",
                              bb_err_sentence(BB_ERR_POLICY_NO_ROOT));
    if (err == BB_OK)
        bb_verdict_pass(verdict, name, "%zu PCR%s expected, %zu root%s trusted", pcrs, pcrs == 1 ? "" : "s",
                        policy->root_count, policy->root_count == 1 ? "" : "s");
    return err;
}

static enum bb_err check_form(struct bb_view bytes, struct bb_cose *cose, struct bb_verdict *verdict) {
    const char *reason = "";
    enum bb_err err = bb_cose_read(bytes, cose, &reason);
    if (err != BB_OK)
        return bb_verdict_fail(verdict, err, "COSE_Sign1", "the evidence is not one COSE_Sign1 message: %s",
                               reason);
    bb_verdict_pass(verdict, "COSE_Sign1", "%zu bytes, %s", bytes.len, cose->tagged ? "tagged" : "untagged");
    return BB_OK;
}

static enum bb_err check_signature(const struct bb_cose *cose, const struct bb_chain *chain,
                                   struct bb_verdict *verdict) {
    static const char name[] = "Signature";
    const struct bb_cert *leaf = bb_chain_leaf(chain);
    if (leaf == NULL)
        return BB_ERR_COSE_SIGNATURE; /* that there is no leaf is in the report already */
    enum bb_err err = bb_cose_verify(cose, leaf);
    if (err == BB_ERR_COSE_SIGNATURE_LENGTH)
        return err; /* reported by bb_cose_check() */
    if (err != BB_OK)
        return bb_verdict_fail(verdict, err, name,
                               "the document's signature does not verify with the key of %s",
                               bb_cert_common_name(leaf));
    bb_verdict_pass(verdict, name, "the document is signed by %s", bb_cert_common_name(leaf));
    return BB_OK;
}

static enum bb_err check_age(const struct bb_document *document, const struct bb_policy *policy,
                             int64_t now_ms, struct bb_verdict *verdict) {
    static const char name[] = "Document age";
    char made[BB_TIME_TEXT_MAX], now[BB_TIME_TEXT_MAX];
    int64_t age_ms = now_ms - document->timestamp_ms;
    bb_text_time(document->timestamp_ms, made);
    bb_text_time(now_ms, now);
    if (-age_ms > policy->skew_ms)
        return bb_verdict_fail(verdict, BB_ERR_DOCUMENT_FUTURE, name,
                               "the document is dated %s, and it is %s; %lld s ahead are tolerated", made,
                               now, (long long)policy->skew_ms / 1000);
    if (age_ms > policy->max_age_ms)
        return bb_verdict_fail(
            verdict, BB_ERR_DOCUMENT_OLD, name,
            "the document is %lld s old (made %s, and it is %s), at most %lld s are allowed",
            (long long)age_ms / 1000, made, now, (long long)policy->max_age_ms / 1000);
    bb_verdict_pass(verdict, name, "%lld s, at most %lld s are allowed",
                    (long long)(age_ms < 0 ? 0 : age_ms) / 1000, (long long)policy->max_age_ms / 1000);
    return BB_OK;
}

static bool is_zero(const uint8_t pcr[BB_PCR_LEN]) {
    uint8_t any = 0;
    for (size_t i = 0; i < BB_PCR_LEN; i++)
        any |= pcr[i];
    return any == 0;
}

/* In debug mode the hypervisor reports zeros for PCR0, PCR1 and PCR2. Neither PCR0 nor PCR1 can be zero
 * otherwise, as each covers a kernel; a document that leaves one out proves nothing about the mode. */
static enum bb_err check_debug(const struct bb_document *document, const struct bb_policy *policy,
                               struct bb_verdict *verdict) {
    static const char name[] = "Debug mode";
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *pcr = document->pcrs[i];
        if (pcr != NULL && !is_zero(pcr))
            continue;
        if (policy->allow_debug) {
            bb_verdict_pass(verdict, name, "PCR%u is %s: debug mode, which the policy allows", i,
                            pcr == NULL ? "missing" : "zero");
            return BB_OK;
        }
        if (pcr == NULL)
            return bb_verdict_fail(verdict, BB_ERR_PCR_MISSING, name,
                                   "PCR%u is missing, so that debug mode cannot be ruled out", i);
        return bb_verdict_fail(
            verdict, BB_ERR_DEBUG_MODE, name,
            "PCR%u is zero: the enclave runs in debug mode, in which its operator can read "
            "everything",
            i);
    }
    bb_verdict_pass(verdict, name, "off: PCR0 and PCR1 are not zero");
    return BB_OK;
}

static enum bb_err check_pcr(const struct bb_document *document, const struct bb_policy *policy,
                             unsigned index, struct bb_verdict *verdict) {
    char name[8], actual[BB_PCR_TEXT_MAX], expected[BB_PCR_TEXT_MAX];
    snprintf(name, sizeof name, "PCR%u", index);
    bb_text_pcr(policy->pcrs[index], expected);
    const uint8_t *pcr = document->pcrs[index];
    if (pcr == NULL)
        return bb_verdict_fail(verdict, BB_ERR_PCR_MISSING, name, "PCR%u is missing, expected %s", index,
                               expected);
    bb_text_pcr(pcr, actual);
    if (!bb_view_equal(bb_view(pcr, BB_PCR_LEN), bb_view(policy->pcrs[index], BB_PCR_LEN)))
        return bb_verdict_fail(verdict, BB_ERR_PCR_MISMATCH, name, "PCR%u is %s, expected %s", index, actual,
                               expected);
    bb_verdict_pass(verdict, name, "%s, as expected", actual);
    return BB_OK;
}

static enum bb_err check_measurements(const struct bb_document *document, const struct bb_policy *policy,
                                      struct bb_verdict *verdict) {
    enum bb_err first = check_debug(document, policy, verdict);
    for (unsigned i = 0; i < BB_PCR_COUNT; i++) {
        enum bb_err err = policy->expects_pcr[i] ? check_pcr(document, policy, i, verdict) : BB_OK;
        if (first == BB_OK)
            first = err;
    }
    return first;
}

struct bound_field {
    const char *name, *noun;
    enum bb_err err;
    struct bb_view actual, expected;
};

static enum bb_err check_field(const struct bound_field *field, struct bb_verdict *verdict) {
    char actual[BB_BYTES_TEXT_MAX], expected[BB_BYTES_TEXT_MAX];
    if (field->expected.data == NULL)
        return BB_OK;
    bb_text_bytes(field->actual, actual);
    bb_text_bytes(field->expected, expected);
    bool equal = field->actual.data != NULL && bb_view_equal_consttime(field->actual, field->expected);
    if (!equal)
        return bb_verdict_fail(verdict, field->err, field->name, "the document's %s is %s, expected %s",
                               field->noun, actual, expected);
    bb_verdict_pass(verdict, field->name, "%s, as expected", actual);
    return BB_OK;
}

static enum bb_err check_expectation(const struct bb_document *document, const struct bb_expectation *e,
                                     struct bb_verdict *verdict) {
    if (e == NULL)
        return BB_OK;
    const struct bound_field fields[] = {
        {"Public key", "public key", BB_ERR_KEY_BINDING, document->public_key,
         bb_view(e->public_key, e->public_key_len)},
        {"Nonce", "nonce", BB_ERR_NONCE, document->nonce, bb_view(e->nonce, e->nonce_len)},
        {"User data", "user data", BB_ERR_USER_DATA, document->user_data,
         bb_view(e->user_data, e->user_data_len)},
    };
    enum bb_err first = BB_OK;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        enum bb_err err = check_field(&fields[i], verdict);
        if (first == BB_OK)
            first = err;
    }
    return first;
}

static void judge_content(const struct bb_judging_input *input, const struct bb_document *document,
                          const struct bb_cose *cose, struct bb_verdict *verdict) {
    struct bb_chain chain BB_CLEANUP_CHAIN = {0};
    enum bb_err err = bb_chain_load(&chain, document, verdict);
    enum bb_err judged = bb_chain_check(&chain, input->policy, input->now_ms, verdict);
    bb_verdict_end_stage(verdict, BB_STAGE_CHAIN, err != BB_OK ? err : judged);
    bb_verdict_end_stage(verdict, BB_STAGE_SIGNATURE, check_signature(cose, &chain, verdict));
    bb_verdict_end_stage(verdict, BB_STAGE_AGE, check_age(document, input->policy, input->now_ms, verdict));
    bb_verdict_end_stage(verdict, BB_STAGE_MEASUREMENTS,
                         check_measurements(document, input->policy, verdict));
    bb_verdict_end_stage(verdict, BB_STAGE_EXPECTATION,
                         check_expectation(document, input->expectation, verdict));
}

void bb_judge_document(const struct bb_judging_input *input, struct bb_verdict *verdict,
                       struct bb_document **document) {
    struct bb_cose cose;
    *document = NULL;
    bb_verdict_end_stage(verdict, BB_STAGE_POLICY, check_policy(input->policy, verdict));
    if (input->bytes.len > BB_DOCUMENT_MAX) {
        bb_verdict_fail(verdict, BB_ERR_TOO_LARGE, "COSE_Sign1", "the evidence is %zu bytes long, at most %u",
                        input->bytes.len, BB_DOCUMENT_MAX);
        return;
    }
    enum bb_err err = bb_document_new(input->bytes, document);
    if (err != BB_OK) {
        bb_verdict_fail(verdict, err, "COSE_Sign1", "%s", bb_err_sentence(err));
        return;
    }
    err = check_form(bb_buf_view(&(*document)->bytes), &cose, verdict);
    bb_verdict_end_stage(verdict, BB_STAGE_FORM, err);
    if (err != BB_OK)
        return;
    bb_verdict_end_stage(verdict, BB_STAGE_ALGORITHM, bb_cose_check(&cose, verdict));
    err = bb_document_read(*document, cose.payload, verdict);
    bb_verdict_end_stage(verdict, BB_STAGE_DOCUMENT, err);
    if (err == BB_OK)
        judge_content(input, *document, &cose, verdict);
}

enum bb_err bb_judge_finish(const struct bb_verdict *verdict, unsigned stages, struct bb_document *judged,
                            struct bb_document **document) {
    enum bb_err err = bb_verdict_result(verdict, stages);
    if (err == BB_OK)
        *document = judged;
    else
        bb_document_free(judged);
    return err;
}
