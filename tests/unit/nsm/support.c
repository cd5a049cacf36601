/* See support.h. */
#include "support.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"

const char *make_folder(void) {
    static char path[256];
    const char *parent = getenv("TMPDIR");
    snprintf(path, sizeof path, "%.200s/blindbox-nsm.XXXXXX", parent != NULL ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void remove_folder(const char *path) {
    assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

const char *in_folder(const char *folder, const char *name) {
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void write_file(const char *path, struct bb_view content) {
    assert_int_equal(bb_file_write(path, content, 0600), BB_OK);
}

static int64_t still_now(void *context) {
    const struct still_clock *clock = context;
    return clock->now_ms;
}

struct bb_time_source still_clock_source(struct still_clock *clock) {
    return (struct bb_time_source){.now_ms = still_now, .context = clock};
}

void module_init(struct module *module) {
    struct bb_measurements measured = {.present = 7};
    for (unsigned i = 0; i < 3; i++)
        memset(measured.pcr[i], (int)(0xa0 + i), sizeof measured.pcr[i]);
    *module = (struct module){.clock.now_ms = bb_clock_wall_ms()};
    snprintf(module->folder, sizeof module->folder, "%s", make_folder());
    assert_int_equal(bb_devroot_open(module->folder, module->clock.now_ms, &module->root, NULL), BB_OK);
    assert_int_equal(
        bb_emulator_new(module->root, &measured, still_clock_source(&module->clock), &module->emulator),
        BB_OK);
}

void module_done(struct module *module) {
    bb_emulator_free(module->emulator);
    bb_devroot_free(module->root);
    remove_folder(module->folder);
}

struct bb_nsm_response module_ask(struct module *module, const struct bb_nsm_request *request,
                                  struct bb_buf *answer) {
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_REQUEST_MAX);
    struct bb_nsm_response response = {0};
    assert_int_equal(bb_nsm_request_write(request, &bytes), BB_OK);
    assert_int_equal(bb_emulator_handle(module->emulator, bb_buf_view(&bytes), answer), BB_OK);
    assert_int_equal(bb_nsm_response_read(bb_buf_view(answer), &response), BB_OK);
    return response;
}
