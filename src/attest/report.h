/* The list of checks behind bb_report, as src/attest fills it. */
#ifndef BB_ATTEST_REPORT_H
#define BB_ATTEST_REPORT_H

#include "base/bytes.h"
#include <blindbox/verify.h>

#define BB_REPORT_MAX_CHECKS   256u
#define BB_REPORT_MAX_SENTENCE 4096u

void bb_report_clear(struct bb_report *report);
/* Adds a check; takes the sentence's memory over. BB_ERR_NO_MEMORY, BB_ERR_TOO_LARGE. */
BB_MUST_USE enum bb_err bb_report_add(struct bb_report *report, const char *name, enum bb_err err,
                                      struct bb_buf *sentence);
/* Adds copies of another report's checks, each name behind a heading. The same errors. */
BB_MUST_USE enum bb_err bb_report_add_all(struct bb_report *report, const char *heading,
                                          const struct bb_report *other);

#endif
