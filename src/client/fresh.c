/*
 * The first exchange on a new connection: fresh evidence is asked for with a nonce of ours and judged by
 * bb_verify_fresh(). Reads the answer and not a byte more; refuses answers that say more than they should.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "client/answer.h"
#include "client/head.h"
#include "client/tunnel.h"
#include "crypto/hash.h"

#define PATH       "/.well-known/blindbox/evidence"
#define NONCE_LEN  32u
#define RETRY_MS   250 /* when a busy server does not say */
#define ANSWER_MAX (BB_CLIENT_HEAD_MAX + BB_DOCUMENT_MAX)

struct exchange {
    uint8_t nonce[NONCE_LEN];
    struct bb_buf request, answer;
    struct bb_client_head head;
};

static void exchange_done(struct exchange *exchange) {
    bb_buf_done(&exchange->request);
    bb_buf_done(&exchange->answer);
}

static enum bb_err write_request(struct bb_tunnel *tunnel, struct exchange *exchange) {
    struct bb_buf nonce BB_CLEANUP_BUF = BB_BUF_INIT(128);
    enum bb_err err = bb_random(exchange->nonce, sizeof exchange->nonce);
    if (err == BB_OK)
        err = bb_base64_encode(bb_view(exchange->nonce, sizeof exchange->nonce), &nonce);
    bb_buf_clear(&exchange->request);
    bb_buf_clear(&exchange->answer);
    if (err != BB_OK)
        return err;
    return bb_buf_printf(&exchange->request,
                         "POST " PATH " HTTP/1.1\r\n"
                         "Host: %s\r\n"
                         "User-Agent: blindbox/" BB_VERSION "\r\n"
                         "Accept: application/cbor\r\n"
                         "Content-Type: application/json\r\n"
                         "Content-Length: %zu\r\n"
                         "\r\n"
                         "{\"nonce\":\"%s\"}",
                         tunnel->address, nonce.len + sizeof "{\"nonce\":\"\"}" - 1, bb_buf_str(&nonce));
}

/* A link that can neither go on nor be waited for. */
static enum bb_err fail_link(struct bb_tunnel *tunnel, enum bb_tls_io io) {
    if (io != BB_TLS_FAILED)
        return bb_tunnel_fail(tunnel, BB_ERR_CLOSED);
    return bb_client_fail(&tunnel->outcome, BB_ERR_CLOSED, "%s: %s (%s)", tunnel->address,
                          bb_err_sentence(BB_ERR_CLOSED), bb_tls_link_reason(tunnel->link));
}

static enum bb_err settle(struct bb_tunnel *tunnel, enum bb_tls_io io) {
    return io == BB_TLS_WAIT_READ || io == BB_TLS_WAIT_WRITE ? bb_client_wait(tunnel, io)
                                                             : fail_link(tunnel, io);
}

static enum bb_err send_request(struct bb_tunnel *tunnel, struct bb_view rest) {
    enum bb_err err = BB_OK;
    while (rest.len > 0 && err == BB_OK) {
        size_t len = 0;
        enum bb_tls_io io = bb_tls_link_write(tunnel->link, rest, &len);
        if (io == BB_TLS_MOVED)
            rest = bb_view(rest.data + len, rest.len - len);
        else
            err = settle(tunnel, io);
    }
    return err;
}

/* BB_OK: the answer is all there. BB_ERR_TRUNCATED: more must come. */
static enum bb_err judge_form(struct exchange *exchange) {
    enum bb_err err = bb_client_head_read(bb_buf_view(&exchange->answer), &exchange->head);
    if (err != BB_OK)
        return err;
    size_t have = exchange->answer.len - exchange->head.head_len;
    if (exchange->head.body_len > BB_DOCUMENT_MAX)
        return BB_ERR_TOO_LARGE;
    if (have > exchange->head.body_len)
        return BB_ERR_HTTP_FORM;
    return have < exchange->head.body_len ? BB_ERR_TRUNCATED : BB_OK;
}

static enum bb_err read_answer(struct bb_tunnel *tunnel, struct exchange *exchange) {
    for (;;) {
        uint8_t piece[4096];
        size_t len = 0;
        enum bb_tls_io io = bb_tls_link_read(tunnel->link, piece, sizeof piece, &len);
        enum bb_err err = BB_OK;
        if (io != BB_TLS_MOVED) {
            err = settle(tunnel, io);
            if (err != BB_OK)
                return err;
            continue;
        }
        err = bb_buf_append(&exchange->answer, piece, len);
        if (err == BB_OK)
            err = judge_form(exchange);
        if (err == BB_OK)
            return BB_OK;
        if (err != BB_ERR_TRUNCATED)
            return bb_client_fail(&tunnel->outcome, err,
                                  "%s: the answer to the request for fresh evidence: %s", tunnel->address,
                                  bb_err_sentence(err));
    }
}

static struct bb_view body(const struct exchange *exchange) {
    return bb_view(exchange->answer.data + exchange->head.head_len, exchange->head.body_len);
}

/* The server refused: the sentence it gave is quoted. */
static enum bb_err fail_refused(struct bb_tunnel *tunnel, const struct exchange *exchange) {
    struct bb_buf sentence BB_CLEANUP_BUF = BB_BUF_INIT(BB_DOCUMENT_MAX);
    const char *said = "it gave no reason";
    if (exchange->head.status == 200)
        said = "the answer is not application/cbor";
    else if (bb_client_answer_error(body(exchange), &sentence) == BB_OK)
        said = bb_buf_str(&sentence);
    tunnel->outcome.retry_after_s = exchange->head.retry_after_s;
    bool busy = exchange->head.status == 503;
    tunnel->outcome.attestation_failed = !busy;
    return bb_client_fail(&tunnel->outcome, busy ? BB_ERR_BUSY : BB_ERR_FRESH_MISSING,
                          "%s%s: the server gave no fresh evidence, it answered %d: %.512s",
                          busy ? "" : "Attestation verification failed: ", tunnel->address,
                          exchange->head.status, said);
}

/* One request and its answer. BB_OK: 200, and CBOR. */
static enum bb_err ask(struct bb_tunnel *tunnel, struct exchange *exchange) {
    enum bb_err err = write_request(tunnel, exchange);
    if (err != BB_OK)
        return bb_tunnel_fail(tunnel, err);
    err = send_request(tunnel, bb_buf_view(&exchange->request));
    if (err == BB_OK)
        err = read_answer(tunnel, exchange);
    if (err == BB_OK && (exchange->head.status != 200 || !exchange->head.is_cbor))
        err = fail_refused(tunnel, exchange);
    return err;
}

/* Busy is not bad: waits as long as the server says, while there is time. False: there is not. */
static bool wait_to_retry(struct bb_tunnel *tunnel) {
    int64_t said_s = tunnel->outcome.retry_after_s;
    int64_t until_ms = bb_clock_monotonic_ms() + (said_s > 0 ? said_s * 1000 : RETRY_MS);
    if (until_ms >= tunnel->deadline_ms)
        return false;
    int64_t deadline_ms = tunnel->deadline_ms;
    const struct bb_client_outcome busy = tunnel->outcome;
    tunnel->deadline_ms = until_ms;
    enum bb_err err = bb_client_wait(tunnel, BB_TLS_WAIT_READ); /* a server that speaks now has closed */
    tunnel->deadline_ms = deadline_ms;
    bool waited = err == BB_ERR_TIMEOUT;
    if (waited)
        bb_client_outcome_clear(&tunnel->outcome);
    else if (err == BB_OK)
        tunnel->outcome = busy;
    return waited;
}

static enum bb_err judge(struct bb_tunnel *tunnel, const struct exchange *exchange) {
    struct bb_client_trust *trust = &tunnel->trust;
    uint8_t exporter[BB_EXPORTER_LEN];
    enum bb_err err = bb_tls_link_exporter(tunnel->link, exporter);
    if (err != BB_OK)
        return bb_tunnel_fail(tunnel, err);
    const struct bb_binding binding = {.nonce = exchange->nonce,
                                       .nonce_len = sizeof exchange->nonce,
                                       .exporter = exporter,
                                       .certificate = trust->certificate.data,
                                       .certificate_len = trust->certificate.len};
    struct bb_document *document = NULL;
    struct bb_report *report = bb_report_new();
    if (report == NULL)
        return bb_tunnel_fail(tunnel, BB_ERR_NO_MEMORY);
    struct bb_view bytes = body(exchange);
    err = bb_verify_fresh(bytes.data, bytes.len, tunnel->policy, &binding, bb_clock_wall_ms(), report,
                          &document);
    bb_document_free(document); /* the handshake's says the same about the enclave */
    enum bb_err added = bb_client_trust_add(trust, report);
    bb_report_free(report);
    if (added != BB_OK)
        return bb_tunnel_fail(tunnel, added);
    return err == BB_OK ? BB_OK : bb_tunnel_fail_attestation(tunnel, err);
}

enum bb_err bb_client_freshen(struct bb_tunnel *tunnel) {
    struct exchange exchange __attribute__((cleanup(exchange_done))) = {.request = BB_BUF_INIT(2048),
                                                                        .answer = BB_BUF_INIT(ANSWER_MAX)};
    enum bb_err err = ask(tunnel, &exchange);
    while (err == BB_ERR_BUSY) {
        const struct bb_client_outcome busy = tunnel->outcome;
        if (!wait_to_retry(tunnel))
            break;
        err = ask(tunnel, &exchange);
        if (err == BB_ERR_TIMEOUT) { /* while asking again: that the server is busy tells more */
            tunnel->outcome = busy;
            err = BB_ERR_BUSY;
            break;
        }
    }
    return err == BB_OK ? judge(tunnel, &exchange) : tunnel->outcome.err;
}
