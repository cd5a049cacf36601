/* See program.h. */
#include "base/program.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum bb_err own_folder(struct bb_buf *out) {
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path);
    if (len <= 0 || (size_t)len == sizeof path)
        return BB_ERR_IO;
    const char *slash = memrchr(path, '/', (size_t)len);
    return slash == NULL ? BB_ERR_IO : bb_buf_append(out, path, (size_t)(slash - path));
}

enum bb_err bb_program_find(const char *const *relative_paths, size_t count, struct bb_buf *out) {
    struct bb_buf folder BB_CLEANUP_BUF = BB_BUF_INIT(PATH_MAX);
    enum bb_err err = own_folder(&folder);
    for (size_t i = 0; i < count && err == BB_OK; i++) {
        struct bb_buf candidate BB_CLEANUP_BUF = BB_BUF_INIT(PATH_MAX);
        err = bb_buf_printf(&candidate, "%s/%s", bb_buf_str(&folder), relative_paths[i]);
        if (err != BB_OK)
            return err;
        char *resolved BB_CLEANUP_FREE = realpath(bb_buf_str(&candidate), NULL);
        if (resolved != NULL)
            return bb_buf_append_str(out, resolved);
    }
    return err == BB_OK ? BB_ERR_NOT_FOUND : err;
}
