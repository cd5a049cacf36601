/* One client of `blindbox connect`: a plain connection on this machine, carried to the enclave. */
#ifndef BB_CLI_CONNECT_CLIENT_H
#define BB_CLI_CONNECT_CLIENT_H

#include "cli/connect_pool.h"

#define BB_CONNECT_SILENT_MS 75000 /* a client that says nothing is let go, as the enclave would */
#define BB_CONNECT_LINGER_MS 30000 /* after a refusal: how long an upload is still read, and dropped */

/*
 * Waits for the client's first byte, takes a tunnel and carries bytes both ways until the end. When there is
 * no attested tunnel, the client gets an HTTP answer 502 that says why, and nothing that it sent leaves this
 * machine. fd (non-blocking) stays the caller's.
 */
void bb_connect_serve(struct bb_connect_pool *pool, int fd);
/* Answers an HTTP error in OpenAI's form and ends the connection, orderly. */
void bb_connect_refuse(int fd, const char *status, const char *type, const char *code, const char *message);

#endif
