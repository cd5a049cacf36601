/* The verification of one document, shared by bb_verify_document() and bb_verify_certificate(). */
#ifndef BB_ATTEST_JUDGE_H
#define BB_ATTEST_JUDGE_H

#include "attest/document.h"

struct bb_judging_input {
    struct bb_view bytes;
    const struct bb_policy *policy;
    const struct bb_expectation *expectation; /* may be NULL */
    int64_t now_ms;
};

/*
 * Runs every check that can be run and notes it in the verdict. *document is the parsed document when there
 * is one (whether it is to be trusted, only the verdict says), else NULL; the caller frees it.
 */
void bb_judge_document(const struct bb_judging_input *input, struct bb_verdict *verdict,
                       struct bb_document **document);
/* Ends a verification: gives the document out when the verdict over the named stages is good, else frees it.
 */
BB_MUST_USE enum bb_err bb_judge_finish(const struct bb_verdict *verdict, unsigned stages,
                                        struct bb_document *judged, struct bb_document **document);
bool bb_judge_time_is_sane(int64_t now_ms);

#endif
