/* The verbs `nsm-emulator` and `store` as processes. The first argument is the program `blindbox`. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "support.h"

#define WAIT_MS   20000
#define INHERITED 3

static const char *program;
static char folder[256];

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s", make_folder());
    write_file(in_folder(folder, "runtime"), bb_view_str("runtime"));
    write_file(in_folder(folder, "service"), bb_view_str("service"));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

/* Starts `blindbox` with standard output and error in the file `output`; connection (or -1) becomes
 * INHERITED. */
static struct bb_child start(char *const *argv, int connection) {
    int output BB_CLEANUP_FD =
        open(in_folder(folder, "output"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct bb_spawn_fd fds[] = {{BB_SPAWN_NULL, 0}, {output, 1}, {output, 2}, {connection, INHERITED}};
    struct bb_spawn what = {
        .path = program, .argv = argv, .envp = environ, .fds = fds, .fd_count = connection < 0 ? 3 : 4};
    struct bb_child child = BB_CHILD_INIT;
    assert_true(output >= 0);
    assert_int_equal(bb_spawn(&what, &child), BB_OK);
    return child;
}

static void assert_ends(struct bb_child *child, int exit_status) {
    int status = -1;
    assert_int_equal(bb_child_wait(child, WAIT_MS, &status), BB_OK);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), exit_status);
}

static void assert_output(const char *start_of_it, const char *part_of_it) {
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    assert_int_equal(bb_file_read(in_folder(folder, "output"), &text), BB_OK);
    if (strncmp(bb_buf_str(&text), start_of_it, strlen(start_of_it)) != 0 ||
        strstr(bb_buf_str(&text), part_of_it) == NULL)
        fail_msg("unexpected output: %s", bb_buf_str(&text));
}

/* "unix:folder/name" */
static char *unix_endpoint(char text[512], const char *name) {
    snprintf(text, 512, "unix:%s", in_folder(folder, name));
    return text;
}

/* Connects as soon as somebody listens. */
static int connect_soon(const char *text) {
    struct bb_endpoint endpoint;
    int fd = -1;
    int64_t deadline = bb_clock_monotonic_ms() + WAIT_MS;
    assert_int_equal(bb_endpoint_parse(text, &endpoint), BB_OK);
    while (bb_endpoint_connect(&endpoint, 1000, &fd) != BB_OK) {
        assert_true(bb_clock_monotonic_ms() < deadline);
        usleep(5000);
    }
    return fd;
}

static struct bb_nsm_response ask(int fd, enum bb_nsm_operation operation, struct bb_buf *answer) {
    struct bb_nsm_request request = {.operation = operation};
    struct bb_nsm_response response = {0};
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_REQUEST_MAX);
    assert_int_equal(bb_nsm_request_write(&request, &bytes), BB_OK);
    assert_int_equal(bb_frame_write(fd, bb_buf_view(&bytes), WAIT_MS), BB_OK);
    assert_int_equal(bb_frame_read(fd, answer, WAIT_MS), BB_OK);
    assert_int_equal(bb_nsm_response_read(bb_buf_view(answer), &response), BB_OK);
    return response;
}

static void usage_errors_end_with_2(void **state) {
    (void)state;
    char verb_n[] = "nsm-emulator", verb_s[] = "store", self[] = "blindbox";
    char listen[] = "--listen", connection[] = "--connection", where[] = "unix:/nonexistent/x", fd[] = "fd:3";
    char cache[] = "--cache", state_dir[] = "--state", runtime[] = "--runtime", service[] = "--service";
    char offset[] = "--clock-offset", file[] = "/dev/null", bad[] = "12x", tcp[] = "tcp:127.0.0.1:1";
    char *const lines[][12] = {
        {self, verb_s, NULL},
        {self, verb_s, cache, file, NULL},
        {self, verb_s, cache, file, listen, where, connection, fd, NULL},
        {self, verb_s, cache, file, listen, tcp, NULL},
        {self, verb_s, cache, file, connection, where, NULL},
        {self, verb_s, cache, file, listen, where, file, NULL},
        {self, verb_s, bad, NULL},
        {self, verb_n, listen, where, NULL},
        {self, verb_n, listen, where, state_dir, file, runtime, file, NULL},
        {self, verb_n, listen, where, state_dir, file, service, file, NULL},
        {self, verb_n, state_dir, file, runtime, file, service, file, NULL},
        {self, verb_n, listen, where, state_dir, file, runtime, file, service, file, offset, NULL},
        {self, verb_n, offset, bad, NULL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct bb_child child BB_CLEANUP_CHILD = start(lines[i], -1);
        assert_ends(&child, 2);
    }
    char help[] = "--help";
    char *const help_lines[][4] = {{self, verb_s, help, NULL}, {self, verb_n, help, NULL}};
    for (size_t i = 0; i < 2; i++) {
        struct bb_child child BB_CLEANUP_CHILD = start(help_lines[i], -1);
        assert_ends(&child, 0);
        assert_output("Usage: blindbox ", "--connection fd:N");
    }
}

static struct bb_child start_emulator(const char *how, const char *where, const char *offset,
                                      int connection) {
    char runtime[512], service[512], state_dir[512];
    snprintf(runtime, sizeof runtime, "%s/runtime", folder);
    snprintf(service, sizeof service, "%s/service", folder);
    snprintf(state_dir, sizeof state_dir, "%s/state", folder);
    const char *argv[] = {"blindbox",       "nsm-emulator", how,     where,       "--state",
                          state_dir,        "--runtime",    runtime, "--service", service,
                          "--clock-offset", offset,         NULL};
    return start((char *const *)(uintptr_t)argv, connection);
}

static void emulator_serves_an_inherited_connection(void **state) {
    (void)state;
    int pair[2];
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct bb_child child BB_CLEANUP_CHILD = start_emulator("--connection", "fd:3", "-86400", pair[1]);
    close(pair[1]);
    struct bb_nsm_response response = ask(pair[0], BB_NSM_DESCRIBE_NSM, &answer);
    assert_int_equal(response.of.describe_nsm.locked_pcrs, 0xffff);
    assert_int_equal(ask(pair[0], BB_NSM_ATTESTATION, &answer).operation, BB_NSM_ATTESTATION);
    close(pair[0]);
    assert_ends(&child, 0);
    assert_output("SIMULATED: ", "its clock set off by -86400 s");
}

static void emulator_measures_what_it_is_told(void **state) {
    (void)state;
    char endpoint[512];
    struct bb_measurements expected = {0};
    const char *runtime[] = {in_folder(folder, "runtime")};
    const char *service[] = {in_folder(folder, "service")};
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    assert_int_equal(bb_measure_process(runtime, 1, service, 1, &expected), BB_OK);
    unix_endpoint(endpoint, "nsm.sock");
    struct bb_child child BB_CLEANUP_CHILD = start_emulator("--listen", endpoint, "0", -1);
    int first = connect_soon(endpoint);
    int second = connect_soon(endpoint);
    int broken = connect_soon(endpoint);
    struct stat status;
    assert_int_equal(stat(endpoint + 5, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_int_equal(write(broken, "\xff\xff\xff\xff", 4), 4); /* costs only its own connection */
    char byte;
    assert_int_equal(bb_fd_read_exactly(broken, &byte, 1, WAIT_MS), BB_ERR_CLOSED);
    struct bb_nsm_response response = ask(second, BB_NSM_DESCRIBE_PCR, &answer);
    assert_memory_equal(response.of.describe_pcr.data.data, expected.pcr[0], BB_SHA384_LEN);
    response = ask(first, BB_NSM_DESCRIBE_PCR, &answer);
    assert_memory_equal(response.of.describe_pcr.data.data, expected.pcr[0], BB_SHA384_LEN);
    bb_child_signal(&child, SIGTERM);
    assert_ends(&child, 0);
    assert_int_equal(access(endpoint + 5, F_OK), -1); /* the name went with it */
    close(first);
    close(second);
    close(broken);
}

static void emulator_says_why_it_cannot_start(void **state) {
    (void)state;
    char endpoint[512];
    unix_endpoint(endpoint, "nsm.sock");
    assert_int_equal(unlink(in_folder(folder, "service")), 0);
    struct bb_child missing BB_CLEANUP_CHILD = start_emulator("--listen", endpoint, "0", -1);
    assert_ends(&missing, 1);
    assert_output("blindbox nsm-emulator: the files cannot be measured", "no such thing");
    assert_int_equal(chmod(in_folder(folder, "state/dev-root.key"), 0644), 0);
    struct bb_child open_key BB_CLEANUP_CHILD = start_emulator("--listen", endpoint, "0", -1);
    assert_ends(&open_key, 1);
    assert_output("blindbox nsm-emulator: the key of the development root", "chmod 600");
}

static void store_serves_and_replaces_a_stale_socket(void **state) {
    (void)state;
    char endpoint[512], cache[512];
    snprintf(cache, sizeof cache, "%s/cache", folder);
    const char *argv[] = {"blindbox", "store", "--listen", unix_endpoint(endpoint, "store.sock"),
                          "--cache",  cache,   NULL};
    for (int round = 0; round < 2; round++) { /* the first is killed and leaves its socket behind */
        struct bb_child child BB_CLEANUP_CHILD = start((char *const *)(uintptr_t)argv, -1);
        int fd = connect_soon(endpoint);
        char line[64] = "";
        assert_int_equal(bb_fd_write_all(fd, bb_view_str("GET x\n"), WAIT_MS), BB_OK);
        assert_int_equal(bb_fd_read_exactly(fd, line, 21, WAIT_MS), BB_OK);
        assert_string_equal(line, "ERR not a request of ");
        close(fd);
        struct bb_child another BB_CLEANUP_CHILD = start((char *const *)(uintptr_t)argv, -1);
        assert_ends(&another, 1); /* a living one is not pushed aside */
        assert_output("blindbox store: cannot listen on unix:", "in use");
        bb_child_signal(&child, round == 0 ? SIGKILL : SIGTERM);
        int status;
        assert_int_equal(bb_child_wait(&child, WAIT_MS, &status), BB_OK);
        assert_int_equal(access(endpoint + 5, F_OK), round == 0 ? 0 : -1);
    }
}

int main(int argc, char **argv) {
    assert_int_equal(argc, 2);
    program = argv[1];
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(usage_errors_end_with_2),
        CASE(emulator_serves_an_inherited_connection),
        CASE(emulator_measures_what_it_is_told),
        CASE(emulator_says_why_it_cannot_start),
        CASE(store_serves_and_replaces_a_stale_socket),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
