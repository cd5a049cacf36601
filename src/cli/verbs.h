/*
 * The verbs of `blindbox`: one file per verb, one line here, one in meson.build. A verb is called with
 * "blindbox VERB" as argv[0] (what getopt_long puts before its messages) and returns the process's exit
 * status (enum bb_cli_exit).
 */
#ifndef BB_CLI_VERBS_H
#define BB_CLI_VERBS_H

enum bb_cli_exit {
    BB_CLI_GOOD = 0,
    BB_CLI_FAILED = 1,      /* did not work; standard error says why */
    BB_CLI_USAGE = 2,       /* the command line is wrong; nothing was tried */
    BB_CLI_ATTESTATION = 3, /* the enclave's evidence does not satisfy the policy; nothing was sent */
};

/* X(function suffix, name, what it does): in the order in which `blindbox help` lists them. */
#define BB_CLI_VERB_LIST(X)                                                                                  \
    X(up, "up", "start an enclave on this machine (SIMULATED)")                                              \
    X(status, "status", "is that enclave up, and where")                                                     \
    X(down, "down", "stop it")                                                                               \
    X(attest, "attest", "check what an enclave runs, and do nothing else")                                   \
    X(verify, "verify", "judge an attestation document in a file, and talk to nobody")                       \
    X(transcribe, "transcribe", "turn recordings into text, in an enclave that was checked first")           \
    X(connect, "connect", "let programs on this machine talk to an enclave, checked first")                  \
    X(nsm_emulator, "nsm-emulator", "play the hypervisor's security module for an enclave here (SIMULATED)") \
    X(store, "store", "hand out model weights to an enclave by their SHA-256")

#define BB_CLI_VERB_DECLARE(suffix, name, summary) int bb_cli_##suffix(int argc, char **argv);
BB_CLI_VERB_LIST(BB_CLI_VERB_DECLARE)
#undef BB_CLI_VERB_DECLARE

#endif
