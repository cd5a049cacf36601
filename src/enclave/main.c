/*
 * blindboxd: the programs inside the enclave. Each role is a process of its own that runs this program again
 * under its role's name. Nothing is decided here.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/hex.h"
#include "enclave/boot.h"
#include "enclave/gate/gate.h"
#include "enclave/init.h"

static const char usage[] = "Usage: blindboxd ROLE [ARGUMENT…]\n"
                            "\n"
                            "  init           boot and supervise the enclave (blindboxd init --help)\n"
                            "  gate           TLS and HTTP; started by init\n"
                            "  config FILE    check a blindbox.yml and print what it says as JSON\n"
                            "  --version      the version\n";

static int run_gate(int argc, char **argv) {
    (void)argv;
    return argc == 1 ? bb_gate_main() : 2;
}

/* For the launcher, which must know what it is about to start. Names are of a safe alphabet, see config.c. */
static int run_config(int argc, char **argv) {
    struct bb_buf yaml BB_CLEANUP_BUF = BB_BUF_INIT(BB_CONFIG_MAX);
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(2048);
    struct bb_config config;
    char digest[65];
    if (argc != 2)
        return 2;
    enum bb_err err = bb_boot_read_config(argv[1], &yaml, &config, &reason);
    if (err != BB_OK) {
        fprintf(stderr, "%s\n", reason.len > 0 ? bb_buf_str(&reason) : bb_err_sentence(err));
        return 1;
    }
    bb_hex_encode(bb_view(config.speech_model_sha256, sizeof config.speech_model_sha256), digest);
    printf("{\"speech\":{\"model\":\"sha256:%s\",\"name\":\"%s\",\"language\":\"%s\",\"states\":%u,"
           "\"threads\":%u}}\n",
           digest, config.speech_name, config.speech_language, config.speech_states, config.speech_threads);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} roles[] = {{"init", bb_init_main}, {"gate", run_gate}, {"config", run_config}};

int main(int argc, char **argv) {
    (void)prctl(PR_SET_NAME, "blindboxd"); /* the kernel names a re-executed program after /proc/self/exe */
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("blindboxd %s\n", BB_VERSION);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(argv[1], roles[i].name) == 0)
            return roles[i].run(argc - 1, argv + 1);
    fputs(usage, argc >= 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc >= 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
