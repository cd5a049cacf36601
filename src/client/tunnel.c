/* Making, opening and ending a tunnel; see include/blindbox/tunnel.h. */
#include "client/tunnel.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <blindbox/connection.h>

#include "base/clock.h"
#include "base/fd.h"
#include "client/address.h"

enum bb_err bb_tunnel_new(const char *address, const struct bb_policy *policy, struct bb_tunnel **tunnel) {
    if (address == NULL || policy == NULL || tunnel == NULL)
        return BB_ERR_ARGUMENT;
    struct bb_buf normal BB_CLEANUP_BUF = BB_BUF_INIT(512);
    enum bb_err err = bb_client_address(address, &normal);
    if (err != BB_OK)
        return err;
    struct bb_tunnel *made = calloc(1, sizeof *made);
    if (made == NULL)
        return BB_ERR_NO_MEMORY;
    made->inner = -1;
    made->policy = policy;
    made->fresh = true;
    made->connect_timeout_ms = BB_CONNECT_TIMEOUT_MS_DEFAULT;
    made->tls = (struct bb_tls_client){.judge = bb_client_judge, .context = made, .verdict = BB_ERR_TLS};
    made->trust.certificate = BB_BUF_INIT(BB_TLS_CERTIFICATE_MAX);
    made->trust.evidence = BB_BUF_INIT(BB_TLS_CERTIFICATE_MAX);
    made->trust.pem = BB_BUF_INIT((size_t)2 * BB_TLS_CERTIFICATE_MAX);
    bb_client_outcome_clear(&made->outcome);
    made->address = strdup(bb_buf_str(&normal));
    if (made->address == NULL) {
        bb_tunnel_free(made);
        return BB_ERR_NO_MEMORY;
    }
    *tunnel = made;
    return BB_OK;
}

void bb_tunnel_free(struct bb_tunnel *tunnel) {
    if (tunnel == NULL)
        return;
    if (tunnel->has_thread) {
        atomic_store(&tunnel->stop, true);
        (void)shutdown(tunnel->inner, SHUT_RDWR); /* the pump sees both directions end */
        (void)pthread_join(tunnel->thread, NULL);
    }
    bb_fd_close(&tunnel->inner);
    bb_tls_link_free(tunnel->link);
    bb_client_trust_done(&tunnel->trust);
    free(tunnel->address);
    bb_wipe(tunnel, sizeof *tunnel);
    free(tunnel);
}

void bb_tunnel_set_connect_timeout_ms(struct bb_tunnel *tunnel, int64_t timeout_ms) {
    tunnel->connect_timeout_ms = timeout_ms > 0 ? timeout_ms : BB_CONNECT_TIMEOUT_MS_DEFAULT;
}

void bb_tunnel_set_fresh(struct bb_tunnel *tunnel, bool fresh) {
    tunnel->fresh = fresh;
}

static enum bb_err make_connection(struct bb_tunnel *tunnel) {
    int fd BB_CLEANUP_FD = -1;
    enum bb_err err = bb_client_dial(tunnel, &fd);
    if (err == BB_OK)
        err = bb_client_greet(tunnel, &fd);
    if (err == BB_OK && tunnel->fresh)
        err = bb_client_freshen(tunnel);
    return err;
}

enum bb_err bb_tunnel_connect(struct bb_tunnel *tunnel) {
    if (tunnel->state == BB_TUNNEL_READY)
        return BB_OK;
    if (tunnel->state == BB_TUNNEL_FAILED)
        return tunnel->outcome.err;
    if (tunnel->state != BB_TUNNEL_NEW)
        return BB_ERR_ARGUMENT;
    tunnel->deadline_ms = bb_clock_monotonic_ms() + tunnel->connect_timeout_ms;
    enum bb_err err = make_connection(tunnel);
    tunnel->state = err == BB_OK ? BB_TUNNEL_READY : BB_TUNNEL_FAILED;
    if (err == BB_OK)
        return BB_OK;
    bb_client_trust_forget(&tunnel->trust);
    bb_tls_link_free(tunnel->link);
    tunnel->link = NULL;
    return err;
}

static void *carry(void *pointer) {
    struct bb_tunnel *tunnel = pointer;
    enum bb_err err = bb_client_pump(tunnel->link, tunnel->inner, &tunnel->stop);
    atomic_store(&tunnel->end, (int)err);
    bb_tls_link_free(tunnel->link);
    tunnel->link = NULL;
    (void)shutdown(tunnel->inner, SHUT_RDWR);
    return NULL;
}

/* The caller's signals are the caller's threads' business. */
static bool start_thread(struct bb_tunnel *tunnel) {
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    tunnel->has_thread = pthread_create(&tunnel->thread, NULL, carry, tunnel) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return tunnel->has_thread;
}

enum bb_err bb_tunnel_attach(struct bb_tunnel *tunnel, int inner) {
    if (tunnel->state != BB_TUNNEL_READY)
        return bb_tunnel_fail(tunnel, BB_ERR_ARGUMENT);
    tunnel->state = BB_TUNNEL_USED;
    tunnel->inner = inner;
    if (start_thread(tunnel))
        return BB_OK;
    tunnel->inner = -1;
    return bb_tunnel_fail(tunnel, BB_ERR_NO_MEMORY);
}

enum bb_err bb_tunnel_open(struct bb_tunnel *tunnel, int *fd) {
    int pair[2];
    enum bb_err err = bb_tunnel_connect(tunnel);
    if (err != BB_OK)
        return err;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return bb_tunnel_fail(tunnel, BB_ERR_IO);
    int inner BB_CLEANUP_FD = pair[0];
    int outer BB_CLEANUP_FD = pair[1];
    err = bb_tunnel_attach(tunnel, inner);
    if (err != BB_OK)
        return err;
    (void)bb_fd_take(&inner);
    *fd = bb_fd_take(&outer);
    return BB_OK;
}

enum bb_err bb_tunnel_run(struct bb_tunnel *tunnel, int fd) {
    enum bb_err err = bb_tunnel_connect(tunnel);
    if (err != BB_OK)
        return err;
    tunnel->state = BB_TUNNEL_USED;
    err = bb_client_pump(tunnel->link, fd, NULL);
    atomic_store(&tunnel->end, (int)err);
    bb_tls_link_free(tunnel->link);
    tunnel->link = NULL;
    return err;
}

bool bb_tunnel_is_ready(const struct bb_tunnel *tunnel) {
    if (tunnel->state != BB_TUNNEL_READY)
        return false;
    return bb_tls_link_is_quiet(tunnel->link); /* unasked, an enclave says nothing but goodbye */
}

const char *bb_tunnel_address(const struct bb_tunnel *tunnel) {
    return tunnel->address;
}

enum bb_err bb_tunnel_error(const struct bb_tunnel *tunnel) {
    int end = atomic_load(&tunnel->end);
    return end != BB_OK ? (enum bb_err)end : tunnel->outcome.err;
}

const char *bb_tunnel_error_text(const struct bb_tunnel *tunnel) {
    return tunnel->outcome.text;
}

bool bb_tunnel_attestation_failed(const struct bb_tunnel *tunnel) {
    return tunnel->outcome.attestation_failed;
}

const struct bb_report *bb_tunnel_report(const struct bb_tunnel *tunnel) {
    return tunnel->trust.report;
}

const struct bb_document *bb_tunnel_document(const struct bb_tunnel *tunnel) {
    return tunnel->trust.document;
}

const uint8_t *bb_tunnel_certificate_der(const struct bb_tunnel *tunnel, size_t *len) {
    *len = tunnel->trust.certificate.len;
    return tunnel->trust.certificate.data;
}

int64_t bb_tunnel_retry_after_s(const struct bb_tunnel *tunnel) {
    return tunnel->outcome.retry_after_s;
}
