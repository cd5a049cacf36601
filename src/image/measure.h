/*
 * Measurements: the values that the hypervisor puts into the platform configuration registers before an
 * enclave starts (docs/ARCHITECTURE.md section 5), and their JSON form.
 *
 * Files are read in pieces, never whole. A file that changes its size while it is read is refused.
 */
#ifndef BB_IMAGE_MEASURE_H
#define BB_IMAGE_MEASURE_H

#include "base/bytes.h"
#include "crypto/hash.h"

#define BB_MEASURE_PCR_COUNT 32u

/* Register values; only those whose bit is set in `present` are known. Initialise with {0}. */
struct bb_measurements {
    uint8_t pcr[BB_MEASURE_PCR_COUNT][BB_SHA384_LEN];
    uint32_t present;
};

/*
 * PCR0, PCR1 and PCR2 of an enclave in place `process` that runs the given files; other registers stay as
 * they are. The order of the files counts, their names do not. BB_ERR_NOT_FOUND, BB_ERR_IO.
 */
BB_MUST_USE enum bb_err bb_measure_process(const char *const *runtime, size_t runtime_count,
                                           const char *const *service, size_t service_count,
                                           struct bb_measurements *out);

/* PCR[index] = SHA384(48 zero bytes ‖ data): a register that was extended once (PCR4, 16, 17, 18). */
BB_MUST_USE enum bb_err bb_measure_register(struct bb_measurements *measurements, unsigned index,
                                            struct bb_view data);

/* nitro-cli's form, {"Measurements":{"HashAlgorithm":"Sha384 { ... }","PCR0":"…",…}}, with every register
 * that is present, and a line feed; appended to out. */
BB_MUST_USE enum bb_err bb_measurements_to_json(const struct bb_measurements *measurements,
                                                struct bb_buf *out);

#endif
