/* The report of a verification: see blindbox/verify.h. */
#include "attest/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    char name[48];
    enum bb_err err;
    char *sentence;
};

struct bb_report {
    struct check *checks;
    size_t count, capacity;
};

struct bb_report *bb_report_new(void) {
    return calloc(1, sizeof(struct bb_report));
}

void bb_report_clear(struct bb_report *report) {
    for (size_t i = 0; i < report->count; i++)
        free(report->checks[i].sentence);
    report->count = 0;
}

void bb_report_free(struct bb_report *report) {
    if (report == NULL)
        return;
    bb_report_clear(report);
    free(report->checks);
    free(report);
}

static enum bb_err make_room(struct bb_report *report) {
    if (report->count < report->capacity)
        return BB_OK;
    if (report->count >= BB_REPORT_MAX_CHECKS)
        return BB_ERR_TOO_LARGE;
    size_t capacity = report->capacity == 0 ? 16 : report->capacity * 2;
    struct check *checks = realloc(report->checks, capacity * sizeof *checks);
    if (checks == NULL)
        return BB_ERR_NO_MEMORY;
    report->checks = checks;
    report->capacity = capacity;
    return BB_OK;
}

enum bb_err bb_report_add(struct bb_report *report, const char *name, enum bb_err err,
                          struct bb_buf *sentence) {
    enum bb_err failure = make_room(report);
    if (failure == BB_OK)
        failure = bb_buf_append(sentence, "", 0); /* an empty sentence is one, too */
    if (failure != BB_OK)
        return failure;
    struct check *check = &report->checks[report->count++];
    uint8_t *text;
    size_t len;
    snprintf(check->name, sizeof check->name, "%s", name);
    check->err = err;
    bb_buf_take(sentence, &text, &len);
    check->sentence = (char *)text;
    return BB_OK;
}

enum bb_err bb_report_add_all(struct bb_report *report, const char *heading, const struct bb_report *other) {
    enum bb_err err = BB_OK;
    for (size_t i = 0; i < other->count && err == BB_OK; i++) {
        struct bb_buf sentence BB_CLEANUP_BUF = BB_BUF_INIT(BB_REPORT_MAX_SENTENCE);
        char name[sizeof other->checks->name];
        int len = snprintf(name, sizeof name, "%s%s", heading, other->checks[i].name);
        err = len < 0 ? BB_ERR_IO : bb_buf_append_str(&sentence, other->checks[i].sentence);
        if (err == BB_OK)
            err = bb_report_add(report, name, other->checks[i].err, &sentence);
    }
    return err;
}

size_t bb_report_count(const struct bb_report *report) {
    return report->count;
}

const char *bb_report_name(const struct bb_report *report, size_t i) {
    return i < report->count ? report->checks[i].name : "";
}

enum bb_err bb_report_err(const struct bb_report *report, size_t i) {
    return i < report->count ? report->checks[i].err : BB_ERR_ARGUMENT;
}

const char *bb_report_sentence(const struct bb_report *report, size_t i) {
    return i < report->count ? report->checks[i].sentence : "";
}

const char *bb_report_failure(const struct bb_report *report) {
    for (size_t i = 0; i < report->count; i++)
        if (report->checks[i].err != BB_OK)
            return report->checks[i].sentence;
    return NULL;
}
