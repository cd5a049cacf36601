/* The TLS handshake of a tunnel, with the judgement of the certificate's evidence inside it. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/fd.h"
#include "client/tunnel.h"

static enum bb_err ask_patience(struct bb_tunnel *tunnel) {
    if (bb_clock_monotonic_ms() >= tunnel->deadline_ms)
        return bb_tunnel_fail(tunnel, BB_ERR_TIMEOUT);
    const struct bb_client_patience *patience = &tunnel->patience;
    if (patience->go_on != NULL && !patience->go_on(patience->context))
        return bb_tunnel_fail(tunnel, BB_ERR_CANCELLED);
    return BB_OK;
}

enum bb_err bb_client_wait(struct bb_tunnel *tunnel, enum bb_tls_io io) {
    struct pollfd entry = {.fd = bb_tls_link_fd(tunnel->link),
                           .events = io == BB_TLS_WAIT_WRITE ? POLLOUT : POLLIN};
    for (;;) {
        enum bb_err err = ask_patience(tunnel);
        if (err != BB_OK)
            return err;
        int64_t left_ms = tunnel->deadline_ms - bb_clock_monotonic_ms();
        int ready = poll(&entry, 1, left_ms < BB_CLIENT_TICK_MS ? (int)left_ms : BB_CLIENT_TICK_MS);
        if (ready > 0)
            return BB_OK;
        if (ready < 0 && errno != EINTR)
            return bb_tunnel_fail(tunnel, BB_ERR_IO);
    }
}

/* SNI takes names alone, not addresses (RFC 6066 section 3). */
static const char *server_name(const struct bb_endpoint *endpoint) {
    struct in6_addr address;
    bool literal = inet_pton(AF_INET, endpoint->host, &address) == 1 ||
                   inet_pton(AF_INET6, endpoint->host, &address) == 1;
    return literal ? NULL : endpoint->host;
}

static enum bb_err fail_handshake(struct bb_tunnel *tunnel) {
    enum bb_err verdict = tunnel->tls.verdict;
    if (verdict != BB_OK && verdict != BB_ERR_TLS)
        return bb_tunnel_fail_attestation(tunnel, verdict);
    return bb_client_fail(&tunnel->outcome, BB_ERR_TLS, "%s: %s (%s)", tunnel->address,
                          bb_err_sentence(BB_ERR_TLS), bb_tls_link_reason(tunnel->link));
}

static enum bb_err make_link(struct bb_tunnel *tunnel, int *fd) {
    struct bb_endpoint endpoint;
    enum bb_err err = bb_endpoint_parse_tcp(tunnel->address, NULL, &endpoint);
    if (err == BB_OK)
        err = bb_tls_link_new(*fd, server_name(&endpoint), &tunnel->tls, &tunnel->link);
    if (err != BB_OK)
        return bb_tunnel_fail(tunnel, err);
    (void)bb_fd_take(fd);
    return BB_OK;
}

enum bb_err bb_client_greet(struct bb_tunnel *tunnel, int *fd) {
    enum bb_err made = make_link(tunnel, fd);
    if (made != BB_OK)
        return made;
    for (;;) {
        enum bb_tls_io io = bb_tls_link_handshake(tunnel->link);
        if (io == BB_TLS_MOVED)
            break;
        if (io != BB_TLS_WAIT_READ && io != BB_TLS_WAIT_WRITE)
            return fail_handshake(tunnel);
        enum bb_err err = bb_client_wait(tunnel, io);
        if (err != BB_OK)
            return err;
    }
    /* That the handshake went on says so already; a judge that was never asked would be a mistake of ours. */
    if (tunnel->tls.verdict != BB_OK || tunnel->trust.document == NULL)
        return fail_handshake(tunnel);
    return BB_OK;
}
