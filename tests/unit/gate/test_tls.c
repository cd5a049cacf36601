/* Tests of the server's TLS: real handshakes with OpenSSL's client over a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tls/evidence_cert.h"
#include "tls/server.h"

struct pair {
    struct event_base *base;
    struct bb_tls_server *server;
    struct bufferevent *stream;
    short events; /* what the stream has reported */
    SSL_CTX *ctx;
    SSL *client;
    int client_fd;
};

static void on_event(struct bufferevent *stream, short what, void *arg) {
    (void)stream;
    struct pair *pair = arg;
    pair->events = (short)(pair->events | what);
}

static struct bb_tls_server *make_server(void) {
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_tls_server *server;
    assert_int_equal(bb_key_generate(BB_CURVE_P256, &key), BB_OK);
    assert_int_equal(bb_evidence_cert_make(key, bb_view_str("evidence"), bb_clock_wall_ms(), &der), BB_OK);
    assert_int_equal(bb_tls_server_new(key, bb_buf_view(&der), &server), BB_OK);
    return server;
}

static void pair_init(struct pair *pair) {
    int fds[2];
    *pair = (struct pair){
        .base = event_base_new(), .server = make_server(), .ctx = SSL_CTX_new(TLS_client_method())};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(bb_tls_server_stream(pair->server, pair->base, fds[0], &pair->stream), BB_OK);
    bufferevent_setcb(pair->stream, NULL, NULL, on_event, pair);
    assert_int_equal(bufferevent_enable(pair->stream, EV_READ | EV_WRITE), 0);
    pair->client_fd = fds[1];
    pair->client = SSL_new(pair->ctx);
    assert_int_equal(SSL_set_fd(pair->client, fds[1]), 1);
}

static void pair_done(struct pair *pair) {
    SSL_free(pair->client);
    SSL_CTX_free(pair->ctx);
    (void)close(pair->client_fd);
    bufferevent_free(pair->stream);
    (void)event_base_loop(pair->base, EVLOOP_NONBLOCK);
    event_base_free(pair->base);
    bb_tls_server_free(pair->server);
}

static void turn(struct pair *pair) {
    assert_true(event_base_loop(pair->base, EVLOOP_NONBLOCK) >= 0);
}

/* Both sides in turn until the client is through or has failed: its SSL error. */
static int handshake(struct pair *pair) {
    for (int i = 0; i < 100; i++) {
        int rc = SSL_connect(pair->client);
        int error = SSL_get_error(pair->client, rc);
        turn(pair);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return error;
    }
    fail_msg("the handshake does not end");
    return SSL_ERROR_SSL;
}

/* What the server's alert says. */
static const char *alert_of_failure(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason != NULL ? reason : "";
}

static void groups_are_named_also_after_the_context(void **state) {
    (void)state;
    static const char *const groups[] = {"X25519", "P-256"};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        struct pair pair;
        pair_init(&pair);
        assert_int_equal(SSL_set1_groups_list(pair.client, groups[i]), 1);
        assert_int_equal(handshake(&pair), SSL_ERROR_NONE);
        turn(&pair);
        assert_true((pair.events & BEV_EVENT_CONNECTED) != 0);
        const char *name = bb_tls_stream_group(pair.stream);
        pair_done(&pair);
        assert_string_equal(name, groups[i]);
    }
}

static void the_handshake_is_tls_1_3_and_never_resumed(void **state) {
    (void)state;
    struct pair pair;
    char byte;
    pair_init(&pair);
    assert_int_equal(handshake(&pair), SSL_ERROR_NONE);
    assert_int_equal(SSL_version(pair.client), TLS1_3_VERSION);
    /* A ticket would come with the first read. */
    assert_int_equal(SSL_get_error(pair.client, SSL_read(pair.client, &byte, 1)), SSL_ERROR_WANT_READ);
    assert_int_equal(SSL_SESSION_is_resumable(SSL_get_session(pair.client)), 0);
    pair_done(&pair);
}

static void older_protocols_get_an_alert(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair);
    assert_int_equal(SSL_set_max_proto_version(pair.client, TLS1_2_VERSION), 1);
    assert_int_equal(handshake(&pair), SSL_ERROR_SSL);
    assert_non_null(strstr(alert_of_failure(), "protocol version"));
    pair_done(&pair);
}

static void other_applications_get_an_alert(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair);
    assert_int_equal(SSL_set_alpn_protos(pair.client, (const unsigned char *)"\x02h2", 3), 0);
    assert_int_equal(handshake(&pair), SSL_ERROR_SSL);
    assert_non_null(strstr(alert_of_failure(), "no application protocol"));
    pair_done(&pair);
    pair_init(&pair);
    assert_int_equal(SSL_set_alpn_protos(pair.client, (const unsigned char *)"\x02h2\x08http/1.1", 12), 0);
    assert_int_equal(handshake(&pair), SSL_ERROR_NONE);
    pair_done(&pair);
}

/* The KeyUpdate is not seen by a client that goes on, also when it has said that it sends no more. */
static void a_probe_is_silent(void **state) {
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        struct pair pair;
        char text[8] = "";
        pair_init(&pair);
        assert_int_equal(handshake(&pair), SSL_ERROR_NONE);
        turn(&pair);
        if (closed == 1)
            assert_int_equal(SSL_shutdown(pair.client), 0);
        turn(&pair);
        bb_tls_stream_probe(pair.stream);
        assert_int_equal(bufferevent_enable(pair.stream, EV_WRITE), 0);
        assert_int_equal(bufferevent_write(pair.stream, "answer", 6), 0);
        turn(&pair);
        assert_int_equal(SSL_read(pair.client, text, sizeof text), 6);
        assert_string_equal(text, "answer");
        bb_tls_stream_finish(pair.stream);
        assert_int_equal(SSL_get_error(pair.client, SSL_read(pair.client, text, 1)), SSL_ERROR_ZERO_RETURN);
        pair_done(&pair);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_named_also_after_the_context),
        cmocka_unit_test(the_handshake_is_tls_1_3_and_never_resumed),
        cmocka_unit_test(older_protocols_get_an_alert),
        cmocka_unit_test(other_applications_get_an_alert),
        cmocka_unit_test(a_probe_is_silent),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
