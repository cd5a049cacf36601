/* See say.h. */
#include "enclave/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"

#define LINE_MAX_BYTES 1024u

void bb_say(const char *format, ...) {
    char line[LINE_MAX_BYTES];
    struct tm parts;
    time_t now = time(NULL);
    size_t len = gmtime_r(&now, &parts) == NULL ? 0 : strftime(line, 64, "%Y-%m-%dT%H:%M:%SZ init: ", &parts);
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(line + len, sizeof line - len - 1, format, arguments);
    va_end(arguments);
    if (added < 0)
        return;
    len = strlen(line);
    line[len++] = '\n';
    /* nobody is left to tell when standard error is gone */
    enum bb_err unheard = bb_fd_write_all(STDERR_FILENO, bb_view(line, len), 1000);
    (void)unheard;
}
