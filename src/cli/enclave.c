/* See enclave.h. */
#include "cli/enclave.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "cli/text.h"
#include "cli/verbs.h"
#include "host/launcher_record.h"

#define FILE_MAX_BYTES ((size_t)1024 * 1024) /* a root or measurements file */

static bool take_seconds(const char *verb, const char *value, int64_t *out) {
    char *end;
    errno = 0;
    long seconds = strtol(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 || seconds < 1 || seconds > INT32_MAX) {
        bb_cli_usage(verb, "--max-age %s: not a number of seconds (1 or more)", value);
        return false;
    }
    *out = seconds;
    return true;
}

bool bb_cli_enclave_option(const char *verb, int letter, const char *value,
                           struct bb_cli_enclave_options *options) {
    switch (letter) {
    case 'n':
        options->name = value;
        return true;
    case 'r':
        options->root = value;
        return true;
    case 'm':
        options->measurements = value;
        return true;
    case 'a':
        return take_seconds(verb, value, &options->max_age_s);
    case 'd':
        options->allow_debug = true;
        return true;
    default: /* getopt_long has said what is wrong */
        bb_cli_hint(verb);
        return false;
    }
}

static int trust_root(struct bb_policy *policy, const char *path) {
    if (path == NULL)
        return bb_policy_trust_aws(policy) == BB_OK ? BB_CLI_GOOD : bb_cli_fail("out of memory");
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX_BYTES);
    enum bb_err err = bb_file_read(path, &pem);
    if (err != BB_OK)
        return bb_cli_fail_file(path, err);
    err = bb_policy_trust_root_pem(policy, bb_buf_str(&pem), pem.len);
    return err == BB_OK ? BB_CLI_GOOD : bb_cli_fail("--root %s: %s", path, bb_err_sentence(err));
}

static int load_measurements(struct bb_policy *policy, const char *path) {
    struct bb_buf json BB_CLEANUP_BUF = BB_BUF_INIT(FILE_MAX_BYTES);
    enum bb_err err = bb_file_read(path, &json);
    if (err != BB_OK)
        return bb_cli_fail_file(path, err);
    err = bb_policy_load_measurements(policy, bb_buf_str(&json), json.len);
    return err == BB_OK ? BB_CLI_GOOD : bb_cli_fail("--measurements %s: %s", path, bb_err_sentence(err));
}

int bb_cli_policy_new(const struct bb_cli_enclave_options *options, struct bb_policy **policy) {
    struct bb_policy *made = bb_policy_new();
    if (made == NULL)
        return bb_cli_fail("out of memory");
    if (options->max_age_s > 0)
        bb_policy_set_max_age_ms(made, options->max_age_s * 1000);
    bb_policy_allow_debug(made, options->allow_debug);
    int status = trust_root(made, options->root);
    if (status == BB_CLI_GOOD && options->measurements != NULL)
        status = load_measurements(made, options->measurements);
    if (status == BB_CLI_GOOD)
        *policy = made;
    else
        bb_policy_free(made);
    return status;
}

static int open_checked(const char *verb, const struct bb_cli_enclave_options *options,
                        struct bb_cli_enclave *enclave) {
    int status = bb_cli_policy_new(options, &enclave->policy);
    if (status != BB_CLI_GOOD)
        return status;
    enclave->simulated = !bb_policy_trusts_only_aws(enclave->policy);
    enum bb_err err = bb_connection_new(options->address, enclave->policy, &enclave->connection);
    if (err == BB_ERR_ARGUMENT)
        return bb_cli_usage(verb,
                            "%s: not an address (HOST, HOST:PORT, [IPV6]:PORT, with or without https://)",
                            options->address);
    return err == BB_OK ? BB_CLI_GOOD : bb_cli_fail("%s", bb_err_sentence(err));
}

/* What `blindbox up` wrote down about an enclave that it started. */
static int find_started(const char *name, struct bb_record *record) {
    enum bb_err err = bb_record_read(name, record);
    if (err == BB_ERR_ARGUMENT)
        return bb_cli_fail("--name %s: not a name (1 to 32 of a-z, 0-9 and -)", name);
    if (err == BB_ERR_NOT_FOUND)
        return bb_cli_fail("no enclave '%s' is up; start it with `blindbox up`, or name an address", name);
    if (err != BB_OK)
        return bb_cli_fail("what is written down about enclave '%s' cannot be used: %s", name,
                           bb_err_sentence(err));
    return record->ready ? BB_CLI_GOOD : bb_cli_fail("enclave '%s' is still starting", name);
}

int bb_cli_enclave_open(const char *verb, const struct bb_cli_enclave_options *options,
                        struct bb_cli_enclave *enclave) {
    struct bb_cli_enclave made = {0};
    struct bb_cli_enclave_options wanted = *options;
    struct bb_record record;
    if (wanted.address != NULL && wanted.name != NULL)
        return bb_cli_usage(verb, "an address and --name exclude each other");
    if (wanted.address == NULL) {
        int status = find_started(wanted.name != NULL ? wanted.name : "default", &record);
        if (status != BB_CLI_GOOD)
            return status;
        wanted.address = record.address;
        wanted.root = wanted.root != NULL ? wanted.root : record.root;
        wanted.measurements = wanted.measurements != NULL ? wanted.measurements : record.measurements;
    }
    if (wanted.measurements == NULL)
        return bb_cli_usage(verb, "--measurements FILE is needed: it says which enclave is the right one");
    int status = open_checked(verb, &wanted, &made);
    if (status == BB_CLI_GOOD)
        *enclave = made;
    else
        bb_cli_enclave_close(&made);
    return status;
}

void bb_cli_enclave_close(struct bb_cli_enclave *enclave) {
    bb_connection_free(enclave->connection);
    bb_policy_free(enclave->policy);
    *enclave = (struct bb_cli_enclave){0};
}
