/* See server.h: libevent streams over OpenSSL. */
#include <strings.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/exporter.h"
#include "tls/server.h"
#include "tls/server_internal.h"

enum bb_err bb_tls_server_stream(struct bb_tls_server *server, struct event_base *base, int fd,
                                 struct bufferevent **out) {
    SSL *ssl = SSL_new(server->ctx);
    if (ssl == NULL)
        return BB_ERR_NO_MEMORY;
    struct bufferevent *stream = bufferevent_openssl_socket_new(
        base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (stream == NULL) {
        SSL_free(ssl);
        return BB_ERR_NO_MEMORY;
    }
    *out = stream;
    return BB_OK;
}

const char *bb_tls_stream_group(struct bufferevent *stream) {
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"X25519MLKEM768", "X25519MLKEM768"}, {"x25519", "X25519"}, {"secp256r1", "P-256"}};
    SSL *ssl = bufferevent_openssl_get_ssl(stream);
    const char *name = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));
    for (size_t i = 0; name != NULL && i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(name, names[i].theirs) == 0)
            return names[i].ours; /* OpenSSL's own string dies with the context */
    return "other";
}

enum bb_err bb_tls_stream_exporter(struct bufferevent *stream, uint8_t out[BB_FRESH_EXPORTER_LEN]) {
    return bb_tls_exporter(bufferevent_openssl_get_ssl(stream), out);
}

void bb_tls_stream_finish(struct bufferevent *stream) {
    (void)SSL_shutdown(bufferevent_openssl_get_ssl(stream));
    ERR_clear_error();
    (void)shutdown(bufferevent_getfd(stream), SHUT_WR);
}

void bb_tls_stream_probe(struct bufferevent *stream) {
    SSL *ssl = bufferevent_openssl_get_ssl(stream);
    if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
        (void)SSL_do_handshake(ssl);
    ERR_clear_error();
}
