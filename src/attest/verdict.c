/* See verdict.h. */
#include "attest/verdict.h"

#include <stdarg.h>
#include <stdio.h>

void bb_verdict_init(struct bb_verdict *verdict, struct bb_report *report) {
    *verdict = (struct bb_verdict){.report = report, .first = BB_OK};
    if (report != NULL)
        bb_report_clear(report);
}

static void note_failure(struct bb_verdict *verdict, enum bb_err err) {
    if (verdict->first == BB_OK)
        verdict->first = err;
}

/* A sentence that finds no memory is a failure of the verification: a report is whole or not vouched for. */
static void record(struct bb_verdict *verdict, enum bb_err err, const char *name, const char *format,
                   va_list args) {
    if (verdict->report == NULL)
        return;
    struct bb_buf sentence BB_CLEANUP_BUF = BB_BUF_INIT(BB_REPORT_MAX_SENTENCE);
    char text[BB_REPORT_MAX_SENTENCE];
    vsnprintf(text, sizeof text, format, args); /* cuts what is longer */
    enum bb_err failure = bb_buf_append_str(&sentence, text);
    if (failure == BB_OK)
        failure = bb_report_add(verdict->report, name, err, &sentence);
    if (failure != BB_OK)
        note_failure(verdict, failure);
}

void bb_verdict_pass(struct bb_verdict *verdict, const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record(verdict, BB_OK, name, format, args);
    va_end(args);
}

enum bb_err bb_verdict_fail(struct bb_verdict *verdict, enum bb_err err, const char *name, const char *format,
                            ...) {
    note_failure(verdict, err);
    va_list args;
    va_start(args, format);
    record(verdict, err, name, format, args);
    va_end(args);
    return err;
}

void bb_verdict_end_stage(struct bb_verdict *verdict, enum bb_stage stage, enum bb_err err) {
    if (err == BB_OK)
        verdict->passed |= stage;
    else
        note_failure(verdict, err);
}

enum bb_err bb_verdict_result(const struct bb_verdict *verdict, unsigned stages) {
    if (verdict->first != BB_OK)
        return verdict->first;
    return verdict->passed == stages ? BB_OK : BB_ERR_ARGUMENT;
}
