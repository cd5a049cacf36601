/* Words for people: what verbs print when something is wrong, and text from strangers made safe for a
 * terminal. */
#ifndef BB_CLI_TEXT_H
#define BB_CLI_TEXT_H

#include <stdio.h>

#include <blindbox/error.h>

/* "blindbox: …" and a newline on standard error, unprintable characters replaced. Returns BB_CLI_FAILED. */
int bb_cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with a line that points to the verb's help. Returns BB_CLI_USAGE. */
int bb_cli_usage(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* That line alone, for when getopt_long() has complained already. Returns BB_CLI_USAGE. */
int bb_cli_hint(const char *verb);
/* Reads of a file that failed: "FILE: No such file…"; err is bb_file_read()'s, errno still set. */
int bb_cli_fail_file(const char *path, enum bb_err err);

/* Writes text with control characters, which could move the cursor or change earlier lines, replaced by '?'.
 */
void bb_cli_print_safely(FILE *to, const char *text);

#endif
