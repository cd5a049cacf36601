/* Where the running program lies, and what lies beside it: the same in a build folder and when installed. */
#ifndef BB_BASE_PROGRAM_H
#define BB_BASE_PROGRAM_H

#include "base/bytes.h"

/*
 * The first of the given paths, relative to the folder of this program's file, that exists; absolute and
 * without symbolic links, appended to out. BB_ERR_NOT_FOUND.
 */
BB_MUST_USE enum bb_err bb_program_find(const char *const *relative_paths, size_t count, struct bb_buf *out);

#endif
