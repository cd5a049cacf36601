/* `blindbox down`: stops an enclave that `blindbox up` started, and waits until it has stopped. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/text.h"
#include "cli/verbs.h"
#include "host/launcher.h"
#include "host/state_dir.h"

#define VERB "down"

static const char usage[] =
    "Usage: blindbox down [--name NAME]\n"
    "\n"
    "Stops the enclave that `blindbox up --name NAME` started and waits until all its processes\n"
    "have ended. Requests that are being answered have 5 seconds to finish. That it is not up\n"
    "is no failure.\n"
    "\n"
    "  --name NAME   the enclave; default: default\n"
    "  -h, --help    this text\n";

static int stop(const char *name) {
    bool killed = false;
    enum bb_err err = bb_launch_stop(name, &killed);
    if (err == BB_ERR_NOT_FOUND)
        printf("the enclave %s is not up\n", name);
    else if (err == BB_ERR_JSON)
        return bb_cli_fail("what is written about the enclave %s is damaged", name);
    else if (err != BB_OK)
        return bb_cli_fail("the enclave %s cannot be stopped: %s", name,
                           err == BB_ERR_IO ? strerror(errno) : bb_err_sentence(err));
    else
        printf("the enclave %s has been %s\n", name, killed ? "killed: it did not stop in time" : "stopped");
    return BB_CLI_GOOD;
}

int bb_cli_down(int argc, char **argv) {
    static const struct option known[] = {
        {"name", required_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *name = "default";
    for (int letter; (letter = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (letter == 'h') {
            fputs(usage, stdout);
            return BB_CLI_GOOD;
        }
        if (letter != 'n')
            return bb_cli_hint(VERB);
        name = optarg;
    }
    if (optind < argc)
        return bb_cli_usage(VERB, "unexpected argument %s", argv[optind]);
    if (!bb_enclave_name_valid(name))
        return bb_cli_usage(VERB, "--name %s: 1 to 32 of a-z, 0-9 and - are allowed", name);
    return stop(name);
}
