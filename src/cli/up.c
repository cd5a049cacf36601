/*
 * `blindbox up`: starts an enclave on this machine and says how to use it. Trusts its command line and the
 * user's own state directory; refuses to listen for other machines unless told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hex.h"
#include "base/program.h"
#include "cli/text.h"
#include "cli/verbs.h"
#include "host/launcher.h"
#include "host/state_dir.h"

#define VERB         "up"
#define SETTINGS_MAX 32u
#define REASON_MAX   4096u
#define PATH_BYTES   4096u

static const char usage[] =
    "Usage: blindbox up [OPTION]…\n"
    "\n"
    "Starts an enclave as processes on this machine (SIMULATED: no hardware protects it) and stays with it\n"
    "until Ctrl-C.\n"
    "\n"
    "  --detach           return once it is ready and leave it running; `blindbox down` stops it\n"
    "  --name NAME        call it NAME (a-z, 0-9, -); default: default\n"
    "  --listen ADDR      HOST:PORT to listen on; port 0 picks a free one; default: 127.0.0.1:8443\n"
    "  --expose           allow an ADDR that other machines can reach\n"
    "  --model FILE       a ggml Whisper model; default: the demonstration model\n"
    "  --states N         requests worked on at the same time; default: cores / threads\n"
    "  --threads N        cores per request; default: 1\n"
    "  --set NAME=VALUE   any setting of blindbox.yml, such as limits.body_bytes=1000000; may be repeated\n"
    "  --config FILE      use this blindbox.yml as it is (then no --set, --states, --threads)\n"
    "  -h, --help         this text\n";

struct options {
    struct bb_launch_options launch;
    struct bb_launch_setting settings[SETTINGS_MAX];
    bool detach, expose;
};

/* Splits NAME=VALUE in place. */
static int add_assignment(struct options *options, char *text) {
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0')
        return bb_cli_usage(VERB, "--set %s: not of the form NAME=VALUE", text);
    if (options->launch.setting_count == SETTINGS_MAX)
        return bb_cli_usage(VERB, "more than %u settings", SETTINGS_MAX);
    *equals = '\0';
    options->settings[options->launch.setting_count++] =
        (struct bb_launch_setting){.name = text, .value = equals + 1};
    return BB_CLI_GOOD;
}

static int add_setting(struct options *options, const char *name, const char *value) {
    if (options->launch.setting_count == SETTINGS_MAX)
        return bb_cli_usage(VERB, "more than %u settings", SETTINGS_MAX);
    options->settings[options->launch.setting_count++] =
        (struct bb_launch_setting){.name = name, .value = value};
    return BB_CLI_GOOD;
}

static int take_listen(struct options *options, const char *text) {
    struct bb_endpoint *listen = &options->launch.listen;
    if (bb_endpoint_parse_tcp(text, "8443", listen) != BB_OK)
        return bb_cli_usage(VERB, "--listen %s: not of the form HOST:PORT", text);
    if (strcmp(listen->host, "localhost") == 0)
        strcpy(listen->host, "127.0.0.1");
    return BB_CLI_GOOD;
}

static int take_option(int letter, struct options *options) {
    switch (letter) {
    case 'n':
        options->launch.name = optarg;
        if (!bb_enclave_name_valid(optarg))
            return bb_cli_usage(VERB, "--name %s: 1 to 32 of a-z, 0-9 and - are allowed", optarg);
        return BB_CLI_GOOD;
    case 'd':
        options->detach = true;
        return BB_CLI_GOOD;
    case 'e':
        options->expose = true;
        return BB_CLI_GOOD;
    case 'l':
        return take_listen(options, optarg);
    case 'm':
        options->launch.model = optarg;
        return BB_CLI_GOOD;
    case 'c':
        options->launch.config = optarg;
        return BB_CLI_GOOD;
    case 's':
        return add_setting(options, "speech.states", optarg);
    case 't':
        return add_setting(options, "speech.threads", optarg);
    case 'S':
        return add_assignment(options, optarg);
    default: /* getopt_long has said what is wrong */
        return bb_cli_hint(VERB);
    }
}

static bool is_loopback(const char *host) {
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static int check(const struct options *options) {
    if (options->launch.config != NULL && options->launch.setting_count > 0)
        return bb_cli_usage(VERB, "--config excludes --set, --states and --threads");
    if (!is_loopback(options->launch.listen.host) && !options->expose)
        return bb_cli_usage(VERB, "--listen %s: other machines could reach it; --expose allows that",
                            options->launch.listen.host);
    return BB_CLI_GOOD;
}

/* Returns BB_CLI_GOOD to go on (*done false), or the exit status. */
static int parse(int argc, char **argv, struct options *options, bool *done) {
    static const struct option known[] = {
        {"name", required_argument, NULL, 'n'},
        {"detach", no_argument, NULL, 'd'},
        {"expose", no_argument, NULL, 'e'},
        {"listen", required_argument, NULL, 'l'},
        {"model", required_argument, NULL, 'm'},
        {"config", required_argument, NULL, 'c'},
        {"states", required_argument, NULL, 's'},
        {"threads", required_argument, NULL, 't'},
        {"set", required_argument, NULL, 'S'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    options->launch.name = "default";
    options->launch.settings = options->settings;
    int status = take_listen(options, "127.0.0.1:8443");
    for (int letter; status == BB_CLI_GOOD && (letter = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (letter == 'h') {
            fputs(usage, stdout);
            *done = true;
            return BB_CLI_GOOD;
        }
        status = take_option(letter, options);
    }
    if (status == BB_CLI_GOOD && optind < argc)
        return bb_cli_usage(VERB, "unexpected argument %s", argv[optind]);
    return status == BB_CLI_GOOD ? check(options) : status;
}

/* The demonstration model: below BLINDBOX_DATA, in the checkout that this program was built in, or installed.
 */
static int find_model(struct bb_buf *path) {
    const char *data = getenv("BLINDBOX_DATA");
    enum bb_err err;
    if (data != NULL && data[0] != '\0')
        err = bb_buf_printf(path, "%s/models/demo-speech.bin", data);
    else {
        static const char *const places[] = {"../../../models/demo-speech.bin",
                                             "../share/blindbox/models/demo-speech.bin"};
        err = bb_program_find(places, sizeof places / sizeof *places, path);
    }
    if (err == BB_ERR_NOT_FOUND)
        return bb_cli_fail("the demonstration model is not there (BLINDBOX_DATA names the folder that has "
                           "models/demo-speech.bin); --model FILE gives another");
    return err == BB_OK ? BB_CLI_GOOD : bb_cli_fail("%s", bb_err_sentence(err));
}

static void print_measurements(const struct bb_measurements *expected) {
    static const unsigned shown[] = {0, 1, 2, 16, 18};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        char hex[2 * BB_SHA384_LEN + 1];
        bb_hex_encode(bb_view(expected->pcr[shown[i]], BB_SHA384_LEN), hex);
        printf("PCR%-10u %s\n", shown[i], hex);
    }
}

static void print_ready(const char *name, const char *address, const struct bb_measurements *expected,
                        bool detached) {
    bool usual = strcmp(name, "default") == 0;
    printf("address       %s\n", address);
    print_measurements(expected);
    printf("\nReady. Try:\n"
           "  blindbox attest%s%s\n"
           "  blindbox transcribe%s%s FILE\n",
           usual ? "" : " --name ", usual ? "" : name, usual ? "" : " --name ", usual ? "" : name);
    if (detached)
        printf("  blindbox down%s%s\n", usual ? "" : " --name ", usual ? "" : name);
    else
        printf("Ctrl-C stops it.\n");
    fflush(stdout);
}

/* What the launcher's callback needs, in both ways of running. */
struct audience {
    const struct options *options;
    struct bb_launch *launch;
    int pipe; /* to the waiting `up` when detached, else -1 */
};

static void tell(int pipe, const char *word, const char *text) {
    struct bb_buf line BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX + 16);
    if (pipe < 0 || bb_buf_printf(&line, "%s %s", word, text) != BB_OK)
        return;
    enum bb_err unheard = bb_fd_write_all(pipe, bb_buf_view(&line), 1000); /* whoever waited is gone */
    (void)unheard;
}

static void on_ready(void *context, const struct bb_record *record) {
    struct audience *audience = context;
    if (audience->pipe < 0) {
        print_ready(audience->options->launch.name, record->address, bb_launch_measurements(audience->launch),
                    false);
        return;
    }
    tell(audience->pipe, "ready", record->address);
    bb_fd_close(&audience->pipe);
}

static int run_here(const struct options *options, struct bb_launch *launch) {
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX);
    struct audience audience = {.options = options, .launch = launch, .pipe = -1};
    enum bb_err err = bb_launch_run(launch, -1, on_ready, &audience, &reason);
    if (err == BB_OK) {
        printf("stopped\n");
        return BB_CLI_GOOD;
    }
    return bb_cli_fail("%s", reason.len > 0 ? bb_buf_str(&reason) : bb_err_sentence(err));
}

/* The detached process: a session of its own, its output in the log. Never returns. */
__attribute__((noreturn)) static void run_detached(const struct options *options, struct bb_launch *launch,
                                                   int log, int pipe) {
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX);
    struct audience audience = {.options = options, .launch = launch, .pipe = pipe};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (setsid() < 0 || chdir("/") != 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0) {
        tell(audience.pipe, "failed", strerror(errno));
        _exit(BB_CLI_FAILED);
    }
    enum bb_err err = bb_launch_run(launch, audience.pipe, on_ready, &audience, &reason);
    const char *why = reason.len > 0 ? bb_buf_str(&reason) : bb_err_sentence(err);
    if (err != BB_OK)
        fprintf(stderr, "blindbox up: %s\n", why);
    tell(audience.pipe, "failed", err == BB_OK ? "it was asked to end" : why);
    _exit(err == BB_OK ? BB_CLI_GOOD : BB_CLI_FAILED);
}

/* Reads what the detached process has to say, which is one line at the most. */
static int await(const struct options *options, const struct bb_launch *launch, int pipe, const char *log) {
    struct bb_buf line BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX + 16);
    enum bb_err err = bb_fd_read_to_end(pipe, &line);
    const char *said = bb_buf_str(&line);
    if (err == BB_OK && strncmp(said, "ready ", 6) == 0) {
        print_ready(options->launch.name, said + 6, bb_launch_measurements(launch), true);
        return BB_CLI_GOOD;
    }
    const char *why = strncmp(said, "failed ", 7) == 0 ? said + 7 : "it ended without a word";
    return bb_cli_fail("%s (the log is %s)", why, log);
}

static int detach(const struct options *options, struct bb_launch *launch) {
    struct bb_buf path BB_CLEANUP_BUF = BB_BUF_INIT(PATH_BYTES);
    int ends[2];
    enum bb_err err = bb_state_enclave_path(options->launch.name, BB_STATE_LOG, &path);
    if (err != BB_OK)
        return bb_cli_fail("%s", bb_err_sentence(err));
    int log BB_CLEANUP_FD =
        open(bb_buf_str(&path), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || pipe2(ends, O_CLOEXEC) != 0)
        return bb_cli_fail("%s: %s", bb_buf_str(&path), strerror(errno));
    int reading BB_CLEANUP_FD = ends[0];
    int writing BB_CLEANUP_FD = ends[1];
    fflush(NULL); /* what is still buffered would be printed twice */
    pid_t pid = fork();
    if (pid < 0)
        return bb_cli_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        bb_fd_close(&reading);
        run_detached(options, launch, log, bb_fd_take(&writing));
    }
    bb_fd_close(&writing);
    return await(options, launch, reading, bb_buf_str(&path));
}

int bb_cli_up(int argc, char **argv) {
    struct options options = {0};
    bool done = false;
    int status = parse(argc, argv, &options, &done);
    if (status != BB_CLI_GOOD || done)
        return status;
    struct bb_buf model BB_CLEANUP_BUF = BB_BUF_INIT(PATH_BYTES);
    if (options.launch.model == NULL && options.launch.config == NULL) {
        status = find_model(&model);
        options.launch.model = bb_buf_str(&model);
    }
    if (status != BB_CLI_GOOD)
        return status;
    printf("SIMULATED: the enclave runs as processes on this machine, whose owner can look into them; an "
           "emulator "
           "signs its evidence\n");
    fflush(stdout);
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX);
    struct bb_launch *launch BB_CLEANUP_LAUNCH = NULL;
    enum bb_err err = bb_launch_prepare(&options.launch, &launch, &reason);
    if (err != BB_OK)
        return bb_cli_fail("%s", reason.len > 0 ? bb_buf_str(&reason) : bb_err_sentence(err));
    return options.detach ? detach(&options, launch) : run_here(&options, launch);
}
