/* See report.h. Sentences quote strangers: control characters are replaced, and text need not be UTF-8. */
#include "cli/report.h"

#include <stdio.h>

#include "cli/show.h"
#include "cli/text.h"

void bb_cli_report_print(const struct bb_report *report) {
    for (size_t i = 0; report != NULL && i < bb_report_count(report); i++) {
        fputs(bb_report_err(report, i) == BB_OK ? "passed  " : "FAILED  ", stdout);
        bb_cli_print_safely(stdout, bb_report_name(report, i));
        fputs(": ", stdout);
        bb_cli_print_safely(stdout, bb_report_sentence(report, i));
        putchar('\n');
    }
}

json_t *bb_cli_report_to_json(const struct bb_report *report) {
    json_t *checks = json_array();
    for (size_t i = 0; report != NULL && i < bb_report_count(report); i++) {
        enum bb_err err = bb_report_err(report, i);
        json_t *check = json_pack("{s:o, s:b, s:s, s:o}", "name", bb_cli_json_text(bb_report_name(report, i)),
                                  "passed", err == BB_OK, "code", bb_err_name(err), "sentence",
                                  bb_cli_json_text(bb_report_sentence(report, i)));
        if (json_array_append_new(checks, check) != 0) {
            json_decref(checks);
            return NULL;
        }
    }
    return checks;
}
