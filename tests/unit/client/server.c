/* See server.h. Every wait has an end, so that a failing test is not a hanging one. */
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/fd.h"

#define SEEN_MAX ((size_t)64 * 1024 * 1024)
#define GOOD_ANSWER                                                                                          \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"text\":\"good\"}"

const char *test_answer(struct bb_buf *out, int status, const char *headers, const char *body) {
    assert_int_equal(bb_buf_printf(out, "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                                   strlen(body), headers, body),
                     BB_OK);
    return bb_buf_str(out);
}

static void rest(struct test_server *server, int ms) {
    for (; ms > 0 && !atomic_load(&server->stopping); ms -= 10)
        usleep(10 * 1000);
}

/* Reads one piece of application data into `seen` and `request`. */
static bool read_piece(struct test_server *server, SSL *ssl, struct bb_buf *request) {
    char piece[16384];
    int len = SSL_read(ssl, piece, sizeof piece);
    if (len <= 0)
        return false;
    pthread_mutex_lock(&server->lock);
    bool kept = bb_buf_append(&server->seen, piece, (size_t)len) == BB_OK;
    pthread_mutex_unlock(&server->lock);
    return kept && bb_buf_append(request, piece, (size_t)len) == BB_OK;
}

static bool complete(const struct bb_buf *request) {
    const char *text = bb_buf_str(request);
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL)
        return false;
    size_t body = request->len - (size_t)(end + 4 - text);
    const char *length = strstr(text, "Content-Length: ");
    if (length != NULL && length < end)
        return body >= strtoull(length + strlen("Content-Length: "), NULL, 10);
    if (strstr(text, "Transfer-Encoding: chunked") == NULL)
        return true;
    return body >= 5 && memcmp(request->data + request->len - 5, "0\r\n\r\n", 5) == 0;
}

static void answer_endlessly(struct test_server *server, SSL *ssl) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"text\":\"";
    char piece[16384];
    memset(piece, 'a', sizeof piece);
    int ok = SSL_write(ssl, head, sizeof head - 1);
    while (ok > 0 && !atomic_load(&server->stopping))
        ok = SSL_write(ssl, piece, sizeof piece);
}

static bool serve_request(struct test_server *server, SSL *ssl, unsigned number) {
    struct bb_buf request BB_CLEANUP_BUF = BB_BUF_INIT(SEEN_MAX);
    bool continued = false;
    while (!complete(&request)) {
        if (!read_piece(server, ssl, &request))
            return false;
        if (!continued && strstr(bb_buf_str(&request), "Expect: 100-continue") != NULL) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            continued = SSL_write(ssl, go_on, sizeof go_on - 1) > 0;
        }
    }
    server->requests++;
    rest(server, server->plan.delay_ms);
    if (server->plan.close_after_request || (server->plan.drop_second && number == 2))
        return false;
    if (server->plan.endless) {
        answer_endlessly(server, ssl);
        return false;
    }
    const char *answer = server->plan.answer != NULL ? server->plan.answer : GOOD_ANSWER;
    return SSL_write(ssl, answer, (int)strlen(answer)) > 0 && !server->plan.close_after_answer;
}

/* A client that said no still sends an alert; reading to the end shows whether it sent anything else. */
static void serve_connection(struct test_server *server, int fd) {
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    pthread_mutex_lock(&server->lock);
    SSL *ssl = SSL_new(server->context);
    pthread_mutex_unlock(&server->lock);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
        return;
    if (SSL_accept(ssl) == 1) {
        server->handshakes++;
        server->resumed += SSL_session_reused(ssl) ? 1 : 0;
        server->group = (int)SSL_get_negotiated_group(ssl);
        if (server->plan.never_read)
            rest(server, 5000);
        for (unsigned n = 1; !atomic_load(&server->stopping) && serve_request(server, ssl, n); n++)
            continue;
        (void)SSL_shutdown(ssl);
    } else {
        struct bb_buf unexpected BB_CLEANUP_BUF = BB_BUF_INIT(SEEN_MAX);
        while (read_piece(server, ssl, &unexpected))
            continue;
    }
    SSL_free(ssl);
    ERR_clear_error();
}

static void *serve(void *pointer) {
    struct test_server *server = pointer;
    sigset_t broken_pipe; /* in this thread only: the client must do without such help */
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
    while (!atomic_load(&server->stopping)) {
        struct pollfd entry = {.fd = server->listening, .events = POLLIN};
        if (poll(&entry, 1, 20) <= 0)
            continue;
        int fd BB_CLEANUP_FD = accept4(server->listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        server->accepted++;
        if (!server->plan.close_at_once)
            serve_connection(server, fd);
    }
    return NULL;
}

static X509 *certificate(struct bb_view der) {
    const unsigned char *at = der.data;
    X509 *made = d2i_X509(NULL, &at, (long)der.len);
    assert_non_null(made);
    return made;
}

static SSL_CTX *make_context(const struct test_server_plan *plan) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    assert_non_null(context);
    int version = plan->tls_version != 0 ? plan->tls_version : TLS1_3_VERSION;
    assert_int_equal(SSL_CTX_set_min_proto_version(context, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(context, version), 1);
    X509 *first = certificate(plan->certificates[0]);
    assert_int_equal(SSL_CTX_use_certificate(context, first), 1);
    X509_free(first);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, plan->key), 1);
    if (plan->certificates[1].len > 0)
        assert_int_equal(SSL_CTX_add_extra_chain_cert(context, certificate(plan->certificates[1])), 1);
    return context;
}

void test_server_start(struct test_server *server, const struct test_server_plan *plan) {
    *server = (struct test_server){.plan = *plan, .listening = -1, .seen = BB_BUF_INIT(SEEN_MAX)};
    pthread_mutex_init(&server->lock, NULL);
    server->context = make_context(plan);
    struct bb_endpoint endpoint;
    assert_int_equal(bb_endpoint_parse("tcp:127.0.0.1:0", &endpoint), BB_OK);
    assert_int_equal(bb_endpoint_listen(&endpoint, 16, &server->listening), BB_OK);
    assert_int_equal(bb_endpoint_bound_address(server->listening, server->address, sizeof server->address),
                     BB_OK);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

void test_server_show(struct test_server *server, struct bb_view shown, EVP_PKEY *key) {
    struct test_server_plan plan = server->plan;
    plan.certificates[0] = shown;
    plan.key = key;
    SSL_CTX *context = make_context(&plan);
    pthread_mutex_lock(&server->lock);
    SSL_CTX_free(server->context);
    server->context = context;
    pthread_mutex_unlock(&server->lock);
}

void test_server_stop(struct test_server *server) {
    atomic_store(&server->stopping, true);
    pthread_join(server->thread, NULL);
    bb_fd_close(&server->listening);
}

void test_server_done(struct test_server *server) {
    SSL_CTX_free(server->context);
    bb_buf_done(&server->seen);
    pthread_mutex_destroy(&server->lock);
}
