/* See link.h. */
#include "tls/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/fd.h"
#include "tls/exporter.h"

#define READ_AHEAD 65536u /* bytes asked of the socket at once: several records */

struct bb_tls_link {
    int fd;
    bool peer_gone; /* the TCP stream has ended */
    int error;      /* errno of the socket */
    BIO_METHOD *method;
    SSL_CTX *context;
    SSL *ssl;
    char reason[BB_TLS_LINK_REASON_MAX];
};

/* OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE. */
static int socket_write(BIO *bio, const char *bytes, int len) {
    struct bb_tls_link *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t sent = send(link->fd, bytes, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    else if (sent < 0)
        link->error = errno;
    return (int)sent;
}

static int socket_read(BIO *bio, char *out, int room) {
    struct bb_tls_link *link = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = recv(link->fd, out, (size_t)room, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    else if (got < 0)
        link->error = errno;
    link->peer_gone = link->peer_gone || got == 0;
    return (int)got;
}

static long socket_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *make_bio(struct bb_tls_link *link) {
    link->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "socket without signals");
    if (link->method == NULL || BIO_meth_set_write(link->method, socket_write) != 1 ||
        BIO_meth_set_read(link->method, socket_read) != 1 ||
        BIO_meth_set_ctrl(link->method, socket_control) != 1)
        return NULL;
    BIO *bio = BIO_new(link->method);
    if (bio != NULL) {
        BIO_set_data(bio, link);
        BIO_set_init(bio, 1);
    }
    return bio;
}

static enum bb_err make_context(struct bb_tls_link *link, struct bb_tls_client *client) {
    static const unsigned char protocols[] = "\x08http/1.1";
    link->context = SSL_CTX_new(TLS_client_method());
    if (link->context == NULL)
        return BB_ERR_NO_MEMORY;
    (void)SSL_CTX_set_mode(link->context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(link->context, 1);
    SSL_CTX_set_default_read_buffer_len(link->context, READ_AHEAD);
    if (SSL_CTX_set_alpn_protos(link->context, protocols, sizeof protocols - 1) != 0)
        return BB_ERR_NO_MEMORY;
    return bb_tls_client_prepare(link->context, client);
}

static enum bb_err make_ssl(struct bb_tls_link *link, const char *server_name) {
    link->ssl = SSL_new(link->context);
    BIO *bio = link->ssl != NULL ? make_bio(link) : NULL;
    if (bio == NULL)
        return BB_ERR_NO_MEMORY;
    SSL_set_bio(link->ssl, bio, bio);
    SSL_set_connect_state(link->ssl);
    if (server_name != NULL && SSL_set_tlsext_host_name(link->ssl, server_name) != 1)
        return BB_ERR_NO_MEMORY;
    return BB_OK;
}

enum bb_err bb_tls_link_new(int fd, const char *server_name, struct bb_tls_client *client,
                            struct bb_tls_link **out) {
    struct bb_tls_link *made = calloc(1, sizeof *made);
    if (made == NULL)
        return BB_ERR_NO_MEMORY;
    made->fd = -1; /* the caller's until all is well */
    enum bb_err err = make_context(made, client);
    if (err == BB_OK)
        err = make_ssl(made, server_name);
    ERR_clear_error();
    if (err != BB_OK) {
        bb_tls_link_free(made);
        return err;
    }
    made->fd = fd;
    *out = made;
    return BB_OK;
}

void bb_tls_link_free(struct bb_tls_link *link) {
    if (link == NULL)
        return;
    SSL_free(link->ssl);
    SSL_CTX_free(link->context);
    BIO_meth_free(link->method);
    bb_fd_close(&link->fd);
    free(link);
}

int bb_tls_link_fd(const struct bb_tls_link *link) {
    return link->fd;
}

static void note_reason(struct bb_tls_link *link) {
    const char *said = ERR_reason_error_string(ERR_peek_last_error());
    if (said == NULL)
        said = link->error != 0 ? strerror(link->error) : "the peer has closed the connection";
    snprintf(link->reason, sizeof link->reason, "%s", said);
}

/* Of a call that returned rc ≤ 0. The error queue was empty before the call. */
static enum bb_tls_io outcome(struct bb_tls_link *link, int rc) {
    enum bb_tls_io io = BB_TLS_FAILED;
    int error = SSL_get_error(link->ssl, rc);
    if (error == SSL_ERROR_WANT_READ)
        io = BB_TLS_WAIT_READ;
    else if (error == SSL_ERROR_WANT_WRITE)
        io = BB_TLS_WAIT_WRITE;
    else if (error == SSL_ERROR_ZERO_RETURN)
        io = BB_TLS_END;
    else if (link->peer_gone)
        io = BB_TLS_CUT;
    if (io == BB_TLS_FAILED || io == BB_TLS_CUT)
        note_reason(link);
    ERR_clear_error();
    return io;
}

enum bb_tls_io bb_tls_link_handshake(struct bb_tls_link *link) {
    ERR_clear_error();
    int rc = SSL_do_handshake(link->ssl);
    return rc == 1 ? BB_TLS_MOVED : outcome(link, rc);
}

enum bb_tls_io bb_tls_link_read(struct bb_tls_link *link, void *out, size_t room, size_t *len) {
    ERR_clear_error();
    int rc = SSL_read_ex(link->ssl, out, room, len);
    return rc == 1 ? BB_TLS_MOVED : outcome(link, rc);
}

enum bb_tls_io bb_tls_link_write(struct bb_tls_link *link, struct bb_view bytes, size_t *len) {
    ERR_clear_error();
    int rc = SSL_write_ex(link->ssl, bytes.data, bytes.len, len);
    return rc == 1 ? BB_TLS_MOVED : outcome(link, rc);
}

enum bb_tls_io bb_tls_link_finish(struct bb_tls_link *link) {
    ERR_clear_error();
    int rc = SSL_shutdown(link->ssl);
    return rc >= 0 ? BB_TLS_MOVED : outcome(link, rc);
}

bool bb_tls_link_is_quiet(struct bb_tls_link *link) {
    uint8_t byte;
    size_t len;
    ERR_clear_error();
    int rc = SSL_peek_ex(link->ssl, &byte, sizeof byte, &len);
    return rc != 1 && outcome(link, rc) == BB_TLS_WAIT_READ;
}

enum bb_err bb_tls_link_exporter(struct bb_tls_link *link, uint8_t out[BB_FRESH_EXPORTER_LEN]) {
    return bb_tls_exporter(link->ssl, out);
}

const char *bb_tls_link_reason(const struct bb_tls_link *link) {
    return link->reason;
}
