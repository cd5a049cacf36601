/* blindbox.yml as the launcher writes it, and what a blindbox.yml says according to the program that will
 * obey it. */
#ifndef BB_HOST_LAUNCHER_CONFIG_H
#define BB_HOST_LAUNCHER_CONFIG_H

#include "crypto/hash.h"
#include "host/launcher.h"

/*
 * Appends a configuration for this model and these settings; of a setting that is given twice the last one
 * counts. Names and values are only checked for being single words: what they may be is checked by
 * bb_launch_config_ask(). BB_ERR_ARGUMENT with a sentence in reason.
 */
BB_MUST_USE enum bb_err bb_launch_config_write(const char *model_path, const uint8_t digest[BB_SHA256_LEN],
                                               const struct bb_launch_setting *settings, size_t count,
                                               struct bb_buf *out, struct bb_buf *reason);

/* Has blindboxd check a configuration file: the model's name and "sha256:<hex>" go into record. BB_ERR_CONFIG
 * with the program's own sentence in reason. */
BB_MUST_USE enum bb_err bb_launch_config_ask(const char *blindboxd, const char *path,
                                             struct bb_record *record, struct bb_buf *reason);

#endif
