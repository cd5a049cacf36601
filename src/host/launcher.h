/*
 * The launcher: brings an enclave up in place `process` (docs/ARCHITECTURE.md sections 1 and 2). It plays the
 * parent instance: what it does cannot make clients trust a wrong enclave, because these check what was
 * measured.
 *
 * Preparing (bb_launch_prepare) checks and writes everything that can be known beforehand; running
 * (bb_launch_run) starts the processes and stays with them until the end. Whatever ends one of them ends them
 * all, and however the launcher itself ends, even by SIGKILL, the kernel ends its children with it.
 */
#ifndef BB_HOST_LAUNCHER_H
#define BB_HOST_LAUNCHER_H

#include "base/endpoint.h"
#include "host/launcher_record.h"
#include "image/measure.h"

#define BB_LAUNCH_READY_MS 300000 /* from the start to the ready line, loading the model included */
#define BB_LAUNCH_STOP_MS                                                                                    \
    16000 /* until a launcher that was asked to end is killed; longer than what it waits for itself */
#define BB_LAUNCH_END_MS 10000 /* from SIGTERM to init until it is killed */

/* One line for blindbox.yml: "limits.body_bytes" and "1000". */
struct bb_launch_setting {
    const char *name, *value;
};

struct bb_launch_options {
    const char *name; /* the enclave's */
    struct bb_endpoint listen;
    const char *model;  /* a file to put into the cache; NULL: config names a model that is there */
    const char *config; /* a blindbox.yml to use as it is; NULL: made from model and settings */
    const struct bb_launch_setting *settings;
    size_t setting_count;
};

struct bb_launch;

/*
 * Claims the name, imports the model, writes blindbox.yml and measurements.json, computes what clients should
 * expect. On failure a sentence is appended to reason; BB_ERR_BUSY: an enclave of that name is up (or just
 * starting or ending).
 */
BB_MUST_USE enum bb_err bb_launch_prepare(const struct bb_launch_options *options, struct bb_launch **out,
                                          struct bb_buf *reason);
void bb_launch_free(struct bb_launch *launch);
void bb_launch_cleanup(struct bb_launch **launch);
#define BB_CLEANUP_LAUNCH __attribute__((cleanup(bb_launch_cleanup)))

/* PCR0, 1, 2, 16 and 18; lives as long as the launch. */
const struct bb_measurements *bb_launch_measurements(const struct bb_launch *launch);

/*
 * Starts the enclave from this process, which must have no other children, and returns when it has ended:
 * BB_OK after SIGTERM, SIGINT or SIGHUP, else an error with a sentence in reason. on_ready is called once.
 * When watch is not -1 and its other end is closed before the enclave is ready, nobody waits for it any more,
 * and it ends as well. These three signals stay blocked afterwards.
 */
BB_MUST_USE enum bb_err bb_launch_run(struct bb_launch *launch, int watch,
                                      void (*on_ready)(void *context, const struct bb_record *record),
                                      void *context, struct bb_buf *reason);

/*
 * Ends an enclave from outside and waits until it has ended: SIGTERM to its launcher, SIGKILL after
 * BB_LAUNCH_STOP_MS
 * (*killed). BB_ERR_NOT_FOUND: it is not up.
 */
BB_MUST_USE enum bb_err bb_launch_stop(const char *name, bool *killed);

#endif
