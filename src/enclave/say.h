/* init's log: one line per event on standard error. Never anything that a user sent. */
#ifndef BB_ENCLAVE_SAY_H
#define BB_ENCLAVE_SAY_H

/* Writes "2026-01-31T12:00:00Z init: …" and a line feed with one write(2); longer lines are cut. */
void bb_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
