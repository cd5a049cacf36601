/*
 * What the serving verbs (`nsm-emulator`, `store`) share: answering requests on one inherited connection, or
 * on the connections of a Unix socket that only this user may reach. A connection that breaks the protocol is
 * closed and costs the others nothing but the time limit of one request.
 */
#ifndef BB_CLI_SERVE_H
#define BB_CLI_SERVE_H

#include "base/endpoint.h"

#define BB_CLI_SERVE_MAX 64u /* connections at once; further ones are closed at once */

struct bb_cli_service {
    const char *verb; /* for messages */
    /* Answers one request of a connection that has something to read; not BB_OK: close it. */
    enum bb_err (*serve_one)(void *context, int fd);
    void *context;
};

/* Parses the values of --connection and --listen, of which exactly one must be given (the other NULL). On
 * failure a message has been printed. */
BB_MUST_USE enum bb_err bb_cli_serve_where(const char *verb, const char *connection, const char *listen,
                                           struct bb_endpoint *out);

/* Listens on a Unix socket that only this user may reach; a file that nobody listens on any more is replaced.
 * BB_ERR_IO, errno set. */
BB_MUST_USE enum bb_err bb_cli_listen_privately(const struct bb_endpoint *where, int *fd);

/*
 * Serves until the inherited connection ends, or for ever on a Unix socket; SIGTERM and SIGINT end the
 * process with status 0 and remove the socket's name. Returns an exit status (enum bb_cli_exit); what went
 * wrong has been printed.
 */
int bb_cli_serve(const struct bb_cli_service *service, const struct bb_endpoint *where);

#endif
