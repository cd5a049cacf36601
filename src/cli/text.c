/* See text.h. */
#include "cli/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "cli/verbs.h"

#define LINE_MAX_BYTES 4096u

void bb_cli_print_safely(FILE *to, const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
        bool c0 = at[0] < 0x20 || at[0] == 0x7f;
        putc(c0 || c1 ? '?' : at[0], to);
        if (c1)
            at++;
    }
}

static void complain(const char *format, va_list args) {
    char line[LINE_MAX_BYTES];
    vsnprintf(line, sizeof line, format, args);
    fputs("blindbox: ", stderr);
    bb_cli_print_safely(stderr, line);
    putc('\n', stderr);
}

int bb_cli_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    return BB_CLI_FAILED;
}

int bb_cli_usage(const char *verb, const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    return bb_cli_hint(verb);
}

int bb_cli_hint(const char *verb) {
    fprintf(stderr, "Try `blindbox help %s`.\n", verb);
    return BB_CLI_USAGE;
}

int bb_cli_fail_file(const char *path, enum bb_err err) {
    if (err == BB_ERR_IO || err == BB_ERR_NOT_FOUND)
        return bb_cli_fail("%s: %s", path, strerror(errno));
    return bb_cli_fail("%s: %s", path, bb_err_sentence(err));
}
