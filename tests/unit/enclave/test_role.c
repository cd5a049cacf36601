/*
 * Tests of src/enclave/{role,harden}.c: how often a role may die, and what a role's environment and hardening
 * really do. The program starts itself again the way init starts roles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "enclave/harden.h"
#include "enclave/role.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Counts the bytes of a freed block that still are what was written; reads by way of the kernel, because the
 * memory is no longer ours. */
static size_t left_after_free(size_t len) {
    uint8_t *block = malloc(len);
    uint8_t *next = malloc(16); /* keeps the block from joining the heap's top */
    uint8_t *found = malloc(len);
    if (block == NULL || next == NULL || found == NULL)
        return SIZE_MAX;
    memset(block, 'S', len);
    uintptr_t at = (uintptr_t)block;
    __asm__ volatile("" : : "r"(block) : "memory"); /* the writes count, whatever follows */
    free(block);
    int memory = open("/proc/self/mem", O_RDONLY);
    ssize_t got = pread(memory, found, len, (off_t)at);
    close(memory);
    size_t left = 0;
    for (ssize_t i = 0; i < got; i++)
        left += found[i] == 'S';
    free(next);
    free(found);
    return got == (ssize_t)len ? left : SIZE_MAX;
}

/* Exit status 0: nothing is left of freed blocks of all sizes that the heap itself holds. */
static int play_heap(void) {
    for (size_t len = 24; len <= 65536; len *= 2)
        if (left_after_free(len) != 0)
            return 1;
    return 0;
}

static int play_hardened(void) {
    struct rlimit core;
    if (bb_role_harden() != BB_OK)
        return 1;
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
        return 2;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 3;
    if (!SANITIZED && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 4;
    int pair[2];
    if (pipe(pair) != 0 || close(pair[0]) != 0 || write(pair[1], "x", 1) != -1)
        return 5; /* SIGPIPE would have ended us */
    return 0;
}

static int play(const char *part) {
    if (strcmp(part, "heap") == 0)
        return play_heap();
    return strcmp(part, "hardened") == 0 ? play_hardened() : 99;
}

static int status_of(struct bb_role *role) {
    int status = -1;
    assert_int_equal(bb_child_wait(&role->child, 10000, &status), BB_OK);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_as_role(const char *part) {
    struct bb_role role = {.name = "test", .child = BB_CHILD_INIT};
    char name[32];
    snprintf(name, sizeof name, "%s", part);
    char *argv[] = {(char[]){"test"}, name, NULL};
    assert_int_equal(bb_role_start(&role, "/proc/self/exe", argv, NULL, 0), BB_OK);
    return status_of(&role);
}

static void freed_memory_is_overwritten_in_a_role(void **state) {
    (void)state;
    if (SANITIZED)
        skip(); /* its heap is another */
    assert_int_equal(run_as_role("heap"), 0);
}

static void the_heap_test_can_fail(void **state) {
    (void)state;
    if (SANITIZED)
        skip();
    struct bb_role role = {.name = "test", .child = BB_CHILD_INIT};
    char *argv[] = {(char[]){"test"}, (char[]){"heap"}, NULL};
    char *envp[] = {NULL};
    struct bb_spawn what = {.path = "/proc/self/exe", .argv = argv, .envp = envp};
    assert_int_equal(bb_spawn(&what, &role.child), BB_OK);
    assert_int_equal(status_of(&role), 1);
}

static void a_hardened_role_is_hardened(void **state) {
    (void)state;
    assert_int_equal(run_as_role("hardened"), 0);
}

static void only_marks_come_from_outside(void **state) {
    (void)state;
    char *envp[BB_ROLE_ENVIRONMENT_MAX];
    assert_int_equal(setenv("BLINDBOX_RUN_MARK", "m", 1), 0);
    assert_int_equal(setenv("LD_PRELOAD_X", "x", 1), 0);
    bb_role_environment(envp);
    bool marked = false;
    for (char **at = envp; *at != NULL; at++) {
        marked = marked || strcmp(*at, "BLINDBOX_RUN_MARK=m") == 0;
        assert_true(strncmp(*at, "LD_", 3) != 0 && strncmp(*at, "PATH", 4) != 0);
    }
    assert_true(marked);
}

static void five_deaths_a_minute_are_forgiven_and_the_sixth_is_not(void **state) {
    (void)state;
    struct bb_role role = {.name = "test"};
    for (int i = 0; i < BB_RESTART_MAX; i++)
        assert_true(bb_role_may_restart(&role, 1000 + i));
    assert_false(bb_role_may_restart(&role, 1000 + BB_RESTART_WINDOW_MS - 1));
    assert_true(bb_role_may_restart(&role, 1000 + BB_RESTART_WINDOW_MS));
    assert_true(bb_role_may_restart(&role, 1001 + BB_RESTART_WINDOW_MS));
    assert_false(bb_role_may_restart(&role, 1001 + BB_RESTART_WINDOW_MS));
    struct bb_role slow = {.name = "test"};
    for (int64_t now = 1; now < 100 * BB_RESTART_WINDOW_MS; now += BB_RESTART_WINDOW_MS / BB_RESTART_MAX)
        assert_true(bb_role_may_restart(&slow, now));
}

int main(int argc, char **argv) {
    if (argc == 2)
        return play(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_memory_is_overwritten_in_a_role),
        cmocka_unit_test(the_heap_test_can_fail),
        cmocka_unit_test(a_hardened_role_is_hardened),
        cmocka_unit_test(only_marks_come_from_outside),
        cmocka_unit_test(five_deaths_a_minute_are_forgiven_and_the_sixth_is_not),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
