/* Is this a whole ggml speech model? */
#ifndef BB_SPEECH_MODEL_FILE_H
#define BB_SPEECH_MODEL_FILE_H

#include "base/bytes.h"

/*
 * Walks the file from its header to its last byte. BB_ERR_MODEL with a sentence in reason when it is no ggml
 * speech model, ends early, has bytes to spare, or lacks tensors. That the weights are the right ones is not
 * judged here: init has compared the file's SHA-256.
 */
BB_MUST_USE enum bb_err bb_model_file_check(struct bb_view file, struct bb_buf *reason);

#endif
