/*
 * The NSM emulator: what the hypervisor's Nitro Security Module does, done by a process. SIMULATED: its
 * documents chain to the development root and prove nothing about hardware.
 *
 * This is the module itself, a function from request bytes to response bytes over its registers; connections
 * are the caller's. It trusts its caller (measurements, clock, root) and no byte of a request.
 */
#ifndef BB_HOST_EMULATOR_H
#define BB_HOST_EMULATOR_H

#include "base/bytes.h"
#include "host/devroot.h"
#include "image/measure.h"

#define BB_EMULATOR_FRAME_MS 5000 /* from a frame's beginning to its end */

/* Where the time comes from: milliseconds since 1970-01-01T00:00:00Z. */
struct bb_time_source {
    int64_t (*now_ms)(void *context);
    void *context;
};

struct bb_emulator;

/*
 * A module with a new identity, PCR0..2 (and 3, 5..15) as measured, PCR4 after the identity, PCR0..15 locked,
 * PCR16..31 zero. root is borrowed and must outlive the emulator.
 */
BB_MUST_USE enum bb_err bb_emulator_new(const struct bb_devroot *root, const struct bb_measurements *measured,
                                        struct bb_time_source clock, struct bb_emulator **out);
void bb_emulator_free(struct bb_emulator *emulator);
void bb_emulator_cleanup(struct bb_emulator **emulator);
#define BB_CLEANUP_EMULATOR __attribute__((cleanup(bb_emulator_cleanup)))

/* "i-<17 hex>-enc<16 hex>"; lives as long as the emulator. */
const char *bb_emulator_module_id(const struct bb_emulator *emulator);

/*
 * Answers one request: response is cleared and filled. Whatever the request, there is a response, if need be
 * {"Error":…}; an error code is returned only when not even that fits into response's ceiling or memory.
 */
BB_MUST_USE enum bb_err bb_emulator_handle(struct bb_emulator *emulator, struct bb_view request,
                                           struct bb_buf *response);

/* Reads one frame from a connected stream, handles it and writes the answer's frame. BB_ERR_CLOSED: the peer
 * is done. On any failure: close the connection. */
BB_MUST_USE enum bb_err bb_emulator_serve_one(struct bb_emulator *emulator, int fd);

#endif
