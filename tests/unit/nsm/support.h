/* What the tests in this folder share: folders and files that vanish, a clock that stands still, an emulator.
 */
#ifndef BB_TESTS_NSM_SUPPORT_H
#define BB_TESTS_NSM_SUPPORT_H

#include "host/emulator.h"
#include "nsm/messages.h"

/* A new folder under $TMPDIR or /tmp; its name is valid until the next call. */
const char *make_folder(void);
/* Removes a folder with everything in it. */
void remove_folder(const char *path);
/* "folder/name", valid until the next but seven calls. */
const char *in_folder(const char *folder, const char *name);
void write_file(const char *path, struct bb_view content);

/* A clock that shows what the test says. */
struct still_clock {
    int64_t now_ms;
};
struct bb_time_source still_clock_source(struct still_clock *clock);

/* An emulator with a root of its own; PCR0, 1, 2 are 48 times 0xA0, 0xA1, 0xA2. */
struct module {
    char folder[256];
    struct still_clock clock;
    struct bb_devroot *root;
    struct bb_emulator *emulator;
};
void module_init(struct module *module);
void module_done(struct module *module);
/* Sends a request and reads the answer, whose bytes stay in `answer` (ceiling BB_NSM_RESPONSE_MAX). */
struct bb_nsm_response module_ask(struct module *module, const struct bb_nsm_request *request,
                                  struct bb_buf *answer);

#endif
