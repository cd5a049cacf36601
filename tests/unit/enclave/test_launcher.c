/* Tests of src/host/{state_dir,launcher_record,launcher_config}.c in a state directory of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/launcher_config.h"
#include "host/state_dir.h"

static char home[64];

static int set_up(void **state) {
    (void)state;
    strcpy(home, "/tmp/blindbox-test-launcher-XXXXXX");
    return mkdtemp(home) != NULL && setenv("XDG_STATE_HOME", home, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", home);
    return system(command);
}

static void names_are_never_paths(void **state) {
    (void)state;
    const char *good[] = {"a", "default", "0", "a-b-", "abcdefghijklmnopqrstuvwxyz012345"};
    const char *bad[] = {"",    ".",  "..",  "a/b",      "A",
                         "a b", "-a", "a.b", "\xc3\xa4", "abcdefghijklmnopqrstuvwxyz0123456"};
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(bb_enclave_name_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(bb_enclave_name_valid(bad[i]));
        assert_int_equal(bb_state_enclave_path(bad[i], NULL, &path), BB_ERR_ARGUMENT);
    }
}

static void folders_follow_the_xdg_specification(void **state) {
    (void)state;
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", "/home/x", 1);
    assert_int_equal(bb_state_dir(&path), BB_OK);
    assert_string_equal(bb_buf_str(&path), "/home/x/.local/state/blindbox");
    bb_buf_clear(&path);
    unsetenv("XDG_CACHE_HOME");
    assert_int_equal(bb_cache_dir(&path), BB_OK);
    assert_string_equal(bb_buf_str(&path), "/home/x/.cache/blindbox");
    unsetenv("HOME");
    assert_int_equal(bb_state_dir(&path), BB_ERR_NOT_FOUND);
    setenv("XDG_STATE_HOME", "/s", 1);
    bb_buf_clear(&path);
    assert_int_equal(bb_state_enclave_path("one", "log", &path), BB_OK);
    assert_string_equal(bb_buf_str(&path), "/s/blindbox/enclaves/one/log");
}

static void a_claim_is_exclusive_and_private(void **state) {
    (void)state;
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    struct stat status;
    int mine = -1;
    int other = -1;
    assert_int_equal(bb_state_enclave_claim("one", &mine), BB_OK);
    assert_int_equal(bb_state_enclave_claim("one", &other), BB_ERR_BUSY);
    assert_int_equal(other, -1);
    assert_int_equal(bb_state_enclave_claim("two", &other), BB_OK);
    bb_fd_close(&other);
    bb_fd_close(&mine);
    assert_int_equal(bb_state_enclave_claim("one", &mine), BB_OK);
    bb_fd_close(&mine);
    assert_int_equal(bb_state_enclave_path("one", NULL, &path), BB_OK);
    for (int up = 0; up < 3; up++) { /* enclaves/one, enclaves, blindbox */
        assert_int_equal(stat(bb_buf_str(&path), &status), 0);
        assert_int_equal(status.st_mode & 07777, 0700);
        *strrchr((char *)path.data, '/') = '\0';
    }
}

static struct bb_record sample(pid_t pid) {
    struct bb_record record = {.ready = true,
                               .address = "127.0.0.1:8443",
                               .pid = pid,
                               .root = "/s/\"quoted\"/dev-root.pem",
                               .measurements = "/s/m.json",
                               .started = "2026-01-01T00:00:00Z",
                               .model_name = "demo",
                               .model_digest = "sha256:00"};
    assert_int_equal(bb_process_start_time(pid, &record.pid_start), BB_OK);
    return record;
}

static void a_record_is_read_back_while_its_process_lives(void **state) {
    (void)state;
    int lock BB_CLEANUP_FD = -1;
    struct bb_record found;
    assert_int_equal(bb_record_read("one", &found), BB_ERR_NOT_FOUND);
    assert_int_equal(bb_state_enclave_claim("one", &lock), BB_OK);
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    struct bb_record record = sample(pid);
    assert_int_equal(bb_record_write("one", &record), BB_OK);
    assert_int_equal(bb_record_read("one", &found), BB_OK);
    assert_true(found.ready);
    assert_int_equal(found.pid, pid);
    assert_string_equal(found.root, record.root);
    assert_string_equal(found.model_name, "demo");
    kill(pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(bb_record_read("one", &found), BB_ERR_NOT_FOUND); /* only its remains */
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(bb_record_read("one", &found), BB_ERR_NOT_FOUND);
    /* the number lives on as another process's */
    record = sample(getpid());
    record.pid_start++;
    assert_int_equal(bb_record_write("one", &record), BB_OK);
    assert_int_equal(bb_record_read("one", &found), BB_ERR_NOT_FOUND);
    bb_record_remove("one");
    bb_record_remove("one");
    assert_int_equal(bb_record_read("one", &found), BB_ERR_NOT_FOUND);
}

static void a_damaged_record_is_said(void **state) {
    (void)state;
    int lock BB_CLEANUP_FD = -1;
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(BB_STATE_PATH_MAX);
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(BB_RECORD_MAX_BYTES);
    struct bb_record record;
    assert_int_equal(bb_state_enclave_claim("one", &lock), BB_OK);
    record = sample(getpid());
    assert_int_equal(bb_record_to_json("one", &record, &text), BB_OK);
    assert_int_equal(bb_state_enclave_path("one", BB_STATE_RECORD, &path), BB_OK);
    for (size_t len = 0; len < text.len - 2; len++) {
        assert_int_equal(bb_file_write(bb_buf_str(&path), bb_view(text.data, len), 0600), BB_OK);
        assert_int_equal(bb_record_read("one", &record), BB_ERR_JSON);
    }
}

static enum bb_err write_config(const char *model, const struct bb_launch_setting *settings, size_t count,
                                struct bb_buf *out) {
    const uint8_t digest[BB_SHA256_LEN] = {0xab};
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(500);
    bb_buf_clear(out);
    enum bb_err err = bb_launch_config_write(model, digest, settings, count, out, &reason);
    assert_int_equal(err != BB_OK, reason.len > 0);
    return err;
}

#define MODEL "  model: sha256:ab00000000000000000000000000000000000000000000000000000000000000\n"

static void settings_become_a_configuration(void **state) {
    (void)state;
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(5000);
    assert_int_equal(write_config("/x/ggml-base.en.bin", NULL, 0, &out), BB_OK);
    assert_string_equal(bb_buf_str(&out), "version: 1\nspeech:\n" MODEL "  name: base.en\n");
    const struct bb_launch_setting settings[] = {
        {"limits.queue", "5"}, {"speech.states", "2"}, {"limits.queue", "6"}, {"speech.name", "mine"}};
    assert_int_equal(write_config("my model:1.bin", settings, 4, &out), BB_OK);
    assert_string_equal(bb_buf_str(&out),
                        "version: 1\nspeech:\n" MODEL "  states: 2\n  name: mine\nlimits:\n  queue: 6\n");
    assert_int_equal(write_config("my model:1.bin", settings, 1, &out), BB_OK);
    assert_non_null(strstr(bb_buf_str(&out), "  name: my-model-1\n"));
}

static void settings_cannot_write_other_lines(void **state) {
    (void)state;
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(5000);
    const struct bb_launch_setting bad[] = {
        {"queue", "5"},        {"limits.", "5"},          {"limits", "5"},     {"other.queue", "5"},
        {"limits.queue", ""},  {"limits.queue", "5\n x"}, {"limits.a b", "5"}, {"limits.a\n", "5"},
        {"limits.queue", "#"}, {"limits.queue", "[5]"},   {"limits.q", "\""},  {"limits.q", "&a"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(write_config("m.bin", &bad[i], 1, &out), BB_ERR_ARGUMENT);
}

#define AT_HOME(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        AT_HOME(names_are_never_paths),
        AT_HOME(folders_follow_the_xdg_specification),
        AT_HOME(a_claim_is_exclusive_and_private),
        AT_HOME(a_record_is_read_back_while_its_process_lives),
        AT_HOME(a_damaged_record_is_said),
        AT_HOME(settings_become_a_configuration),
        AT_HOME(settings_cannot_write_other_lines),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
