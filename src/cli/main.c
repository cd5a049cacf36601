/*
 * The command-line program `blindbox`: finds the verb and hands over to it. It reads nothing but its
 * arguments and refuses unknown verbs (exit status 2) with the nearest known one as a suggestion.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "cli/verbs.h"

#define LONGEST_VERB 31u

static const struct verb {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
} verbs[] = {
#define ROW(suffix, name, summary) {name, summary, bb_cli_##suffix},
    BB_CLI_VERB_LIST(ROW)
#undef ROW
        {NULL, NULL, NULL},
};

static const struct verb *find_verb(const char *name) {
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        if (strcmp(verb->name, name) == 0)
            return verb;
    return NULL;
}

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/* How many letters must be inserted, removed or changed to make one word of the other (Levenshtein distance).
 */
static unsigned distance(const char *a, const char *b) {
    unsigned row[LONGEST_VERB + 1];
    size_t len = strlen(b);
    if (len > LONGEST_VERB)
        return LONGEST_VERB;
    for (unsigned j = 0; j <= len; j++)
        row[j] = j;
    for (; *a != '\0'; a++) {
        unsigned diagonal = row[0]++;
        for (size_t j = 1; j <= len; j++) {
            unsigned changed = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[len];
}

static int unknown_verb(const char *name) {
    const struct verb *nearest = NULL;
    unsigned best = 3; /* two slips of the finger; more is another word */
    for (const struct verb *verb = verbs; verb->name != NULL; verb++) {
        unsigned far = distance(name, verb->name);
        if (far < best && far < strlen(verb->name)) {
            best = far;
            nearest = verb;
        }
    }
    fprintf(stderr, "blindbox: there is no verb '%s'", name);
    if (nearest != NULL)
        fprintf(stderr, "; did you mean '%s'?\n", nearest->name);
    else
        fprintf(stderr, "; `blindbox help` lists them\n");
    return BB_CLI_USAGE;
}

static void print_usage(FILE *to) {
    fprintf(to, "Usage: blindbox VERB [ARGUMENT…]\n"
                "\n"
                "Talks to services that run inside attested hardware enclaves, and starts such services.\n"
                "\n");
    for (const struct verb *verb = verbs; verb->name != NULL; verb++)
        fprintf(to, "  %-14s %s\n", verb->name, verb->summary);
    fprintf(to,
            "\n"
            "  %-14s %s\n"
            "  %-14s %s\n"
            "\n"
            "Exit status: 0 good, 1 failed, 2 wrong usage, 3 attestation verification failed.\n",
            "help [VERB]", "this list, or one verb's options", "--version", "the version");
}

/* getopt_long() begins its messages with argv[0]: "blindbox attest: unrecognized option …". */
static int run_verb(const struct verb *verb, int argc, char **argv) {
    char title[LONGEST_VERB + sizeof "blindbox "];
    snprintf(title, sizeof title, "blindbox %s", verb->name);
    argv[0] = title;
    return verb->run(argc, argv);
}

static int help(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stdout);
        return BB_CLI_GOOD;
    }
    const struct verb *verb = find_verb(argv[1]);
    if (verb == NULL)
        return unknown_verb(argv[1]);
    char option[] = "--help";
    char *arguments[] = {argv[1], option, NULL};
    return run_verb(verb, 2, arguments);
}

int main(int argc, char **argv) {
    (void)prctl(PR_SET_NAME, "blindbox"); /* the kernel names a re-executed program after /proc/self/exe */
    if (argc < 2) {
        print_usage(stderr);
        return BB_CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("blindbox %s\n", BB_VERSION);
        return BB_CLI_GOOD;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(argc - 1, argv + 1);
    const struct verb *verb = find_verb(name);
    return verb != NULL ? run_verb(verb, argc - 1, argv + 1) : unknown_verb(name);
}
