/*
 * `blindbox verify`: judges an attestation document, or an enclave's certificate, that lies in a file. Talks
 * to nobody. Prints what the evidence says, marked as not verified unless every check has passed, and every
 * check.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <blindbox/verify.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hex.h"
#include "cli/enclave.h"
#include "cli/evidence_file.h"
#include "cli/moment.h"
#include "cli/report.h"
#include "cli/show.h"
#include "cli/text.h"
#include "cli/verbs.h"
#include "crypto/cert.h"

#define FIELD_MAX_BYTES 1024u

static const char usage[] =
    "Usage: blindbox verify [FILE] [OPTION…]\n"
    "\n"
    "Judges the attestation document (CBOR, base64 or hexadecimal) or the enclave's certificate (PEM or DER) "
    "in\n"
    "FILE (standard input without FILE, or for -) without talking to anybody: prints each of its fields, and "
    "each\n"
    "check, passed or failed. Nothing is good without --measurements.\n"
    "\n"
    "  --measurements FILE  demand the PCRs in this JSON file (as nitro-cli prints them)\n"
    "  --root FILE          trust the certificates in this PEM file instead of AWS's root\n"
    "  --time WHEN          judge as of WHEN: 2026-02-03T14:05:06Z, seconds since 1970, or `document`, the "
    "time in\n"
    "                       the document itself (default: now)\n"
    "  --max-age SECONDS    refuse older attestation documents (default 3600)\n"
    "  --nonce HEX          demand this nonce\n"
    "  --user-data HEX      demand this user data\n"
    "  --public-key FILE    demand this public key (the bytes of FILE; of a PEM certificate, its key)\n"
    "  --allow-debug        accept an enclave in debug mode, whose memory its operator can read\n"
    "  --json               print one JSON object instead\n"
    "  --help               this text\n"
    "\n"
    "Exit status: 0 every check passed, 1 the file cannot be read, 2 wrong usage, 3 attestation verification "
    "failed.\n";

/* Bytes that the document must have in a field, if given. */
struct wanted {
    bool given;
    size_t len;
    uint8_t bytes[FIELD_MAX_BYTES];
};

struct options {
    struct bb_cli_enclave_options enclave;
    const char *file;
    const char *public_key_file;
    struct wanted nonce, user_data, public_key;
    int64_t time_ms;
    bool time_given, time_of_document;
    bool json;
    bool help;
};

static const struct option long_options[] = {
    {"measurements", required_argument, NULL, 'm'},
    {"root", required_argument, NULL, 'r'},
    {"max-age", required_argument, NULL, 'a'},
    {"allow-debug", no_argument, NULL, 'd'},
    {"time", required_argument, NULL, 't'},
    {"nonce", required_argument, NULL, 'N'},
    {"user-data", required_argument, NULL, 'u'},
    {"public-key", required_argument, NULL, 'k'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool take_hex(const char *option, const char *text, struct wanted *out) {
    size_t len = strlen(text) / 2;
    if (len > sizeof out->bytes || bb_hex_decode(bb_view_str(text), out->bytes, len) != BB_OK) {
        bb_cli_usage("verify", "--%s %s: not hexadecimal digits, two for each byte, at most %u bytes", option,
                     text, FIELD_MAX_BYTES);
        return false;
    }
    out->len = len;
    out->given = true;
    return true;
}

static bool take_time(const char *text, struct options *options) {
    options->time_of_document = strcmp(text, "document") == 0;
    options->time_given = !options->time_of_document;
    if (options->time_of_document || bb_cli_moment_parse(text, &options->time_ms))
        return true;
    bb_cli_usage("verify", "--time %s: neither 2026-02-03T14:05:06Z nor seconds since 1970 nor `document`",
                 text);
    return false;
}

static bool take_option(int letter, const char *value, struct options *options) {
    switch (letter) {
    case 't':
        return take_time(value, options);
    case 'N':
        return take_hex("nonce", value, &options->nonce);
    case 'u':
        return take_hex("user-data", value, &options->user_data);
    case 'k':
        options->public_key_file = value;
        return true;
    case 'j':
        options->json = true;
        return true;
    case 'h':
        options->help = true;
        return true;
    default:
        return bb_cli_enclave_option("verify", letter, value, &options->enclave);
    }
}

static int read_options(int argc, char **argv, struct options *options) {
    int letter;
    while ((letter = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
        if (!take_option(letter, optarg, options))
            return BB_CLI_USAGE;
    if (argc - optind > 1)
        return bb_cli_usage("verify", "one file at a time");
    options->file = optind < argc ? argv[optind] : "-";
    return BB_CLI_GOOD;
}

/* What is judged, and what came of it. */
struct judgement {
    struct bb_policy *policy;
    struct bb_cli_evidence evidence;
    struct bb_report *report;
    struct bb_document *document; /* verified or not; NULL: cannot be read */
    int64_t now_ms;
    const char *clock; /* where now_ms comes from */
    enum bb_err err;
    bool simulated;
};

static void judgement_done(struct judgement *judgement) {
    bb_policy_free(judgement->policy);
    bb_cli_evidence_done(&judgement->evidence);
    bb_report_free(judgement->report);
    bb_document_free(judgement->document);
}

/* A key in PEM is more often asked for by its certificate than by itself. */
static int read_public_key(const char *path, struct wanted *out) {
    struct bb_buf file BB_CLEANUP_BUF = BB_BUF_INIT((size_t)64 * 1024);
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_view rest;
    enum bb_err err = bb_file_read(path, &file);
    if (err != BB_OK)
        return bb_cli_fail_file(path, err);
    struct bb_view key = bb_buf_view(&file);
    if (bb_cert_parse_pem(key, &cert, &rest) == BB_OK)
        key = bb_cert_spki(cert);
    if (key.len > sizeof out->bytes)
        return bb_cli_fail("--public-key %s: longer than any document's public key (%u bytes)", path,
                           FIELD_MAX_BYTES);
    if (key.len > 0)
        memcpy(out->bytes, key.data, key.len);
    out->len = key.len;
    out->given = true;
    return BB_CLI_GOOD;
}

/* The document inside, verified by nothing. BB_ERR_…: it cannot be read. */
static enum bb_err look_inside(const struct bb_cli_evidence *evidence, struct bb_document **document) {
    struct bb_view bytes = bb_buf_view(&evidence->bytes);
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    enum bb_err err = BB_OK;
    if (evidence->certificate)
        err = bb_cert_parse(bytes, &cert);
    if (err == BB_OK && evidence->certificate)
        err = bb_cert_extension(cert, BB_OID_EVIDENCE, &bytes);
    return err == BB_OK ? bb_document_parse_unverified(bytes.data, bytes.len, document) : err;
}

static void choose_time(const struct options *options, struct judgement *judgement) {
    judgement->now_ms = bb_clock_wall_ms();
    judgement->clock = "this machine's clock";
    if (options->time_given) {
        judgement->now_ms = options->time_ms;
        judgement->clock = "--time";
    }
    if (!options->time_of_document)
        return;
    int64_t made_ms = judgement->document != NULL ? bb_document_timestamp_ms(judgement->document) : 0;
    if (made_ms != 0)
        judgement->now_ms = made_ms;
    judgement->clock = made_ms != 0 ? "the document's own time: its age and today's validity are not judged"
                                    : "this machine's clock, as the document's time cannot be read";
}

static void judge(const struct options *options, struct judgement *judgement) {
    const struct bb_expectation expectation = {
        .public_key = options->public_key.given ? options->public_key.bytes : NULL,
        .public_key_len = options->public_key.len,
        .nonce = options->nonce.given ? options->nonce.bytes : NULL,
        .nonce_len = options->nonce.len,
        .user_data = options->user_data.given ? options->user_data.bytes : NULL,
        .user_data_len = options->user_data.len,
    };
    struct bb_view bytes = bb_buf_view(&judgement->evidence.bytes);
    struct bb_document *verified = NULL;
    if (judgement->evidence.certificate)
        judgement->err = bb_verify_certificate(bytes.data, bytes.len, judgement->policy, judgement->now_ms,
                                               judgement->report, &verified);
    else
        judgement->err = bb_verify_document(bytes.data, bytes.len, judgement->policy, &expectation,
                                            judgement->now_ms, judgement->report, &verified);
    if (judgement->err != BB_OK)
        return;
    bb_document_free(judgement->document);
    judgement->document = verified;
}

static int prepare(struct options *options, struct judgement *judgement) {
    int status = bb_cli_policy_new(&options->enclave, &judgement->policy);
    if (status == BB_CLI_GOOD && options->public_key_file != NULL)
        status = read_public_key(options->public_key_file, &options->public_key);
    if (status == BB_CLI_GOOD)
        status = bb_cli_evidence_read(options->file, &judgement->evidence);
    if (status != BB_CLI_GOOD)
        return status;
    bool demands = options->nonce.given || options->user_data.given || options->public_key.given;
    if (judgement->evidence.certificate && demands)
        return bb_cli_usage("verify",
                            "--nonce, --user-data and --public-key are for documents, and %s is a "
                            "certificate, whose document must name its own key",
                            options->file);
    judgement->simulated = !bb_policy_trusts_only_aws(judgement->policy);
    judgement->report = bb_report_new();
    if (judgement->report == NULL ||
        look_inside(&judgement->evidence, &judgement->document) == BB_ERR_NO_MEMORY)
        return bb_cli_fail("out of memory");
    choose_time(options, judgement);
    return BB_CLI_GOOD;
}

static const char *kind(const struct judgement *judgement) {
    return judgement->evidence.certificate ? "certificate" : "document";
}

static const char *first_failure(const struct judgement *judgement) {
    const char *sentence = bb_report_failure(judgement->report);
    return sentence != NULL ? sentence : bb_err_sentence(judgement->err);
}

static void print_content(const struct judgement *judgement) {
    bool good = judgement->err == BB_OK;
    const struct bb_cli_evidence *evidence = &judgement->evidence;
    if (evidence->certificate) {
        puts(good ? "VERIFIED certificate:" : "NOT VERIFIED certificate: anybody can write what follows.");
        bb_cli_certificate_print("  ", evidence->bytes.data, evidence->bytes.len);
    }
    if (judgement->document == NULL) {
        puts("No attestation document can be read.");
        return;
    }
    puts(good ? "VERIFIED document:" : "NOT VERIFIED document: anybody can write what follows.");
    bb_cli_document_print(judgement->document);
}

/* All that failed, the cause first. */
static void print_failures(const struct judgement *judgement) {
    const struct bb_report *report = judgement->report;
    bool first = true;
    fputs("Attestation verification failed: ", stderr);
    bb_cli_print_safely(stderr, first_failure(judgement));
    putc('\n', stderr);
    for (size_t i = 0; i < bb_report_count(report); i++) {
        if (bb_report_err(report, i) == BB_OK)
            continue;
        if (!first) {
            fputs("  and: ", stderr);
            bb_cli_print_safely(stderr, bb_report_sentence(report, i));
            putc('\n', stderr);
        }
        first = false;
    }
}

static void print_text(const struct options *options, const struct judgement *judgement) {
    char when[BB_CLI_TIME_MAX];
    if (judgement->simulated)
        puts(BB_CLI_SIMULATED);
    fputs("evidence ", stdout);
    bb_cli_print_safely(stdout, options->file);
    printf(": %s, %zu bytes, %s\n", kind(judgement), judgement->evidence.bytes.len,
           judgement->evidence.encoding);
    printf("judged as of %s (%s)\n", bb_cli_time_text(judgement->now_ms, when), judgement->clock);
    print_content(judgement);
    bb_cli_report_print(judgement->report);
    if (judgement->err == BB_OK)
        puts("Attestation verified: every check passed.");
    if (judgement->evidence.certificate)
        puts("Not checked: that whoever showed this certificate has its key. Only a handshake proves that "
             "(`blindbox attest`).");
    fflush(stdout);
    if (judgement->err != BB_OK)
        print_failures(judgement);
}

static int print_json(const struct options *options, const struct judgement *judgement) {
    char when[BB_CLI_TIME_MAX], sentence[BUFSIZ] = "";
    bool good = judgement->err == BB_OK;
    if (judgement->simulated)
        fprintf(stderr, "%s\n", BB_CLI_SIMULATED);
    if (!good)
        snprintf(sentence, sizeof sentence, "Attestation verification failed: %s", first_failure(judgement));
    const struct bb_buf *bytes = &judgement->evidence.bytes;
    json_t *root = json_pack(
        "{s:b, s:b, s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "verified", good, "simulated",
        judgement->simulated, "file", bb_cli_json_text(options->file), "kind", kind(judgement), "encoding",
        judgement->evidence.encoding, "time", bb_cli_time_text(judgement->now_ms, when), "clock",
        judgement->clock, "code", bb_err_name(judgement->err), "error", bb_cli_json_text(sentence), "checks",
        bb_cli_report_to_json(judgement->report), "certificate",
        judgement->evidence.certificate ? bb_cli_certificate_to_json(bytes->data, bytes->len) : json_null(),
        good ? "document" : "unverified_document",
        judgement->document != NULL ? bb_cli_document_to_json(judgement->document) : json_null());
    bool printed = root != NULL && json_dumpf(root, stdout, JSON_INDENT(2)) == 0;
    json_decref(root);
    putchar('\n');
    return printed ? BB_CLI_GOOD : bb_cli_fail("out of memory");
}

static int verify(struct options *options) {
    struct judgement judgement __attribute__((cleanup(judgement_done))) = {0};
    int status = prepare(options, &judgement);
    if (status != BB_CLI_GOOD)
        return status;
    judge(options, &judgement);
    if (judgement.err == BB_ERR_NO_MEMORY)
        return bb_cli_fail("out of memory");
    if (options->json)
        status = print_json(options, &judgement);
    else
        print_text(options, &judgement);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        status = bb_cli_fail("the result cannot be written to standard output");
    return judgement.err != BB_OK ? BB_CLI_ATTESTATION : status;
}

int bb_cli_verify(int argc, char **argv) {
    struct options options = {0};
    int status = read_options(argc, argv, &options);
    if (status != BB_CLI_GOOD)
        return status;
    if (options.help) {
        fputs(usage, stdout);
        return BB_CLI_GOOD;
    }
    return verify(&options);
}
