/* See state_dir.h. */
#include "host/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

bool bb_enclave_name_valid(const char *name) {
    size_t len = strlen(name);
    return len >= 1 && len <= BB_ENCLAVE_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && name[0] != '-';
}

/* The XDG base directory specification: relative paths in the variables count as unset. */
static enum bb_err base_dir(const char *variable, const char *below_home, struct bb_buf *out) {
    const char *set = getenv(variable);
    if (set != NULL && set[0] == '/')
        return bb_buf_printf(out, "%s/blindbox", set);
    const char *home = getenv("HOME");
    if (home == NULL || home[0] != '/')
        return BB_ERR_NOT_FOUND;
    return bb_buf_printf(out, "%s/%s/blindbox", home, below_home);
}

enum bb_err bb_state_dir(struct bb_buf *out) {
    return base_dir("XDG_STATE_HOME", ".local/state", out);
}

enum bb_err bb_cache_dir(struct bb_buf *out) {
    return base_dir("XDG_CACHE_HOME", ".cache", out);
}

enum bb_err bb_state_enclave_path(const char *name, const char *file, struct bb_buf *out) {
    if (!bb_enclave_name_valid(name))
        return BB_ERR_ARGUMENT;
    struct bb_buf dir BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    enum bb_err err = bb_state_dir(&dir);
    if (err != BB_OK)
        return err;
    return bb_buf_printf(out, "%s/enclaves/%s%s%s", bb_buf_str(&dir), name, file != NULL ? "/" : "",
                         file != NULL ? file : "");
}

/* Makes a folder and those above it that are missing. */
static enum bb_err make_folders(char *path) {
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        int made = mkdir(path, 0700);
        int why = errno;
        *at = kept;
        if (made != 0 && why != EEXIST) {
            errno = why;
            return BB_ERR_IO;
        }
        if (kept == '\0')
            return BB_OK;
    }
}

enum bb_err bb_state_enclave_claim(const char *name, int *lock) {
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    enum bb_err err = bb_state_enclave_path(name, NULL, &path);
    if (err == BB_OK)
        err = make_folders((char *)path.data);
    if (err != BB_OK)
        return err;
    int fd BB_CLEANUP_FD = open(bb_buf_str(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0700) != 0)
        return BB_ERR_IO;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? BB_ERR_BUSY : BB_ERR_IO;
    *lock = bb_fd_take(&fd);
    return BB_OK;
}
