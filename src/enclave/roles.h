/*
 * Descriptor numbers that the enclave's processes find open when they start. init makes them; every other
 * descriptor above standard error is closed before the role's program runs.
 */
#ifndef BB_ENCLAVE_ROLES_H
#define BB_ENCLAVE_ROLES_H

/* blindboxd gate */
#define BB_GATE_FD_CONTROL 3 /* SOCK_SEQPACKET to init */
#define BB_GATE_FD_LISTEN  4 /* listening stream socket */
#define BB_GATE_FD_CONFIG  5 /* sealed memory file: blindbox.yml */

/* blindbox-speech */
#define BB_SPEECH_FD_GATE   3 /* SOCK_SEQPACKET to the gate */
#define BB_SPEECH_FD_MODEL  4 /* sealed memory file: the weights */
#define BB_SPEECH_FD_CONFIG 5 /* sealed memory file: blindbox.yml */

#endif
