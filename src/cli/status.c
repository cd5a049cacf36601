/* `blindbox status`: is an enclave up that `blindbox up` started, and where. Asks the system, not the
 * enclave. */
#include <getopt.h>
#include <stdio.h>

#include "cli/text.h"
#include "cli/verbs.h"
#include "host/launcher_record.h"
#include "host/state_dir.h"

#define VERB "status"

static const char usage[] =
    "Usage: blindbox status [--name NAME] [--json]\n"
    "\n"
    "Says whether the enclave that `blindbox up --name NAME` started is up, and where.\n"
    "Exit status: 0 ready, 1 not.\n"
    "\n"
    "  --name NAME   the enclave; default: default\n"
    "  --json        everything that is known, as JSON\n"
    "  -h, --help    this text\n";

static int print_json(const char *name, const struct bb_record *record) {
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(BB_RECORD_MAX_BYTES);
    enum bb_err err = bb_record_to_json(name, record, &text);
    if (err != BB_OK)
        return bb_cli_fail("%s", bb_err_sentence(err));
    fputs(bb_buf_str(&text), stdout);
    return record->ready ? BB_CLI_GOOD : BB_CLI_FAILED;
}

static int print_text(const char *name, const struct bb_record *record) {
    printf("SIMULATED: the enclave %s runs as processes on this machine\n", name);
    printf("state         %s\n", record->ready ? "ready" : "starting");
    printf("address       %s\n", record->address);
    printf("root          %s\n", record->root);
    printf("measurements  %s\n", record->measurements);
    printf("speech model  %s %s\n", record->model_name, record->model_digest);
    printf("started       %s (process %d)\n", record->started, (int)record->pid);
    return record->ready ? BB_CLI_GOOD : BB_CLI_FAILED;
}

static int show(const char *name, bool json) {
    struct bb_record record;
    enum bb_err err = bb_record_read(name, &record);
    if (err == BB_OK)
        return json ? print_json(name, &record) : print_text(name, &record);
    if (err != BB_ERR_NOT_FOUND)
        return bb_cli_fail("what is written about the enclave %s cannot be read: %s", name,
                           bb_err_sentence(err));
    if (json)
        printf("{\n  \"name\": \"%s\",\n  \"state\": \"down\"\n}\n", name);
    else
        printf("the enclave %s is not up\n", name);
    return BB_CLI_FAILED;
}

int bb_cli_status(int argc, char **argv) {
    static const struct option known[] = {{"name", required_argument, NULL, 'n'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *name = "default";
    bool json = false;
    for (int letter; (letter = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (letter == 'h') {
            fputs(usage, stdout);
            return BB_CLI_GOOD;
        }
        if (letter != 'n' && letter != 'j')
            return bb_cli_hint(VERB);
        json = json || letter == 'j';
        name = letter == 'n' ? optarg : name;
    }
    if (optind < argc)
        return bb_cli_usage(VERB, "unexpected argument %s", argv[optind]);
    if (!bb_enclave_name_valid(name))
        return bb_cli_usage(VERB, "--name %s: 1 to 32 of a-z, 0-9 and - are allowed", name);
    return show(name, json);
}
