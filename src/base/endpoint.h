/*
 * Addresses of stream peers, one notation everywhere: `tcp:HOST:PORT`, `unix:PATH`, `fd:N` (an inherited,
 * connected socket; how a launcher wires processes that nobody else may reach).
 */
#ifndef BB_BASE_ENDPOINT_H
#define BB_BASE_ENDPOINT_H

#include "base/bytes.h"

enum bb_endpoint_kind { BB_ENDPOINT_TCP, BB_ENDPOINT_UNIX, BB_ENDPOINT_FD };

struct bb_endpoint {
    enum bb_endpoint_kind kind;
    char host[256]; /* tcp: host name or address (brackets of IPv6 removed); unix: path (at most 107 bytes) */
    char port[6];   /* tcp: decimal */
    int fd;         /* fd */
};

/* BB_ERR_ARGUMENT when text is not of one of the forms. */
BB_MUST_USE enum bb_err bb_endpoint_parse(const char *text, struct bb_endpoint *out);
/* Splits "HOST:PORT", "[V6]:PORT" or "HOST" (then default_port) into a tcp endpoint. */
BB_MUST_USE enum bb_err bb_endpoint_parse_tcp(const char *text, const char *default_port,
                                              struct bb_endpoint *out);
/* A connected, close-on-exec, blocking socket. For fd: the descriptor itself. BB_ERR_RESOLVE, _CONNECT,
 * _TIMEOUT. */
BB_MUST_USE enum bb_err bb_endpoint_connect(const struct bb_endpoint *endpoint, int timeout_ms, int *fd);
/* A listening, close-on-exec, non-blocking socket (tcp and unix only); port 0 picks a free one. BB_ERR_IO,
 * _RESOLVE. */
BB_MUST_USE enum bb_err bb_endpoint_listen(const struct bb_endpoint *endpoint, int backlog, int *fd);
/* The address that a tcp socket is bound to, "127.0.0.1:8443" or "[::1]:8443". */
BB_MUST_USE enum bb_err bb_endpoint_bound_address(int fd, char *out, size_t out_len);

#endif
