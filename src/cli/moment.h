/* Moments as people write them on a command line. */
#ifndef BB_CLI_MOMENT_H
#define BB_CLI_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * RFC 3339 ("2026-02-03T14:05:06Z", with a fraction and an offset if need be) or seconds since 1970
 * ("1770127506"). False, with *out_ms untouched, for anything else and outside of the years 1970 to 9999.
 */
bool bb_cli_moment_parse(const char *text, int64_t *out_ms);

#endif
