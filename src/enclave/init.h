/* The enclave's first process (docs/ARCHITECTURE.md sections 1 and 2). */
#ifndef BB_ENCLAVE_INIT_H
#define BB_ENCLAVE_INIT_H

/* blindboxd init: boots, then supervises. Returns the exit status: 0 ended in order, 1 failed, 2 usage. */
int bb_init_main(int argc, char **argv);

#endif
