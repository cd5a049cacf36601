/*
 * Where things are kept between runs (docs/ARCHITECTURE.md section 7): one folder per enclave below the
 * user's state directory, readable by the user alone, and the model cache.
 */
#ifndef BB_HOST_STATE_DIR_H
#define BB_HOST_STATE_DIR_H

#include "base/bytes.h"

#define BB_ENCLAVE_NAME_MAX 32u
#define BB_STATE_PATH_MAX   4096u /* ceiling for buffers that take a path */

/* Files in an enclave's folder. */
#define BB_STATE_RECORD       "enclave.json"
#define BB_STATE_MEASUREMENTS "measurements.json"
#define BB_STATE_CONFIG       "blindbox.yml"
#define BB_STATE_LOG          "log"

/* 1 to 32 of a-z, 0-9 and '-'; so a name is never a path. */
bool bb_enclave_name_valid(const char *name);

/*
 * $XDG_STATE_HOME/blindbox or ~/.local/state/blindbox, and $XDG_CACHE_HOME/blindbox or ~/.cache/blindbox;
 * appended to out. Nothing is made. BB_ERR_NOT_FOUND when neither variable nor HOME is set to an absolute
 * path.
 */
BB_MUST_USE enum bb_err bb_state_dir(struct bb_buf *out);
BB_MUST_USE enum bb_err bb_cache_dir(struct bb_buf *out);

/* The path of an enclave's folder (file NULL) or of a file in it; appended to out. BB_ERR_ARGUMENT: not a
 * name. */
BB_MUST_USE enum bb_err bb_state_enclave_path(const char *name, const char *file, struct bb_buf *out);

/*
 * Makes the enclave's folder where missing (0700, all new folders on the way as well) and locks it for as
 * long as *lock stays open in any process. BB_ERR_BUSY when somebody else holds the lock.
 */
BB_MUST_USE enum bb_err bb_state_enclave_claim(const char *name, int *lock);

#endif
