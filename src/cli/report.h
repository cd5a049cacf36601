/* The checks of a verification, for people and for programs. */
#ifndef BB_CLI_REPORT_H
#define BB_CLI_REPORT_H

#include <jansson.h>

#include <blindbox/verify.h>

/* One line for each check on standard output: "passed  NAME: SENTENCE" or "FAILED  NAME: SENTENCE". */
void bb_cli_report_print(const struct bb_report *report);
/* An array of {"name", "passed", "code", "sentence"}; report may be NULL. NULL when out of memory. */
json_t *bb_cli_report_to_json(const struct bb_report *report);

#endif
