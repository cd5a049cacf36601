/* Tests of src/enclave/confine.c: each forbidden act ends a confined process with SIGSYS or fails, each
 * needed one works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "enclave/confine.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { DONE = 0, REFUSED = 1, OTHER = 2, BY_SIGSYS = 3 };

static int judge(bool done) {
    return done ? DONE : errno == EACCES || errno == EPERM ? REFUSED : OTHER;
}

static int run_program(void) {
    char *argv[] = {(char[]){"true"}, NULL};
    return judge(execv("/bin/true", argv) == 0);
}

static int make_socket(void) {
    return judge(socket(AF_INET, SOCK_STREAM, 0) >= 0);
}

static int connect_out(void) {
    struct sockaddr address = {.sa_family = AF_UNIX};
    return judge(connect(0, &address, sizeof address) == 0);
}

static int make_process(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return judge(pid > 0);
}

static int trace(void) {
    return judge(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
}

static int signal_another(void) {
    return judge(kill(getppid(), 0) == 0);
}

static int make_executable_memory(void) {
    return judge(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static int turn_memory_executable(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return judge(page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
}

static int open_for_writing(void) {
    return judge(open("/tmp/blindbox-test-confine", O_WRONLY | O_CREAT, 0600) >= 0);
}

static int open_for_reading(void) {
    return judge(open("/proc/self/status", O_RDONLY | O_CLOEXEC) >= 0);
}

static int remove_a_file(void) {
    return judge(unlink("/tmp/blindbox-test-confine") == 0);
}

static int make_memory_file(void) {
    int fd = -1;
    return judge(bb_memfd_new("test", &fd) == BB_OK && bb_fd_write_all(fd, bb_view_str("x"), -1) == BB_OK &&
                 bb_memfd_seal(fd) == BB_OK);
}

static void *do_nothing(void *argument) {
    void *memory = malloc(1000000);
    free(memory);
    return argument;
}

static int start_a_thread(void) {
    pthread_t thread;
    return judge(pthread_create(&thread, NULL, do_nothing, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

static int allocate(void) {
    bool good = true;
    for (size_t len = 1; len < 100u * 1024 * 1024 && good; len *= 4) {
        char *memory = malloc(len);
        good = memory != NULL;
        if (good)
            memset(memory, 1, len);
        char *larger = realloc(memory, len * 2);
        good = larger != NULL;
        free(good ? larger : memory);
    }
    return judge(good && fprintf(stderr, "# a line from a confined process\n") > 0);
}

/* Refused by processors without AMX, which is an answer, too. */
static int ask_for_tile_registers(void) {
    const long tiles = 18;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, tiles) == 0 || errno != EPERM ? DONE : REFUSED;
}

static int set_a_segment_base(void) {
    return judge(syscall(SYS_arch_prctl, ARCH_SET_GS, 0L) == 0);
}

static const struct {
    const char *name;
    int (*act)(void);
    int in_gate, in_speech;
} acts[] = {
    {"run a program", run_program, BY_SIGSYS, BY_SIGSYS},
    {"make a socket", make_socket, BY_SIGSYS, BY_SIGSYS},
    {"connect", connect_out, BY_SIGSYS, BY_SIGSYS},
    {"make a process", make_process, BY_SIGSYS, BY_SIGSYS},
    {"trace", trace, BY_SIGSYS, BY_SIGSYS},
    {"signal another process", signal_another, BY_SIGSYS, BY_SIGSYS},
    {"make executable memory", make_executable_memory, BY_SIGSYS, BY_SIGSYS},
    {"turn memory executable", turn_memory_executable, BY_SIGSYS, BY_SIGSYS},
    {"open a file for writing", open_for_writing, REFUSED, BY_SIGSYS},
    {"open a file for reading", open_for_reading, REFUSED, DONE},
    {"remove a file", remove_a_file, BY_SIGSYS, BY_SIGSYS},
    {"make a memory file", make_memory_file, DONE, BY_SIGSYS},
    {"start a thread", start_a_thread, BY_SIGSYS, DONE},
    {"ask for tile registers", ask_for_tile_registers, BY_SIGSYS, DONE},
    {"set a segment base", set_a_segment_base, BY_SIGSYS, BY_SIGSYS},
    {"allocate and write a line", allocate, DONE, DONE},
};

#define FREE 0u /* not confined */

/* What becomes of the act in a child that is confined first, as a role of enum bb_role_kind or not at all. */
static int outcome_of(int (*act)(void), unsigned role) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            (role != FREE && bb_role_confine((enum bb_role_kind)role) != BB_OK))
            _exit(99);
        _exit(act());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? BY_SIGSYS : 1000 + WTERMSIG(status);
    return WEXITSTATUS(status);
}

static void each_act_has_its_outcome(void **state) {
    (void)state;
    if (SANITIZED)
        skip(); /* nothing is confined then */
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        int gate = outcome_of(acts[i].act, BB_ROLE_GATE);
        int speech = outcome_of(acts[i].act, BB_ROLE_SPEECH);
        if (gate != acts[i].in_gate || speech != acts[i].in_speech)
            fail_msg("%s: gate %d, expected %d; speech %d, expected %d", acts[i].name, gate, acts[i].in_gate,
                     speech, acts[i].in_speech);
    }
}

/* Otherwise the test above could pass for another reason. */
static void without_confinement_nothing_ends_by_sigsys(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        assert_int_not_equal(outcome_of(acts[i].act, FREE), BY_SIGSYS);
    unlink("/tmp/blindbox-test-confine");
}

struct mate {
    pthread_barrier_t ready, go;
};

static void *act_later(void *argument) {
    struct mate *mate = argument;
    pthread_barrier_wait(&mate->ready);
    pthread_barrier_wait(&mate->go);
    (void)make_socket();
    return NULL;
}

static int confine_with_a_mate(void) {
    struct mate mate;
    pthread_t thread;
    pthread_barrier_init(&mate.ready, NULL, 2);
    pthread_barrier_init(&mate.go, NULL, 2);
    if (pthread_create(&thread, NULL, act_later, &mate) != 0)
        return OTHER;
    pthread_barrier_wait(&mate.ready);
    if (bb_role_confine(BB_ROLE_SPEECH) != BB_OK)
        return OTHER;
    pthread_barrier_wait(&mate.go);
    pthread_join(thread, NULL);
    return DONE;
}

static void threads_that_exist_are_confined_too(void **state) {
    (void)state;
    if (SANITIZED)
        skip();
    assert_int_equal(outcome_of(confine_with_a_mate, FREE), BY_SIGSYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_act_has_its_outcome),
        cmocka_unit_test(without_confinement_nothing_ends_by_sigsys),
        cmocka_unit_test(threads_that_exist_are_confined_too),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
