/*
 * `blindbox store`: hands out model weights from the cache by their SHA-256. What it trusts and refuses: see
 * host/store.h.
 */
#include "host/store.h"

#include <getopt.h>
#include <stdio.h>

#include "cli/serve.h"
#include "cli/verbs.h"

static const char usage[] =
    "Usage: blindbox store (--connection fd:N | --listen unix:PATH) --cache DIR\n"
    "\n"
    "Hands out model weights by SHA-256 to an enclave, which checks them.\n"
    "\n"
    "  --connection fd:N   serve the inherited, connected socket N and end when it is closed\n"
    "  --listen unix:PATH  serve the connections of a Unix socket\n"
    "  --cache DIR         the cache's folder (weights lie in DIR/sha256)\n"
    "  -h, --help          this text\n";

struct options {
    const char *connection, *listen, *cache;
};

/* Returns whether to go on; if not, *status is the exit status. */
static bool parse(int argc, char **argv, struct options *options, int *status) {
    static const struct option known[] = {
        {"connection", required_argument, NULL, 'c'},
        {"listen", required_argument, NULL, 'l'},
        {"cache", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *status = BB_CLI_USAGE;
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        if (c == 'c') {
            options->connection = optarg;
        } else if (c == 'l') {
            options->listen = optarg;
        } else if (c == 'd') {
            options->cache = optarg;
        } else {
            if (c == 'h')
                *status = BB_CLI_GOOD;
            fputs(usage, c == 'h' ? stdout : stderr);
            return false;
        }
    }
    if (optind != argc || options->cache == NULL) {
        fprintf(stderr, "blindbox store: %s\n\n%s",
                optind != argc ? "unexpected argument" : "--cache is missing", usage);
        return false;
    }
    return true;
}

static enum bb_err serve_one(void *context, int fd) {
    return bb_store_serve_one(context, fd);
}

int bb_cli_store(int argc, char **argv) {
    struct options options = {0};
    struct bb_endpoint where;
    struct bb_model_cache *cache BB_CLEANUP_MODEL_CACHE = NULL;
    int status;
    if (!parse(argc, argv, &options, &status))
        return status;
    if (bb_cli_serve_where("store", options.connection, options.listen, &where) != BB_OK)
        return BB_CLI_USAGE;
    enum bb_err err = bb_model_cache_new(options.cache, &cache);
    if (err != BB_OK) {
        fprintf(stderr, "blindbox store: the cache %s cannot be used: %s\n", options.cache,
                bb_err_sentence(err));
        return BB_CLI_FAILED;
    }
    struct bb_cli_service service = {.verb = "store", .serve_one = serve_one, .context = cache};
    return bb_cli_serve(&service, &where);
}
