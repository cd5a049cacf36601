/* See moment.h. strptime(3) alone would let much through: the text's shape is checked first. */
#include "cli/moment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* 'd' in the shape stands for a digit. Returns what follows, or NULL. */
static const char *match(const char *text, const char *shape) {
    for (; *shape != '\0'; shape++, text++) {
        bool digit = *text >= '0' && *text <= '9';
        if (*shape == 'd' ? !digit : *text != *shape)
            return NULL;
    }
    return text;
}

static int two_digits(const char *text) {
    return (text[0] - '0') * 10 + (text[1] - '0');
}

/* ".123456": milliseconds, further digits are dropped. */
static const char *parse_fraction(const char *text, int64_t *ms) {
    int64_t weight = 100;
    *ms = 0;
    if (*text != '.')
        return text;
    const char *at = ++text;
    for (; *at >= '0' && *at <= '9'; at++, weight /= 10)
        *ms += (*at - '0') * weight;
    return at > text ? at : NULL;
}

/* "Z" or "+01:30", to the end of the text. */
static bool parse_offset(const char *text, int64_t *seconds) {
    *seconds = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    const char *end = match(text + (*text != '\0'), "dd:dd");
    if ((*text != '+' && *text != '-') || end == NULL || *end != '\0')
        return false;
    int hours = two_digits(text + 1), minutes = two_digits(text + 4);
    *seconds = (*text == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

static bool parse_rfc3339(const char *text, int64_t *out_ms) {
    struct tm given = {0};
    int64_t ms, offset;
    const char *rest = match(text, "dddd-dd-ddTdd:dd:dd");
    if (rest == NULL || strptime(text, "%Y-%m-%dT%H:%M:%S", &given) != rest || given.tm_sec > 59)
        return false;
    struct tm normal = given;
    time_t seconds = timegm(&normal);
    rest = parse_fraction(rest, &ms);
    if (rest == NULL || normal.tm_mday != given.tm_mday || !parse_offset(rest, &offset))
        return false;
    int64_t utc = (int64_t)seconds - offset;
    if (utc < 0 || utc > LAST_SECOND)
        return false;
    *out_ms = utc * 1000 + ms;
    return true;
}

bool bb_cli_moment_parse(const char *text, int64_t *out_ms) {
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (*end != '\0')
        return parse_rfc3339(text, out_ms);
    if (errno != 0 || seconds > LAST_SECOND)
        return false;
    *out_ms = seconds * 1000;
    return true;
}
