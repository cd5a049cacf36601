/*
 * `blindbox attest`: connects to an enclave, prints everything that was checked about it and its fresh
 * evidence, and does nothing else. Saves the certificate or the document only after every check has passed.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <blindbox/verify.h>

#include "base/fd.h"
#include "cli/enclave.h"
#include "cli/report.h"
#include "cli/show.h"
#include "cli/text.h"
#include "cli/verbs.h"

static const char usage[] =
    "Usage: blindbox attest [ADDRESS] [OPTION…]\n"
    "\n"
    "Connects to the enclave at ADDRESS (HOST, HOST:PORT, [IPV6]:PORT; port 443 unless named), prints each "
    "thing\n"
    "that was checked about it and about fresh evidence for this connection, one per line, and does nothing\n"
    "else. Without ADDRESS: the enclave that `blindbox up` started.\n"
    "\n" BB_CLI_ENCLAVE_HELP "  --save-cert FILE     when all is well, write the server's certificate (PEM), "
    "for tools that can pin one\n"
    "  --save-document FILE when all is well, write the attestation document (CBOR)\n"
    "  --json               print one JSON object instead\n"
    "  --help               this text\n"
    "\n"
    "Exit status: 0 every check passed, 1 no answer to check, 2 wrong usage, 3 attestation verification "
    "failed.\n";

struct options {
    struct bb_cli_enclave_options enclave;
    const char *save_certificate;
    const char *save_document;
    bool json;
    bool help;
};

static const struct option long_options[] = {
    BB_CLI_ENCLAVE_LONG_OPTIONS,
    {"save-cert", required_argument, NULL, 'c'},
    {"save-document", required_argument, NULL, 'D'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int read_options(int argc, char **argv, struct options *options) {
    int letter;
    while ((letter = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (letter == 'c')
            options->save_certificate = optarg;
        else if (letter == 'D')
            options->save_document = optarg;
        else if (letter == 'j')
            options->json = true;
        else if (letter == 'h')
            options->help = true;
        else if (!bb_cli_enclave_option("attest", letter, optarg, &options->enclave))
            return BB_CLI_USAGE;
    }
    if (argc - optind > 1)
        return bb_cli_usage("attest", "one address at a time");
    options->enclave.address = optind < argc ? argv[optind] : NULL;
    return BB_CLI_GOOD;
}

static void print_text(const struct bb_cli_enclave *enclave, enum bb_err err) {
    const struct bb_connection *connection = enclave->connection;
    if (enclave->simulated)
        puts(BB_CLI_SIMULATED);
    printf("enclave %s\n", bb_connection_address(connection));
    bb_cli_report_print(bb_connection_report(connection));
    if (err == BB_OK)
        puts("Attestation verified: every check passed.");
    fflush(stdout);
    if (err == BB_OK)
        return;
    if (bb_connection_attestation_failed(connection))
        fprintf(stderr, "%s\n", bb_connection_error_text(connection));
    else
        bb_cli_fail("%s", bb_connection_error_text(connection));
}

static int print_json(const struct bb_cli_enclave *enclave, enum bb_err err) {
    const struct bb_connection *connection = enclave->connection;
    if (enclave->simulated)
        fprintf(stderr, "%s\n", BB_CLI_SIMULATED);
    json_t *root =
        json_pack("{s:b, s:b, s:s, s:s, s:o, s:o}", "verified", err == BB_OK, "simulated", enclave->simulated,
                  "address", bb_connection_address(connection), "code", bb_err_name(err), "error",
                  bb_cli_json_text(bb_connection_error_text(connection)), "checks",
                  bb_cli_report_to_json(bb_connection_report(connection)));
    const struct bb_document *document = bb_connection_document(connection);
    if (root != NULL && document != NULL)
        json_object_set_new(root, "document", bb_cli_document_to_json(document));
    bool printed = root != NULL && json_dumpf(root, stdout, JSON_INDENT(2)) == 0;
    json_decref(root);
    putchar('\n');
    return printed ? BB_CLI_GOOD : bb_cli_fail("out of memory");
}

static int save(const char *path, const void *data, size_t len) {
    if (path == NULL)
        return BB_CLI_GOOD;
    enum bb_err err = bb_file_write(path, bb_view(data, len), 0644);
    return err == BB_OK ? BB_CLI_GOOD : bb_cli_fail_file(path, err);
}

static int save_evidence(const struct options *options, const struct bb_connection *connection) {
    size_t len;
    const void *data = bb_connection_certificate_pem(connection, &len);
    int status = save(options->save_certificate, data, len);
    data = bb_connection_evidence(connection, &len);
    int other = save(options->save_document, data, len);
    return status != BB_CLI_GOOD ? status : other;
}

static int attest(const struct options *options, const struct bb_cli_enclave *enclave) {
    enum bb_err err = bb_connection_attest(enclave->connection);
    int status = BB_CLI_GOOD;
    if (options->json)
        status = print_json(enclave, err);
    else
        print_text(enclave, err);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        status = bb_cli_fail("the result cannot be written to standard output");
    if (err != BB_OK)
        return bb_connection_attestation_failed(enclave->connection) ? BB_CLI_ATTESTATION : BB_CLI_FAILED;
    return status == BB_CLI_GOOD ? save_evidence(options, enclave->connection) : status;
}

int bb_cli_attest(int argc, char **argv) {
    struct options options = {0};
    int status = read_options(argc, argv, &options);
    if (status != BB_CLI_GOOD)
        return status;
    if (options.help) {
        fputs(usage, stdout);
        return BB_CLI_GOOD;
    }
    struct bb_cli_enclave enclave __attribute__((cleanup(bb_cli_enclave_close))) = {0};
    status = bb_cli_enclave_open("attest", &options.enclave, &enclave);
    return status == BB_CLI_GOOD ? attest(&options, &enclave) : status;
}
