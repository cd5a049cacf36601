/*
 * Tests of src/base/spawn and src/base/program with real processes. The program starts itself again: with
 * arguments it plays the child and reports what it found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/program.h"
#include "base/spawn.h"

extern char **environ;

#define REPORT_MAX 4096u

/* Prints open descriptors, environment, blocked and ignored signals, and whether it leads a session. */
static int play_reporter(void) {
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 9;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
            printf("fd%s ", entry->d_name);
    closedir(dir);
    for (char **at = environ; *at != NULL; at++)
        printf("env:%s ", *at);
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigismember(&blocked, number) == 1)
            printf("blocked%d ", number);
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            printf("ignored%d ", number);
    }
    printf("%s", getsid(0) == getpid() ? "leader" : "member");
    return fflush(stdout) == 0 ? 0 : 9;
}

/* Starts a grandchild, says its number and waits to be killed. */
static int play_parent(void) {
    char *argv[] = {(char[]){"test"}, (char[]){"sleep"}, NULL};
    char *envp[] = {NULL};
    struct bb_spawn what = {.path = "/proc/self/exe", .argv = argv, .envp = envp, .new_session = true};
    struct bb_child child = BB_CHILD_INIT;
    if (bb_spawn(&what, &child) != BB_OK)
        return 9;
    printf("%d\n", (int)child.pid);
    fflush(stdout);
    pause();
    return 0;
}

static int play(const char *part) {
    if (strcmp(part, "report") == 0)
        return play_reporter();
    if (strcmp(part, "parent") == 0)
        return play_parent();
    if (strcmp(part, "sleep") == 0)
        sleep(60);
    return atoi(part);
}

/* Starts this program in a part, with its standard output in *output. */
static enum bb_err start_part(const char *part, bool new_session, char *const *envp, struct bb_child *child,
                              int *output) {
    int pipe_ends[2];
    char name[32];
    char *argv[] = {(char[]){"test"}, name, NULL};
    char *none[] = {NULL};
    snprintf(name, sizeof name, "%s", part);
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    /* 0 crosses 7, so that a map that is worked off in order would overwrite a source */
    struct bb_spawn_fd fds[] = {{BB_SPAWN_NULL, 0}, {pipe_ends[1], 1}, {pipe_ends[0], 7}};
    struct bb_spawn what = {.path = "/proc/self/exe",
                            .argv = argv,
                            .envp = envp != NULL ? envp : none,
                            .fds = fds,
                            .fd_count = 3,
                            .new_session = new_session};
    enum bb_err err = bb_spawn(&what, child);
    close(pipe_ends[1]);
    *output = pipe_ends[0];
    return err;
}

static void a_child_gets_exactly_what_is_named(void **state) {
    (void)state;
    struct bb_child child BB_CLEANUP_CHILD = BB_CHILD_INIT;
    struct bb_buf report BB_CLEANUP_BUF = BB_BUF_INIT(REPORT_MAX);
    char *envp[] = {(char[]){"ONLY=this"}, NULL};
    int output BB_CLEANUP_FD = -1;
    int leak BB_CLEANUP_FD = open("/dev/null", O_RDONLY); /* without O_CLOEXEC: must not come through */
    int status = -1;
    sigset_t set;
    sigset_t before;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &before);
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    assert_int_equal(start_part("report", false, envp, &child, &output), BB_OK);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, handler);
    assert_int_equal(bb_fd_read_to_end(output, &report), BB_OK);
    assert_int_equal(bb_child_wait(&child, 10000, &status), BB_OK);
    assert_int_equal(status, 0);
    assert_int_equal(child.pid, 0);
    assert_string_equal(bb_buf_str(&report), "fd0 fd1 fd2 fd7 env:ONLY=this member");
}

static void a_new_session_is_led(void **state) {
    (void)state;
    struct bb_child child BB_CLEANUP_CHILD = BB_CHILD_INIT;
    struct bb_buf report BB_CLEANUP_BUF = BB_BUF_INIT(REPORT_MAX);
    int output BB_CLEANUP_FD = -1;
    assert_int_equal(start_part("report", true, NULL, &child, &output), BB_OK);
    assert_int_equal(bb_fd_read_to_end(output, &report), BB_OK);
    assert_string_equal(bb_buf_str(&report), "fd0 fd1 fd2 fd7 leader");
}

static void what_cannot_be_executed_is_said(void **state) {
    (void)state;
    char *none[] = {NULL};
    char *argv[] = {(char[]){"x"}, NULL};
    struct bb_child child = BB_CHILD_INIT;
    struct bb_spawn what = {.path = "/nonexistent/program", .argv = argv, .envp = none};
    assert_int_equal(bb_spawn(&what, &child), BB_ERR_NOT_FOUND);
    assert_int_equal(errno, ENOENT);
    what.path = "/etc/passwd";
    assert_int_equal(bb_spawn(&what, &child), BB_ERR_NOT_FOUND);
    struct bb_spawn_fd closed = {.from = 1000, .to = 3};
    what = (struct bb_spawn){
        .path = "/proc/self/exe", .argv = argv, .envp = none, .fds = &closed, .fd_count = 1};
    assert_int_equal(bb_spawn(&what, &child), BB_ERR_IO);
    assert_int_equal(errno, EBADF);
    closed.to = -1;
    assert_int_equal(bb_spawn(&what, &child), BB_ERR_ARGUMENT);
    what.fd_count = BB_SPAWN_MAX_FDS + 1;
    assert_int_equal(bb_spawn(&what, &child), BB_ERR_ARGUMENT);
    assert_int_equal(child.pid, 0);
    int status;
    assert_int_equal(bb_child_wait(&child, 0, &status), BB_ERR_NOT_FOUND);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing was left to collect */
}

static void the_end_is_told(void **state) {
    (void)state;
    struct bb_child child BB_CLEANUP_CHILD = BB_CHILD_INIT;
    struct bb_buf how BB_CLEANUP_BUF = BB_BUF_INIT(100);
    int output BB_CLEANUP_FD = -1;
    int status = 0;
    assert_int_equal(start_part("7", false, NULL, &child, &output), BB_OK);
    assert_int_equal(bb_child_wait(&child, 10000, &status), BB_OK);
    assert_int_equal(bb_child_describe(status, &how), BB_OK);
    assert_string_equal(bb_buf_str(&how), "exited with status 7");
    bb_fd_close(&output);
    assert_int_equal(start_part("sleep", false, NULL, &child, &output), BB_OK);
    assert_int_equal(bb_child_wait(&child, 20, &status), BB_ERR_TIMEOUT);
    bb_child_signal(&child, SIGKILL);
    assert_int_equal(bb_child_wait(&child, 10000, &status), BB_OK);
    bb_buf_clear(&how);
    assert_int_equal(bb_child_describe(status, &how), BB_OK);
    assert_string_equal(bb_buf_str(&how), "was ended by signal 9 (Killed)");
}

/* The grandchild holds the write end of a pipe; its end is the pipe's end. */
static void children_die_with_their_parent(void **state) {
    (void)state;
    struct bb_child child BB_CLEANUP_CHILD = BB_CHILD_INIT;
    struct bb_buf rest BB_CLEANUP_BUF = BB_BUF_INIT(100);
    int output BB_CLEANUP_FD = -1;
    assert_int_equal(start_part("parent", false, NULL, &child, &output), BB_OK);
    char line[32] = "";
    for (size_t i = 0; i < sizeof line - 1 && (i == 0 || line[i - 1] != '\n'); i++)
        assert_int_equal(bb_fd_read_exactly(output, &line[i], 1, 10000), BB_OK);
    assert_int_equal(kill((pid_t)atoi(line), 0), 0);
    bb_child_signal(&child, SIGKILL);
    struct pollfd entry = {.fd = output, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 10000), 1); /* both writers are gone */
    assert_int_equal(bb_fd_read_to_end(output, &rest), BB_OK);
}

static void a_program_finds_what_lies_beside_it(void **state) {
    (void)state;
    struct bb_buf found BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    const char *places[] = {"no-such-file", "../../../tests/unit/enclave/test_spawn"};
    assert_int_equal(bb_program_find(places, 2, &found), BB_OK);
    assert_int_equal(bb_buf_str(&found)[0], '/');
    assert_null(strstr(bb_buf_str(&found), ".."));
    assert_int_equal(bb_program_find(places, 1, &found), BB_ERR_NOT_FOUND);
}

int main(int argc, char **argv) {
    if (argc == 2)
        return play(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_gets_exactly_what_is_named),
        cmocka_unit_test(a_new_session_is_led),
        cmocka_unit_test(what_cannot_be_executed_is_said),
        cmocka_unit_test(the_end_is_told),
        cmocka_unit_test(children_die_with_their_parent),
        cmocka_unit_test(a_program_finds_what_lies_beside_it),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
