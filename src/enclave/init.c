/*
 * blindboxd init: command line, boot, supervision, and the one line to whoever started it
 * (docs/ARCHITECTURE.md sections 2 and 3). Trusts its command line. The store and the gate are not trusted,
 * see boot.c and supervisor.c.
 */
#include "enclave/init.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/fd.h"
#include "base/program.h"
#include "enclave/boot.h"
#include "enclave/harden.h"
#include "enclave/say.h"
#include "enclave/supervisor.h"

#define REASON_MAX 2048u
#define PATH_BYTES 4096u

static const char usage[] =
    "Usage: blindboxd init --nsm ENDPOINT --store ENDPOINT --config FILE --listen tcp:HOST:PORT [--ready-fd "
    "N]\n"
    "\n"
    "The enclave's first process. ENDPOINT is fd:N (an inherited, connected socket) or unix:PATH.\n"
    "On descriptor N it writes one line of JSON when the enclave is ready, and one when it fails.\n";

struct options {
    struct bb_boot_options boot;
    int ready_fd;
};

static bool parse_fd(const char *text, int *fd) {
    struct bb_endpoint endpoint;
    char form[16];
    int len = snprintf(form, sizeof form, "fd:%s", text);
    if (len < 0 || len >= (int)sizeof form || bb_endpoint_parse(form, &endpoint) != BB_OK)
        return false;
    *fd = endpoint.fd;
    return true;
}

static bool parse(int argc, char **argv, struct options *out) {
    static const struct option long_options[] = {
        {"nsm", required_argument, NULL, 'n'},      {"store", required_argument, NULL, 's'},
        {"config", required_argument, NULL, 'c'},   {"listen", required_argument, NULL, 'l'},
        {"ready-fd", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    struct options found = {.ready_fd = -1};
    unsigned seen = 0;
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        bool good = option != '?';
        if (option == 'n')
            good = bb_endpoint_parse(optarg, &found.boot.nsm) == BB_OK;
        else if (option == 's')
            good = bb_endpoint_parse(optarg, &found.boot.store) == BB_OK;
        else if (option == 'l')
            good = bb_endpoint_parse(optarg, &found.boot.listen) == BB_OK &&
                   found.boot.listen.kind == BB_ENDPOINT_TCP;
        else if (option == 'r')
            good = parse_fd(optarg, &found.ready_fd);
        else
            found.boot.config_path = optarg;
        if (!good)
            return false;
        seen |= option == 'r' ? 0u : 1u << (unsigned)(option - 'a');
    }
    *out = found;
    return optind == argc &&
           seen == (1u << ('n' - 'a') | 1u << ('s' - 'a') | 1u << ('c' - 'a') | 1u << ('l' - 'a'));
}

/* Tells whoever started init; nobody is missed when nobody listens. */
struct report {
    int fd;
    const char *address;
};

static void send_report(struct report *report, json_t *json) {
    struct bb_buf line BB_CLEANUP_BUF = BB_BUF_INIT(2 * REASON_MAX + 64);
    char *text BB_CLEANUP_FREE = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (report->fd < 0)
        return;
    enum bb_err err = text == NULL ? BB_ERR_NO_MEMORY : bb_buf_printf(&line, "%s\n", text);
    if (err == BB_OK) /* at once, so that whoever reads gets a whole line */
        err = bb_fd_write_all(report->fd, bb_buf_view(&line), 1000);
    if (err != BB_OK)
        bb_say("whoever started this cannot be told: %s", bb_err_sentence(err));
}

static void report_ready(void *context) {
    struct report *report = context;
    send_report(report, json_pack("{s:s, s:s}", "state", "ready", "listen", report->address));
}

static int failed(struct report *report, enum bb_err err, struct bb_buf *reason) {
    const char *why = reason->len > 0 ? bb_buf_str(reason) : bb_err_sentence(err);
    bb_say("failed: %s", why);
    send_report(report, json_pack("{s:s, s:s}", "state", "failed", "reason", why));
    return 1;
}

static enum bb_err find_speech(struct bb_buf *path, struct bb_buf *reason) {
    static const char *const places[] = {"speech/blindbox-speech", "blindbox-speech",
                                         "../libexec/blindbox/blindbox-speech"};
    enum bb_err err = bb_program_find(places, sizeof places / sizeof *places, path);
    if (err == BB_ERR_NOT_FOUND &&
        bb_buf_append_str(reason, "the program blindbox-speech is not beside blindboxd") != BB_OK)
        return BB_ERR_NO_MEMORY;
    return err;
}

static int run(const struct options *options, struct report *report) {
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(REASON_MAX);
    struct bb_buf speech BB_CLEANUP_BUF = BB_BUF_INIT(PATH_BYTES);
    struct bb_boot boot BB_CLEANUP_BOOT = {
        .nsm = {.fd = -1}, .store_fd = -1, .config_fd = -1, .model_fd = -1, .listen_fd = -1};
    enum bb_err err = bb_role_harden();
    if (err == BB_OK)
        err = find_speech(&speech, &reason);
    if (err == BB_OK)
        err = bb_boot(&options->boot, &boot, &reason);
    if (err != BB_OK)
        return failed(report, err, &reason);
    report->address = boot.address;
    const struct bb_roles roles = {.speech_path = bb_buf_str(&speech),
                                   .config_fd = boot.config_fd,
                                   .model_fd = boot.model_fd,
                                   .listen_fd = boot.listen_fd,
                                   .nsm = &boot.nsm};
    err = bb_supervise(&roles, report_ready, report, &reason);
    return err == BB_OK ? 0 : failed(report, err, &reason);
}

int bb_init_main(int argc, char **argv) {
    struct options options;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (!parse(argc, argv, &options)) {
        fputs(usage, stderr);
        return 2;
    }
    struct report report = {.fd = options.ready_fd};
    int status = run(&options, &report);
    bb_fd_close(&report.fd);
    return status;
}
