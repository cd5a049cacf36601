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
#include "crypto/hash.h"

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

static bool read_piece(SSL *ssl, struct bb_buf *request) {
    char piece[16384];
    int len = SSL_read(ssl, piece, sizeof piece);
    return len > 0 && bb_buf_append(request, piece, (size_t)len) == BB_OK;
}

/* Everything that is not, to the byte, one request for fresh evidence. */
static void keep(struct test_server *server, const struct bb_buf *bytes) {
    pthread_mutex_lock(&server->lock);
    assert_int_equal(bb_buf_append(&server->seen, bytes->data, bytes->len), BB_OK);
    pthread_mutex_unlock(&server->lock);
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

static bool asks_for_evidence(const struct bb_buf *request) {
    static const char start[] = "POST /.well-known/blindbox/evidence HTTP/1.1\r\n";
    return strncmp(bb_buf_str(request), start, sizeof start - 1) == 0;
}

/* A genuine connection of the relay's own. */
static void relay(const char *address, const struct bb_buf *request, struct bb_buf *answer) {
    struct bb_endpoint endpoint;
    int fd BB_CLEANUP_FD = -1;
    char piece[16384];
    assert_int_equal(bb_endpoint_parse_tcp(address, NULL, &endpoint), BB_OK);
    assert_int_equal(bb_endpoint_connect(&endpoint, 2000, &fd), BB_OK);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_true(SSL_write(ssl, request->data, (int)request->len) > 0);
    int len = SSL_read(ssl, piece, sizeof piece); /* one record, as the server writes it */
    assert_true(len > 0);
    assert_int_equal(bb_buf_append(answer, piece, (size_t)len), BB_OK);
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static void make_fresh(struct test_server *server, SSL *ssl, const struct bb_buf *request,
                       struct bb_buf *document) {
    static const char label[] = "EXPORTER-Channel-Binding";
    const struct test_server_plan *plan = &server->plan;
    struct fresh_request about = {.key = plan->evidence->key, .certificate = plan->certificates[0]};
    struct bb_buf nonce BB_CLEANUP_BUF = BB_BUF_INIT(64);
    const char *begin = strstr(bb_buf_str(request), "{\"nonce\":\"");
    assert_non_null(begin);
    begin += strlen("{\"nonce\":\"");
    assert_int_equal(bb_base64_decode(bb_view(begin, strcspn(begin, "\"")), &nonce), BB_OK);
    about.nonce = bb_buf_view(&nonce);
    assert_int_equal(SSL_export_keying_material(ssl, about.exporter, sizeof about.exporter, label,
                                                sizeof label - 1, NULL, 0, 0),
                     1);
    evidence_fresh(plan->source, plan->fresh, &about, document);
    if (server->replayed.len == 0)
        assert_int_equal(bb_buf_append(&server->replayed, document->data, document->len), BB_OK);
}

static void write_fresh(struct test_server *server, const struct bb_buf *document, struct bb_buf *answer) {
    enum fresh_fault fault = server->plan.fresh;
    struct bb_view body = bb_buf_view(fault == FRESH_REPLAYED ? &server->replayed : document);
    if (fault == FRESH_GARBAGE)
        body = bb_view("no document", 11);
    bool busy = fault == FRESH_BUSY || (fault == FRESH_BUSY_ONCE && server->asked == 1);
    size_t len = fault == FRESH_HUGE ? 500000000 : body.len;
    enum bb_err err = BB_OK;
    if (busy || fault == FRESH_UNKNOWN_ROUTE)
        err = bb_buf_printf(answer, "HTTP/1.1 %d No\r\nContent-Length: 17\r\n\r\n{\"error\":\"words\"}",
                            busy ? 503 : 404);
    else if (fault == FRESH_NOT_HTTP)
        err = bb_buf_append_str(answer, "220 hello\r\n\r\n");
    else if (fault == FRESH_ENDLESS_HEAD)
        err = bb_buf_printf(answer, "HTTP/1.1 200 OK\r\nX: %09000d", 0);
    else
        err = bb_buf_printf(answer, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s: %zu\r\n\r\n",
                            fault == FRESH_TEXT ? "text/plain" : "application/cbor",
                            fault == FRESH_CHUNKED ? "Transfer-Encoding" : "Content-Length", len);
    assert_int_equal(err, BB_OK);
    if (answer->len > 4 && strstr(bb_buf_str(answer), "200 OK") != NULL)
        assert_int_equal(bb_buf_append(answer, body.data, body.len), BB_OK);
    if (fault == FRESH_TALKATIVE)
        assert_int_equal(bb_buf_append_str(answer, "HTTP/1.1 200 OK\r\n"), BB_OK);
}

static bool serve_evidence(struct test_server *server, SSL *ssl, const struct bb_buf *request) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    server->asked++;
    if (server->plan.fresh == FRESH_SILENT)
        rest(server, 700);
    if (server->plan.fresh == FRESH_SILENT || server->plan.fresh == FRESH_HANGS_UP)
        return false;
    if (server->plan.relay_to != NULL) {
        relay(server->plan.relay_to, request, &answer);
    } else {
        make_fresh(server, ssl, request, &document);
        write_fresh(server, &document, &answer);
    }
    return SSL_write(ssl, answer.data, (int)answer.len) > 0 && !server->plan.leaves;
}

static bool read_request(struct test_server *server, SSL *ssl, struct bb_buf *request) {
    bool continued = false;
    while (!complete(request)) {
        if (!read_piece(ssl, request)) {
            keep(server, request);
            return false;
        }
        if (!continued && strstr(bb_buf_str(request), "Expect: 100-continue") != NULL) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            continued = SSL_write(ssl, go_on, sizeof go_on - 1) > 0;
        }
    }
    return true;
}

static bool write_answer(struct test_server *server, SSL *ssl, const char *answer) {
    size_t left = strlen(answer);
    size_t piece = server->plan.piece > 0 ? server->plan.piece : left;
    while (left > 0) {
        size_t len = left < piece ? left : piece;
        if (SSL_write(ssl, answer, (int)len) <= 0)
            return false;
        answer += len;
        left -= len;
        rest(server, left > 0 ? server->plan.piece_ms : 0);
    }
    return true;
}

static bool serve_request(struct test_server *server, SSL *ssl, unsigned number) {
    struct bb_buf request BB_CLEANUP_BUF = BB_BUF_INIT(SEEN_MAX);
    if (server->plan.never_read && number > 1)
        rest(server, 5000);
    if (!read_request(server, ssl, &request))
        return false;
    if (asks_for_evidence(&request))
        return serve_evidence(server, ssl, &request);
    keep(server, &request);
    server->requests++;
    rest(server, server->plan.delay_ms);
    if (server->plan.close_after_request || (server->plan.drop_second && number == 3))
        return false;
    if (server->plan.endless) {
        answer_endlessly(server, ssl);
        return false;
    }
    const char *answer = server->plan.answer != NULL ? server->plan.answer : GOOD_ANSWER;
    return write_answer(server, ssl, answer) && !server->plan.close_after_answer;
}

static void echo(struct test_server *server, SSL *ssl) {
    char piece[16384];
    for (;;) {
        int len = SSL_read(ssl, piece, sizeof piece);
        if (len <= 0 || SSL_write(ssl, piece, len) != len)
            return;
        server->echoed += (size_t)len;
    }
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
        for (unsigned n = 1; !atomic_load(&server->stopping) && serve_request(server, ssl, n); n++)
            if (server->plan.echo) {
                echo(server, ssl);
                break;
            }
        if (!server->plan.cut)
            (void)SSL_shutdown(ssl);
    } else {
        struct bb_buf unexpected BB_CLEANUP_BUF = BB_BUF_INIT(SEEN_MAX);
        while (read_piece(ssl, &unexpected))
            continue;
        keep(server, &unexpected);
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
    *server = (struct test_server){
        .plan = *plan, .listening = -1, .seen = BB_BUF_INIT(SEEN_MAX), .replayed = BB_BUF_INIT(16384)};
    pthread_mutex_init(&server->lock, NULL);
    server->context = make_context(plan);
    struct bb_endpoint endpoint;
    assert_int_equal(bb_endpoint_parse("tcp:127.0.0.1:0", &endpoint), BB_OK);
    assert_int_equal(bb_endpoint_listen(&endpoint, 16, &server->listening), BB_OK);
    assert_int_equal(bb_endpoint_bound_address(server->listening, server->address, sizeof server->address),
                     BB_OK);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

void test_server_show(struct test_server *server, const struct evidence *evidence) {
    struct test_server_plan plan = server->plan;
    plan.certificates[0] = bb_buf_view(&evidence->certificate);
    plan.key = bb_key_evp(evidence->key);
    plan.evidence = evidence;
    SSL_CTX *context = make_context(&plan);
    pthread_mutex_lock(&server->lock);
    server->plan = plan;
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
    bb_buf_done(&server->replayed);
    pthread_mutex_destroy(&server->lock);
}
