/* The development root: made once, private, the same for everybody at the same time, and refused when in
 * doubt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "support.h"

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

static struct bb_devroot *open_good(const char *folder) {
    struct bb_devroot *root = NULL;
    assert_int_equal(bb_devroot_open(folder, bb_clock_wall_ms(), &root, NULL), BB_OK);
    return root;
}

static void assert_refused_at(const char *folder, int64_t now_ms, enum bb_err err, const char *why) {
    struct bb_devroot *root = NULL;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    assert_int_equal(bb_devroot_open(folder, now_ms, &root, &reason), err);
    assert_null(root);
    if (strstr(bb_buf_str(&reason), why) == NULL)
        fail_msg("'%s' does not say '%s'", bb_buf_str(&reason), why);
}

static void assert_refused(const char *folder, enum bb_err err, const char *why) {
    assert_refused_at(folder, bb_clock_wall_ms(), err, why);
}

static unsigned mode_of(const char *path) {
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void made_once(void **state) {
    (void)state;
    char folder[512];
    const char *parent = make_folder();
    snprintf(folder, sizeof folder, "%s/state", parent);
    struct bb_devroot *first BB_CLEANUP_DEVROOT = open_good(folder);
    struct bb_devroot *second BB_CLEANUP_DEVROOT = open_good(folder);
    const struct bb_cert *cert = bb_devroot_cert(first);
    assert_true(bb_view_equal(bb_cert_der(cert), bb_cert_der(bb_devroot_cert(second))));
    assert_int_equal(mode_of(folder), 0700);
    assert_int_equal(mode_of(in_folder(folder, "dev-root.key")), 0600);
    assert_int_equal(mode_of(in_folder(folder, "dev-root.pem")), 0644);
    assert_true(bb_cert_on_curve(cert, BB_CURVE_P384));
    assert_true(bb_cert_is_ca(cert));
    assert_true(bb_cert_may_sign_certificates(cert));
    assert_non_null(strstr(bb_cert_subject_text(cert), "SIMULATED"));
    assert_int_equal((bb_cert_not_after_ms(cert) - bb_clock_wall_ms()) / DAY_MS, 3651);
    assert_refused_at(folder, bb_cert_not_after_ms(cert) + 1000, BB_ERR_CHAIN_EXPIRED, "has expired");
    remove_folder(parent);
}

static void everybody_gets_the_same(void **state) {
    (void)state;
    enum { CHILDREN = 8 };
    const char *folder = make_folder();
    int result[2];
    assert_int_equal(pipe(result), 0);
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid > 0)
            continue;
        struct bb_devroot *root = NULL;
        uint8_t digest[BB_SHA256_LEN];
        if (bb_devroot_open(folder, bb_clock_wall_ms(), &root, NULL) != BB_OK ||
            bb_sha256(bb_cert_der(bb_devroot_cert(root)), digest) != BB_OK ||
            write(result[1], digest, sizeof digest) != sizeof digest)
            _exit(1);
        _exit(0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    uint8_t digests[CHILDREN][BB_SHA256_LEN];
    assert_int_equal(bb_fd_read_exactly(result[0], digests, sizeof digests, 1000), BB_OK);
    for (int i = 1; i < CHILDREN; i++)
        assert_memory_equal(digests[i], digests[0], BB_SHA256_LEN);
    close(result[0]);
    close(result[1]);
    remove_folder(folder);
}

static void a_key_that_others_can_read_is_refused(void **state) {
    (void)state;
    const char *folder = make_folder();
    bb_devroot_free(open_good(folder));
    const unsigned modes[] = {0640, 0604, 0660, 0601};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(in_folder(folder, "dev-root.key"), modes[i]), 0);
        assert_refused(folder, BB_ERR_CONFIG, "can be used by others");
    }
    assert_int_equal(chmod(in_folder(folder, "dev-root.key"), 0400), 0);
    bb_devroot_free(open_good(folder));
    remove_folder(folder);
}

static void halves_are_completed_or_refused(void **state) {
    (void)state;
    const char *folder = make_folder();
    struct bb_devroot *first BB_CLEANUP_DEVROOT = open_good(folder);
    assert_int_equal(unlink(in_folder(folder, "dev-root.pem")), 0); /* killed between key and certificate */
    struct bb_devroot *second BB_CLEANUP_DEVROOT = open_good(folder);
    assert_true(bb_view_equal(bb_cert_spki(bb_devroot_cert(first)), bb_cert_spki(bb_devroot_cert(second))));
    assert_int_equal(unlink(in_folder(folder, "dev-root.key")), 0);
    assert_refused(folder, BB_ERR_CONFIG, "has lost its key");
    remove_folder(folder);
}

static void foreign_files_are_refused(void **state) {
    (void)state;
    char folder[256];
    snprintf(folder, sizeof folder, "%s", make_folder());
    bb_devroot_free(open_good(folder));
    const char *other = make_folder();
    bb_devroot_free(open_good(other));
    assert_int_equal(rename(in_folder(other, "dev-root.key"), in_folder(folder, "dev-root.key")), 0);
    assert_refused(folder, BB_ERR_CONFIG, "does not belong to");
    write_file(in_folder(folder, "dev-root.key"), bb_view_str("no key"));
    assert_refused(folder, BB_ERR_PEM, "is not a PEM key");
    assert_int_equal(unlink(in_folder(folder, "dev-root.key")), 0);
    assert_int_equal(symlink(in_folder(other, "dev-root.key"), in_folder(folder, "dev-root.key")), 0);
    assert_refused(folder, BB_ERR_IO, "cannot be read");
    write_file(in_folder(folder, "dev-root.pem"), bb_view_str("no certificate"));
    assert_refused(folder, BB_ERR_PEM, "is not a PEM certificate");
    assert_refused(in_folder(folder, "dev-root.pem"), BB_ERR_IO, "dev-root.pem");
    remove_folder(other);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_once),
        cmocka_unit_test(everybody_gets_the_same),
        cmocka_unit_test(a_key_that_others_can_read_is_refused),
        cmocka_unit_test(halves_are_completed_or_refused),
        cmocka_unit_test(foreign_files_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
