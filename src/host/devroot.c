/* See devroot.h. */
#include "host/devroot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define FILE_MAX     16384u
#define PATH_LEN_MAX 4096u
#define COMMON_NAME  "SIMULATED.dev.nitro-enclaves"
#define LIFE_MS      (INT64_C(3652) * 24 * 60 * 60 * 1000) /* 10 years */
#define BACKDATE_MS  (INT64_C(5) * 60 * 1000)

struct bb_devroot {
    struct bb_key *key;
    struct bb_cert *cert;
};

/* What one opening works with. */
struct opening {
    struct bb_buf cert_path;
    struct bb_buf key_path;
    int64_t now_ms;
    struct bb_buf *reason;
};

static void opening_done(struct opening *opening) {
    bb_buf_done(&opening->cert_path);
    bb_buf_done(&opening->key_path);
}

/* Appends the sentence and returns err: `return fail(…)`. A reason that does not fit is lost, the code is
 * not. */
__attribute__((format(printf, 3, 4))) static enum bb_err fail(struct bb_buf *reason, enum bb_err err,
                                                              const char *format, ...) {
    char sentence[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (reason != NULL && bb_buf_append_str(reason, sentence) != BB_OK)
        return err;
    return err;
}

/* A lock file and not the directory itself: locking needs write access on network file systems. */
static enum bb_err lock_state(const char *state_dir, int *fd, struct bb_buf *reason) {
    if (mkdir(state_dir, 0700) != 0 && errno != EEXIST)
        return fail(reason, BB_ERR_IO, "the state directory %s cannot be made", state_dir);
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(PATH_LEN_MAX);
    enum bb_err err = bb_buf_printf(&path, "%s/" BB_DEVROOT_LOCK_NAME, state_dir);
    if (err != BB_OK)
        return err;
    int made BB_CLEANUP_FD = open(bb_buf_str(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (made < 0)
        return fail(reason, BB_ERR_IO, "%s cannot be opened", bb_buf_str(&path));
    while (flock(made, LOCK_EX) != 0)
        if (errno != EINTR)
            return fail(reason, BB_ERR_IO, "%s cannot be locked", bb_buf_str(&path));
    *fd = bb_fd_take(&made);
    return BB_OK;
}

/* Reads the key file: BB_ERR_NOT_FOUND when there is none. */
static enum bb_err read_key(const struct opening *opening, struct bb_key **out) {
    const char *path = bb_buf_str(&opening->key_path);
    int fd BB_CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return BB_ERR_NOT_FOUND;
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return fail(opening->reason, BB_ERR_IO, "the key of the development root, %s, cannot be read", path);
    if (status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        return fail(
            opening->reason, BB_ERR_CONFIG,
            "the key of the development root, %s, can be used by others than its owner; if nobody has, "
            "make it private with chmod 600, else delete it and %s",
            path, bb_buf_str(&opening->cert_path));
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX);
    enum bb_err err = bb_fd_read_to_end(fd, &pem);
    if (err == BB_OK)
        err = bb_key_from_pem(bb_buf_view(&pem), out);
    return err == BB_OK ? err : fail(opening->reason, err, "%s is not a PEM key", path);
}

static enum bb_err read_cert(const struct opening *opening, struct bb_cert **out) {
    const char *path = bb_buf_str(&opening->cert_path);
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX);
    struct bb_view rest;
    enum bb_err err = bb_file_read(path, &pem);
    if (err == BB_ERR_NOT_FOUND)
        return err;
    if (err == BB_OK)
        err = bb_cert_parse_pem(bb_buf_view(&pem), out, &rest);
    return err == BB_OK ? err : fail(opening->reason, err, "%s is not a PEM certificate", path);
}

static enum bb_err make_key(const struct opening *opening, struct bb_key **out) {
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX);
    enum bb_err err = bb_key_generate(BB_CURVE_P384, &key);
    if (err == BB_OK)
        err = bb_key_to_pem(key, &pem);
    if (err == BB_OK)
        err = bb_file_write(bb_buf_str(&opening->key_path), bb_buf_view(&pem), 0600);
    if (err != BB_OK)
        return fail(opening->reason, err, "the key of the development root, %s, cannot be made",
                    bb_buf_str(&opening->key_path));
    *out = key;
    key = NULL;
    return BB_OK;
}

static enum bb_err make_cert(const struct opening *opening, const struct bb_key *key, struct bb_cert **out) {
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX);
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX);
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_cert_request request = {
        .common_name = COMMON_NAME,
        .organization = "BlindBox development",
        .subject_key = key,
        .issuer_key = key,
        .not_before_ms = opening->now_ms - BACKDATE_MS,
        .not_after_ms = opening->now_ms + LIFE_MS,
        .ca = true,
        .path_length = -1,
    };
    enum bb_err err = bb_cert_make(&request, &der);
    if (err == BB_OK)
        err = bb_cert_parse(bb_buf_view(&der), &cert);
    if (err == BB_OK)
        err = bb_cert_der_to_pem(bb_buf_view(&der), &pem);
    if (err == BB_OK)
        err = bb_file_write(bb_buf_str(&opening->cert_path), bb_buf_view(&pem), 0644);
    if (err != BB_OK)
        return fail(opening->reason, err, "the certificate of the development root, %s, cannot be made",
                    bb_buf_str(&opening->cert_path));
    *out = cert;
    cert = NULL;
    return BB_OK;
}

static enum bb_err check(const struct opening *opening, const struct bb_devroot *root) {
    struct bb_buf spki BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX);
    const char *path = bb_buf_str(&opening->cert_path);
    enum bb_err err = bb_key_spki(root->key, &spki);
    if (err != BB_OK)
        return err;
    if (!bb_view_equal(bb_buf_view(&spki), bb_cert_spki(root->cert)) ||
        !bb_cert_on_curve(root->cert, BB_CURVE_P384))
        return fail(opening->reason, BB_ERR_CONFIG,
                    "%s does not belong to %s; delete both to get a new development root", path,
                    bb_buf_str(&opening->key_path));
    if (bb_cert_not_after_ms(root->cert) <= opening->now_ms)
        return fail(opening->reason, BB_ERR_CHAIN_EXPIRED,
                    "the development root %s has expired; delete it and %s to get a new one", path,
                    bb_buf_str(&opening->key_path));
    return BB_OK;
}

/* The key is written first: a certificate alone means that a key was lost, a key alone that its making was
 * interrupted. */
static enum bb_err load_or_make(const struct opening *opening, struct bb_devroot *root) {
    enum bb_err err = read_cert(opening, &root->cert);
    bool have_cert = err == BB_OK;
    if (err != BB_OK && err != BB_ERR_NOT_FOUND)
        return err;
    err = read_key(opening, &root->key);
    if (err == BB_ERR_NOT_FOUND && have_cert)
        return fail(opening->reason, BB_ERR_CONFIG,
                    "%s has lost its key %s; delete it to get a new development root",
                    bb_buf_str(&opening->cert_path), bb_buf_str(&opening->key_path));
    if (err == BB_ERR_NOT_FOUND)
        err = make_key(opening, &root->key);
    if (err == BB_OK && !have_cert)
        err = make_cert(opening, root->key, &root->cert);
    return err == BB_OK ? check(opening, root) : err;
}

enum bb_err bb_devroot_open(const char *state_dir, int64_t now_ms, struct bb_devroot **out,
                            struct bb_buf *reason) {
    struct opening opening __attribute__((cleanup(opening_done))) = {.cert_path = BB_BUF_INIT(PATH_LEN_MAX),
                                                                     .key_path = BB_BUF_INIT(PATH_LEN_MAX),
                                                                     .now_ms = now_ms,
                                                                     .reason = reason};
    enum bb_err err = bb_buf_printf(&opening.cert_path, "%s/" BB_DEVROOT_CERT_NAME, state_dir);
    if (err == BB_OK)
        err = bb_buf_printf(&opening.key_path, "%s/" BB_DEVROOT_KEY_NAME, state_dir);
    if (err != BB_OK)
        return fail(reason, err, "the state directory's name is too long");
    int lock BB_CLEANUP_FD = -1;
    err = lock_state(state_dir, &lock, reason);
    if (err != BB_OK)
        return err;
    struct bb_devroot *root BB_CLEANUP_DEVROOT = calloc(1, sizeof *root);
    if (root == NULL)
        return BB_ERR_NO_MEMORY;
    err = load_or_make(&opening, root);
    if (err != BB_OK)
        return err;
    *out = root;
    root = NULL;
    return BB_OK;
}

void bb_devroot_free(struct bb_devroot *root) {
    if (root == NULL)
        return;
    bb_key_free(root->key);
    bb_cert_free(root->cert);
    free(root);
}

void bb_devroot_cleanup(struct bb_devroot **root) {
    bb_devroot_free(*root);
}

const struct bb_key *bb_devroot_key(const struct bb_devroot *root) {
    return root->key;
}

const struct bb_cert *bb_devroot_cert(const struct bb_devroot *root) {
    return root->cert;
}
