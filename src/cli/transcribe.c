/*
 * `blindbox transcribe`: sends recordings to an enclave, after its evidence was found good, and prints what
 * was said. Recordings are streamed from their files; neither their names nor their texts are kept anywhere.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <blindbox/transcribe.h>

#include "base/clock.h"
#include "cli/enclave.h"
#include "cli/recording.h"
#include "cli/text.h"
#include "cli/verbs.h"

static const char usage[] =
    "Usage: blindbox transcribe FILE… [--to ADDRESS] [OPTION…]\n"
    "\n"
    "Prints what is said in each recording (WAV, FLAC, Ogg Vorbis, Opus, MP3; `-`: standard input). The "
    "enclave's\n"
    "attestation is verified before anything is sent to it. Without --to: the enclave that `blindbox up` "
    "started.\n"
    "\n"
    "  --to ADDRESS         HOST, HOST:PORT or [IPV6]:PORT; port 443 unless named\n" BB_CLI_ENCLAVE_HELP
    "  --format text|json   a line of text (default) or {\"text\":\"…\"} for each recording\n"
    "  --language CODE      the language that is spoken, as ISO 639-1 (en)\n"
    "  --prompt TEXT        words that precede the recording, for names and spellings\n"
    "  --quiet              no progress and no notice on standard error, only errors\n"
    "  --help               this text\n"
    "\n"
    "Exit status: 0 all done, 1 something failed, 2 wrong usage, 3 attestation verification failed.\n";

struct options {
    struct bb_cli_enclave_options enclave;
    const char *language;
    const char *prompt;
    bool json;
    bool quiet;
    bool help;
};

static const struct option long_options[] = {
    BB_CLI_ENCLAVE_LONG_OPTIONS,
    {"to", required_argument, NULL, 't'},
    {"format", required_argument, NULL, 'f'},
    {"language", required_argument, NULL, 'l'},
    {"prompt", required_argument, NULL, 'p'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool take_option(int letter, const char *value, struct options *options) {
    switch (letter) {
    case 't':
        options->enclave.address = value;
        return true;
    case 'f':
        options->json = strcmp(value, "json") == 0;
        if (options->json || strcmp(value, "text") == 0)
            return true;
        bb_cli_usage("transcribe", "--format %s: there are text and json", value);
        return false;
    case 'l':
        options->language = value;
        return true;
    case 'p':
        options->prompt = value;
        return true;
    case 'q':
        options->quiet = true;
        return true;
    case 'h':
        options->help = true;
        return true;
    default:
        return bb_cli_enclave_option("transcribe", letter, value, &options->enclave);
    }
}

/* A line that is written over again and again, for a person who waits. */
struct progress {
    const char *name;
    int64_t begun_ms;
    int64_t shown_ms;
};

static bool show_progress(void *context, uint64_t sent, uint64_t total) {
    struct progress *progress = context;
    int64_t now = bb_clock_monotonic_ms();
    if (now - progress->shown_ms < 100)
        return true;
    progress->shown_ms = now;
    fputs("\r\033[K", stderr);
    bb_cli_print_safely(stderr, progress->name);
    if (total > 0 && sent < total)
        fprintf(stderr, ": sent %u %%", (unsigned)(100 * (sent / 1024) / (total / 1024 + 1)));
    else
        fprintf(stderr, ": waiting for the text, %lld s", (long long)(now - progress->begun_ms) / 1000);
    fflush(stderr);
    return true;
}

static bool print_transcript(const struct bb_transcript *transcript, bool as_json) {
    size_t len;
    const char *text = bb_transcript_text(transcript, &len);
    if (!as_json) {
        fwrite(text, 1, len, stdout);
    } else {
        json_t *object = json_pack("{s:s%}", "text", text, len);
        bool dumped = object != NULL && json_dumpf(object, stdout, JSON_COMPACT) == 0;
        json_decref(object);
        if (!dumped)
            return false;
    }
    putchar('\n');
    return fflush(stdout) == 0;
}

static int report_failure(const struct bb_connection *connection, const char *name) {
    const char *text = bb_connection_error_text(connection);
    int64_t retry = bb_connection_retry_after_s(connection);
    if (bb_connection_attestation_failed(connection)) {
        fprintf(stderr, "%s\n", text);
        return BB_CLI_ATTESTATION;
    }
    if (retry >= 0)
        return bb_cli_fail("%s: %s (try again in %lld s)", name, text, (long long)retry);
    return bb_cli_fail("%s: %s", name, text);
}

static int transcribe_file(const struct options *options, struct bb_connection *connection,
                           const char *path) {
    struct bb_cli_recording recording __attribute__((cleanup(bb_cli_recording_close))) = {.fd = -1};
    int status = bb_cli_recording_open(path, &recording);
    if (status != BB_CLI_GOOD)
        return status;
    bool visible = !options->quiet && isatty(STDERR_FILENO) == 1;
    struct progress progress = {.name = recording.name, .begun_ms = bb_clock_monotonic_ms()};
    struct bb_transcribe_options wishes = {.language = options->language, .prompt = options->prompt};
    if (visible) {
        wishes.progress = show_progress;
        wishes.progress_context = &progress;
    }
    struct bb_audio audio = bb_cli_recording_audio(&recording);
    struct bb_transcript *transcript = NULL;
    enum bb_err err = bb_transcribe(connection, &audio, &wishes, &transcript);
    if (visible)
        fputs("\r\033[K", stderr);
    if (err != BB_OK)
        return report_failure(connection, recording.name);
    bool printed = print_transcript(transcript, options->json);
    bb_transcript_free(transcript);
    return printed ? BB_CLI_GOOD : bb_cli_fail("the text cannot be written to standard output");
}

/* Goes on after a recording that failed, but not after an enclave that did. */
static int transcribe_all(const struct options *options, const struct bb_cli_enclave *enclave, char **paths,
                          int count) {
    if (enclave->simulated && !options->quiet)
        fprintf(stderr, "%s\n", BB_CLI_SIMULATED);
    int status = BB_CLI_GOOD;
    for (int i = 0; i < count; i++) {
        int result = transcribe_file(options, enclave->connection, paths[i]);
        if (result != BB_CLI_GOOD)
            status = result;
        if (result == BB_CLI_ATTESTATION)
            break;
    }
    return status;
}

int bb_cli_transcribe(int argc, char **argv) {
    struct options options = {0};
    int letter;
    while ((letter = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
        if (!take_option(letter, optarg, &options))
            return BB_CLI_USAGE;
    if (options.help) {
        fputs(usage, stdout);
        return BB_CLI_GOOD;
    }
    if (optind >= argc)
        return bb_cli_usage("transcribe", "which recording? Name a file, or - for standard input");
    struct bb_cli_enclave enclave __attribute__((cleanup(bb_cli_enclave_close))) = {0};
    int status = bb_cli_enclave_open("transcribe", &options.enclave, &enclave);
    return status == BB_CLI_GOOD ? transcribe_all(&options, &enclave, argv + optind, argc - optind) : status;
}
