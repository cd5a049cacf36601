/*
 * Which enclave a verb talks to and what it demands of it: from the command line (an address, a root,
 * measurements) or from what `blindbox up` wrote about an enclave that it started.
 */
#ifndef BB_CLI_ENCLAVE_H
#define BB_CLI_ENCLAVE_H

#include <stdbool.h>
#include <stdint.h>

#include <blindbox/connection.h>
#include <blindbox/policy.h>

/* The options that attest and transcribe share; getopt_long's table for them, and where their values go. */
struct bb_cli_enclave_options {
    const char *address;      /* NULL: the enclave that `blindbox up --name` started */
    const char *name;         /* NULL: "default" */
    const char *root;         /* PEM file; NULL: AWS's root, or the named enclave's */
    const char *measurements; /* JSON file; NULL: the named enclave's */
    int64_t max_age_s;        /* 0: the library's default */
    bool allow_debug;
};

#define BB_CLI_ENCLAVE_LONG_OPTIONS                                                                          \
    {"name", required_argument, NULL, 'n'}, {"root", required_argument, NULL, 'r'},                          \
        {"measurements", required_argument, NULL, 'm'}, {"max-age", required_argument, NULL, 'a'},           \
        {"allow-debug", no_argument, NULL, 'd'}

#define BB_CLI_ENCLAVE_HELP                                                                                  \
    "  --root FILE          trust the certificates in this PEM file instead of AWS's root\n"                 \
    "  --measurements FILE  demand the PCRs in this JSON file (as nitro-cli prints them)\n"                  \
    "  --max-age SECONDS    refuse older attestation documents (default 3600)\n"                             \
    "  --allow-debug        accept an enclave in debug mode, whose memory its operator can read\n"           \
    "  --name NAME          the enclave that `blindbox up --name NAME` started (default: default)\n"

/* Takes one of the options above. Returns false when the value is of no use (and says why). */
bool bb_cli_enclave_option(const char *verb, int letter, const char *value,
                           struct bb_cli_enclave_options *options);

/*
 * The policy that the options ask for; without measurements it is empty and accepts nothing. Returns
 * BB_CLI_GOOD, or says what is wrong and returns the exit status.
 */
int bb_cli_policy_new(const struct bb_cli_enclave_options *options, struct bb_policy **policy);

struct bb_cli_enclave {
    struct bb_policy *policy;
    struct bb_connection *connection; /* not connected yet */
    bool simulated;                   /* a root other than AWS's is trusted */
};

/* Returns BB_CLI_GOOD, or says what is wrong and returns the exit status. */
int bb_cli_enclave_open(const char *verb, const struct bb_cli_enclave_options *options,
                        struct bb_cli_enclave *enclave);
void bb_cli_enclave_close(struct bb_cli_enclave *enclave);

/* The sentence that everything not vouched for by hardware begins with. */
#define BB_CLI_SIMULATED                                                                                     \
    "SIMULATED: the trusted root is not AWS's, so no hardware vouches for this enclave; for trials only"

#endif
