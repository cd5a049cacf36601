/*
 * What a verification has found so far. It denies until every stage has been passed by name and nothing has
 * failed: a stage that somebody forgets to run is a refusal, not a pass.
 */
#ifndef BB_ATTEST_VERDICT_H
#define BB_ATTEST_VERDICT_H

#include "attest/report.h"

enum bb_stage {
    BB_STAGE_POLICY = 1 << 0,
    BB_STAGE_FORM = 1 << 1,
    BB_STAGE_ALGORITHM = 1 << 2,
    BB_STAGE_DOCUMENT = 1 << 3,
    BB_STAGE_CHAIN = 1 << 4,
    BB_STAGE_SIGNATURE = 1 << 5,
    BB_STAGE_AGE = 1 << 6,
    BB_STAGE_MEASUREMENTS = 1 << 7,
    BB_STAGE_EXPECTATION = 1 << 8,
    BB_STAGE_CERTIFICATE = 1 << 9, /* of bb_verify_certificate() only */
    BB_STAGE_BINDING = 1 << 10,    /* of bb_verify_fresh() only */
    BB_STAGES_OF_DOCUMENT = (1 << 9) - 1,
    BB_STAGES_OF_CERTIFICATE = (1 << 10) - 1,
    BB_STAGES_OF_FRESH = BB_STAGES_OF_DOCUMENT | BB_STAGE_BINDING,
};

struct bb_verdict {
    struct bb_report *report; /* NULL: nobody wants the sentences */
    enum bb_err first;        /* the first failure */
    unsigned passed;          /* stages */
};

void bb_verdict_init(struct bb_verdict *verdict, struct bb_report *report);
void bb_verdict_pass(struct bb_verdict *verdict, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Returns err. */
enum bb_err bb_verdict_fail(struct bb_verdict *verdict, enum bb_err err, const char *name, const char *format,
                            ...) __attribute__((format(printf, 4, 5)));
/* Ends a stage with its result. */
void bb_verdict_end_stage(struct bb_verdict *verdict, enum bb_stage stage, enum bb_err err);
/* BB_OK only when all the named stages were passed and nothing failed. */
BB_MUST_USE enum bb_err bb_verdict_result(const struct bb_verdict *verdict, unsigned stages);

#endif
