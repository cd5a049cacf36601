/* bb_verify_document(): see blindbox/verify.h. */
#include "attest/judge.h"

enum bb_err bb_verify_document(const uint8_t *bytes, size_t len, const struct bb_policy *policy,
                               const struct bb_expectation *expectation, int64_t now_ms,
                               struct bb_report *report, struct bb_document **document) {
    struct bb_verdict verdict;
    struct bb_document *judged;
    bb_verdict_init(&verdict, report);
    if (policy == NULL || document == NULL || (bytes == NULL && len > 0) || !bb_judge_time_is_sane(now_ms))
        return bb_verdict_fail(&verdict, BB_ERR_ARGUMENT, "Arguments", "%s",
                               bb_err_sentence(BB_ERR_ARGUMENT));
    const struct bb_judging_input input = {
        .bytes = bb_view(bytes, len), .policy = policy, .expectation = expectation, .now_ms = now_ms};
    bb_judge_document(&input, &verdict, &judged);
    return bb_judge_finish(&verdict, BB_STAGES_OF_DOCUMENT, judged, document);
}
