/*
 * init's client of the Nitro Security Module, over a connected stream to its emulator (frames,
 * src/base/fd.h). One request at a time. What comes back is checked for its form only: who holds the module
 * holds the truth about this enclave anyway, and clients verify documents by their signature.
 */
#ifndef BB_ENCLAVE_NSM_H
#define BB_ENCLAVE_NSM_H

#include "base/bytes.h"
#include "nsm/messages.h"

#define BB_NSM_TIMEOUT_MS 5000 /* one request and its answer; the module works in single milliseconds */

struct bb_nsm {
    int fd;
    bool simulated; /* an emulator answers, no hardware */
    struct bb_buf request, response;
};

/* Takes over a connected stream. */
void bb_nsm_init(struct bb_nsm *nsm, int fd);
void bb_nsm_done(struct bb_nsm *nsm);
#define BB_CLEANUP_NSM __attribute__((cleanup(bb_nsm_done)))

/*
 * Each makes one request. BB_ERR_NSM: the module answered with an error, whose name is appended to reason;
 * the connection stays good. Any other error: give the connection up. Views live until the next request.
 */
BB_MUST_USE enum bb_err bb_nsm_extend(struct bb_nsm *nsm, uint16_t index, struct bb_view data,
                                      struct bb_buf *reason);
BB_MUST_USE enum bb_err bb_nsm_lock(struct bb_nsm *nsm, uint16_t index, struct bb_buf *reason);
BB_MUST_USE enum bb_err bb_nsm_describe_pcr(struct bb_nsm *nsm, uint16_t index, bool *locked,
                                            uint8_t value[BB_NSM_PCR_LEN], struct bb_buf *reason);
/* Empty views are sent as null. */
BB_MUST_USE enum bb_err bb_nsm_attest(struct bb_nsm *nsm, struct bb_view public_key, struct bb_view user_data,
                                      struct bb_view nonce, struct bb_view *document, struct bb_buf *reason);

/*
 * Extends a register that must still be zero, once, and locks it; or only locks it when digest is empty. Then
 * reads it back: anything but the expected value, locked, is BB_ERR_NSM.
 */
BB_MUST_USE enum bb_err bb_nsm_record(struct bb_nsm *nsm, uint16_t index, struct bb_view digest,
                                      struct bb_buf *reason);

#endif
