/*
 * `blindbox nsm-emulator`: plays the hypervisor for an enclave on this machine. It measures the files that it
 * is told will run, holds the registers and signs documents under the development root. SIMULATED. What it
 * trusts and refuses: see host/emulator.h.
 */
#include "host/emulator.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/serve.h"
#include "cli/verbs.h"

#define FILES_MAX      16u
#define OFFSET_S_LIMIT (INT64_C(100) * 365 * 24 * 60 * 60) /* 100 years */
#define REASON_MAX     4096u

static const char usage[] =
    "Usage: blindbox nsm-emulator (--connection fd:N | --listen unix:PATH) --state DIR\n"
    "                             --runtime FILE… --service FILE… [--clock-offset SECONDS]\n"
    "\n"
    "Plays the Nitro Security Module for an enclave on this machine. SIMULATED: its documents\n"
    "chain to the development root in DIR and prove nothing about hardware.\n"
    "\n"
    "  --connection fd:N       serve the inherited, connected socket N and end when it is closed\n"
    "  --listen unix:PATH      serve the connections of a Unix socket\n"
    "  --state DIR             where dev-root.pem and dev-root.key are, or are made\n"
    "  --runtime FILE          measure FILE into PCR0 and PCR1; repeat it for further files\n"
    "  --service FILE          measure FILE into PCR0 and PCR2; repeat it for further files\n"
    "  --clock-offset SECONDS  for tests of expiry: live so many seconds ahead (or, negative,\n"
    "                          behind) of this machine's clock\n"
    "  -h, --help              this text\n";

struct files {
    const char *paths[FILES_MAX];
    size_t count;
};

struct options {
    const char *connection, *listen, *state;
    struct files runtime, service;
    int64_t clock_offset_ms;
};

static bool add_file(struct files *files, const char *path) {
    if (files->count == FILES_MAX) {
        fprintf(stderr, "blindbox nsm-emulator: more than %u files of one kind\n", FILES_MAX);
        return false;
    }
    files->paths[files->count++] = path;
    return true;
}

static bool parse_offset(const char *text, int64_t *offset_ms) {
    char *end;
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || seconds > OFFSET_S_LIMIT || seconds < -OFFSET_S_LIMIT) {
        fprintf(stderr, "blindbox nsm-emulator: '%s' is not a number of seconds\n", text);
        return false;
    }
    *offset_ms = (int64_t)seconds * 1000;
    return true;
}

/* Returns whether the option was good. */
static bool take_option(int c, struct options *options) {
    switch (c) {
    case 'c':
        options->connection = optarg;
        return true;
    case 'l':
        options->listen = optarg;
        return true;
    case 'd':
        options->state = optarg;
        return true;
    case 'r':
        return add_file(&options->runtime, optarg);
    case 's':
        return add_file(&options->service, optarg);
    case 'o':
        return parse_offset(optarg, &options->clock_offset_ms);
    default:
        fputs(usage, stderr);
        return false;
    }
}

/* Returns whether to go on; if not, *status is the exit status. */
static bool parse(int argc, char **argv, struct options *options, int *status) {
    static const struct option known[] = {
        {"connection", required_argument, NULL, 'c'},
        {"listen", required_argument, NULL, 'l'},
        {"state", required_argument, NULL, 'd'},
        {"runtime", required_argument, NULL, 'r'},
        {"service", required_argument, NULL, 's'},
        {"clock-offset", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *status = BB_CLI_USAGE;
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            *status = BB_CLI_GOOD;
            return false;
        }
        if (!take_option(c, options))
            return false;
    }
    if (optind == argc && options->state != NULL && options->runtime.count > 0 && options->service.count > 0)
        return true;
    fprintf(stderr, "blindbox nsm-emulator: %s\n\n%s",
            optind != argc ? "unexpected argument" : "--state, --runtime and --service are needed", usage);
    return false;
}

/* context points to the offset. */
static int64_t offset_now_ms(void *context) {
    const int64_t *offset_ms = context;
    return bb_clock_wall_ms() + *offset_ms;
}

static enum bb_err serve_one(void *context, int fd) {
    return bb_emulator_serve_one(context, fd);
}

static void announce(const struct options *options, const struct bb_emulator *emulator) {
    fprintf(stderr,
            "SIMULATED: this process plays the Nitro Security Module; its documents chain to the development "
            "root %s/" BB_DEVROOT_CERT_NAME " and prove nothing about hardware\n",
            options->state);
    fprintf(stderr, "blindbox nsm-emulator: module %s", bb_emulator_module_id(emulator));
    if (options->clock_offset_ms != 0)
        fprintf(stderr, ", its clock set off by %lld s", (long long)(options->clock_offset_ms / 1000));
    fputc('\n', stderr);
}

static int run(struct options *options, const struct bb_endpoint *where) {
    struct bb_devroot *root BB_CLEANUP_DEVROOT = NULL;
    struct bb_emulator *emulator BB_CLEANUP_EMULATOR = NULL;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX);
    struct bb_measurements measured = {0};
    struct bb_time_source clock = {.now_ms = offset_now_ms, .context = &options->clock_offset_ms};
    enum bb_err err = bb_devroot_open(options->state, bb_clock_wall_ms(), &root, &reason);
    if (err != BB_OK) {
        fprintf(stderr, "blindbox nsm-emulator: %s\n",
                reason.len > 0 ? bb_buf_str(&reason) : bb_err_sentence(err));
        return BB_CLI_FAILED;
    }
    err = bb_measure_process(options->runtime.paths, options->runtime.count, options->service.paths,
                             options->service.count, &measured);
    if (err == BB_OK)
        err = bb_emulator_new(root, &measured, clock, &emulator);
    if (err != BB_OK) {
        fprintf(stderr, "blindbox nsm-emulator: the files cannot be measured: %s\n", bb_err_sentence(err));
        return BB_CLI_FAILED;
    }
    announce(options, emulator);
    struct bb_cli_service service = {.verb = "nsm-emulator", .serve_one = serve_one, .context = emulator};
    return bb_cli_serve(&service, where);
}

int bb_cli_nsm_emulator(int argc, char **argv) {
    struct options options = {0};
    struct bb_endpoint where;
    int status;
    if (!parse(argc, argv, &options, &status))
        return status;
    if (bb_cli_serve_where("nsm-emulator", options.connection, options.listen, &where) != BB_OK)
        return BB_CLI_USAGE;
    return run(&options, &where);
}
