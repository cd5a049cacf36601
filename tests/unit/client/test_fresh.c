/*
 * Tests of fresh evidence: whatever is wrong with it has an error of its own, in both kinds of connection,
 * and the server, which keeps every byte but the request for the evidence, has seen none. The relay is a real
 * one: it holds the enclave's certificate and key and passes on genuine evidence of its own connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <blindbox/transcribe.h>
#include <blindbox/tunnel.h>

#include "base/clock.h"
#include "client/head.h"
#include "evidence.h"
#include "server.h"

static struct evidence_source source;
static struct evidence evidence;
static struct bb_policy *policy;

static int set_up(void **state) {
    (void)state;
    evidence_source_init(&source);
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    policy = evidence_policy(&source);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    bb_policy_free(policy);
    evidence_done(&evidence);
    evidence_source_done(&source);
    return 0;
}

static struct test_server_plan plan_with(enum fresh_fault fault) {
    return (struct test_server_plan){.certificates = {bb_buf_view(&evidence.certificate)},
                                     .key = bb_key_evp(evidence.key),
                                     .source = &source,
                                     .evidence = &evidence,
                                     .fresh = fault};
}

static enum bb_err send_recording(struct bb_connection *connection) {
    static const uint8_t sound[] = "RIFF, let us say";
    struct bb_audio audio = {.bytes = sound, .len = sizeof sound};
    struct bb_transcript *transcript = NULL;
    enum bb_err err = bb_transcribe(connection, &audio, NULL, &transcript);
    assert_int_equal(transcript != NULL, err == BB_OK);
    bb_transcript_free(transcript);
    return err;
}

struct expected {
    enum bb_err err;
    bool attestation; /* is it the attestation that failed? */
    const char *sentence;
};

static void check_text(const char *text, const struct expected *expected) {
    static const char heading[] = "Attestation verification failed: ";
    assert_int_equal(strncmp(text, heading, sizeof heading - 1) == 0, expected->attestation);
    if (strstr(text, expected->sentence) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", text, expected->sentence);
}

/* Short where it must pass in full; otherwise more than a slow machine needs. */
static int64_t patience_ms(const struct expected *expected) {
    return expected->err == BB_ERR_BUSY || expected->err == BB_ERR_TIMEOUT ? 600 : 10000;
}

static void try_connection(const char *address, const struct expected *expected) {
    struct bb_connection *connection;
    assert_int_equal(bb_connection_new(address, policy, &connection), BB_OK);
    bb_connection_set_connect_timeout_ms(connection, patience_ms(expected));
    assert_int_equal(bb_connection_attest(connection), expected->err);
    assert_int_equal(send_recording(connection), expected->err);
    assert_int_equal(bb_connection_error(connection), expected->err);
    assert_int_equal(bb_connection_attestation_failed(connection), expected->attestation);
    assert_null(bb_connection_document(connection));
    assert_int_equal(bb_connection_handshakes(connection), 0);
    check_text(bb_connection_error_text(connection), expected);
    bb_connection_free(connection);
}

static void try_tunnel(const char *address, const struct expected *expected) {
    struct bb_tunnel *tunnel;
    int fd = -1;
    assert_int_equal(bb_tunnel_new(address, policy, &tunnel), BB_OK);
    bb_tunnel_set_connect_timeout_ms(tunnel, patience_ms(expected));
    assert_int_equal(bb_tunnel_open(tunnel, &fd), expected->err);
    assert_int_equal(fd, -1);
    assert_int_equal(bb_tunnel_connect(tunnel), expected->err);
    assert_int_equal(bb_tunnel_error(tunnel), expected->err);
    assert_int_equal(bb_tunnel_attestation_failed(tunnel), expected->attestation);
    assert_false(bb_tunnel_is_ready(tunnel));
    assert_null(bb_tunnel_document(tunnel));
    check_text(bb_tunnel_error_text(tunnel), expected);
    bb_tunnel_free(tunnel);
}

static void refuse(struct test_server_plan plan, const struct expected *expected) {
    struct test_server server;
    test_server_start(&server, &plan);
    try_connection(server.address, expected);
    try_tunnel(server.address, expected);
    test_server_stop(&server);
    assert_int_equal(server.seen.len, 0);
    assert_int_equal(server.requests, 0);
    assert_true(server.asked >= (plan.fresh == FRESH_SILENT ? 1 : 3));
    test_server_done(&server);
}

static void bad_evidence_is_refused(void **state) {
    (void)state;
    static const struct {
        enum fresh_fault fault;
        struct expected expected;
    } cases[] = {
        {FRESH_UNKNOWN_ROUTE, {BB_ERR_FRESH_MISSING, true, "it answered 404: words"}},
        {FRESH_TEXT, {BB_ERR_FRESH_MISSING, true, "not application/cbor"}},
        {FRESH_BUSY, {BB_ERR_BUSY, false, "it answered 503: words"}},
        {FRESH_OTHER_EXPORTER,
         {BB_ERR_CHANNEL_BINDING, true, "bound to another connection: its TLS exporter"}},
        {FRESH_OTHER_KEY, {BB_ERR_KEY_BINDING, true, "public key"}},
        {FRESH_OTHER_CERTIFICATE, {BB_ERR_CERTIFICATE_BINDING, true, "bound to another certificate: its"}},
        {FRESH_OLD, {BB_ERR_DOCUMENT_OLD, true, "7200 s old"}},
        {FRESH_OTHER_MEASUREMENTS, {BB_ERR_PCR_MISMATCH, true, "PCR1 is "}},
        {FRESH_WITHOUT_USER_DATA, {BB_ERR_USER_DATA, true, "0 bytes, expected 104"}},
        {FRESH_OTHER_LAYOUT, {BB_ERR_USER_DATA, true, "79 bytes, expected 104"}},
        {FRESH_GARBAGE, {BB_ERR_TRUNCATED, true, "not one COSE_Sign1"}},
        {FRESH_TALKATIVE, {BB_ERR_HTTP_FORM, false, "fresh evidence"}},
        {FRESH_HUGE, {BB_ERR_TOO_LARGE, false, "fresh evidence"}},
        {FRESH_CHUNKED, {BB_ERR_HTTP_FORM, false, "fresh evidence"}},
        {FRESH_ENDLESS_HEAD, {BB_ERR_TOO_LARGE, false, "fresh evidence"}},
        {FRESH_NOT_HTTP, {BB_ERR_HTTP_FORM, false, "fresh evidence"}},
        {FRESH_SILENT, {BB_ERR_TIMEOUT, false, "time limit"}},
        {FRESH_HANGS_UP, {BB_ERR_CLOSED, false, "closed"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(plan_with(cases[i].fault), &cases[i].expected);
}

static void evidence_of_an_earlier_connection_is_refused(void **state) {
    (void)state;
    static const struct expected replayed = {BB_ERR_NONCE, true, "nonce is "};
    struct test_server server;
    struct test_server_plan plan = plan_with(FRESH_REPLAYED);
    struct bb_connection *connection;
    test_server_start(&server, &plan);
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    assert_int_equal(bb_connection_attest(connection), BB_OK); /* the first time it is fresh */
    bb_connection_free(connection);
    try_connection(server.address, &replayed);
    try_tunnel(server.address, &replayed);
    test_server_stop(&server);
    assert_int_equal(server.seen.len, 0);
    test_server_done(&server);
}

static void a_relay_with_the_enclaves_key_is_refused(void **state) {
    (void)state;
    static const struct expected relayed = {
        BB_ERR_CHANNEL_BINDING, true, "the evidence is bound to another connection: its TLS exporter is "};
    struct test_server genuine;
    struct test_server_plan plan = plan_with(FRESH_GOOD);
    test_server_start(&genuine, &plan);
    plan.relay_to = genuine.address;
    refuse(plan, &relayed);
    test_server_stop(&genuine);
    assert_int_equal(genuine.seen.len, 0);
    assert_int_equal(genuine.asked, 3);
    test_server_done(&genuine);
}

static void without_fresh_evidence_only_when_told(void **state) {
    (void)state;
    struct test_server server;
    struct test_server_plan plan = plan_with(FRESH_UNKNOWN_ROUTE);
    struct bb_connection *connection;
    test_server_start(&server, &plan);
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    assert_int_equal(send_recording(connection), BB_ERR_FRESH_MISSING);
    bb_connection_set_fresh(connection, false);
    assert_int_equal(send_recording(connection), BB_OK);
    bb_connection_set_fresh(connection, true);
    assert_int_equal(bb_connection_attest(connection), BB_ERR_FRESH_MISSING);
    bb_connection_free(connection);
    test_server_stop(&server);
    assert_int_equal(server.requests, 1);
    test_server_done(&server);
}

static bool lists(const struct bb_report *report, const char *name) {
    for (size_t i = 0; i < bb_report_count(report); i++)
        if (strcmp(bb_report_name(report, i), name) == 0)
            return bb_report_err(report, i) == BB_OK;
    return false;
}

static void each_connection_asks_once(void **state) {
    (void)state;
    struct test_server server;
    struct test_server_plan plan = plan_with(FRESH_GOOD);
    struct bb_connection *connection;
    test_server_start(&server, &plan);
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    assert_int_equal(bb_connection_attest(connection), BB_OK);
    static const char *const names[] = {"PCR0",
                                        "Fresh evidence: PCR0",
                                        "Fresh evidence: Nonce",
                                        "Fresh evidence: Channel binding",
                                        "Fresh evidence: Key binding",
                                        "Fresh evidence: Certificate binding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_true(lists(bb_connection_report(connection), names[i]));
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_recording(connection), BB_OK);
    assert_int_equal(bb_connection_handshakes(connection), 1);
    bb_connection_free(connection);
    test_server_stop(&server);
    assert_int_equal(server.asked, 1);
    assert_int_equal(server.requests, 3);
    test_server_done(&server);
}

/* After a renewal the kept connection goes on under its own certificate, a new one is judged anew; a server
 * whose evidence names the certificate of before is refused. */
static void a_swapped_certificate_is_judged_anew(void **state) {
    (void)state;
    struct evidence renewed;
    struct test_server server;
    struct test_server_plan plan = plan_with(FRESH_GOOD);
    struct bb_connection *connection;
    evidence_make(&source, EVIDENCE_GOOD, &renewed);
    plan.close_after_answer = true;
    test_server_start(&server, &plan);
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    assert_int_equal(send_recording(connection), BB_OK);
    test_server_show(&server, &renewed);
    assert_int_equal(send_recording(connection), BB_OK);
    size_t len;
    const uint8_t *der = bb_connection_certificate_der(connection, &len);
    assert_int_equal(len, renewed.certificate.len);
    assert_memory_equal(der, renewed.certificate.data, len);
    assert_int_equal(bb_connection_handshakes(connection), 2);
    /* The certificate is swapped, and the evidence still that of the other key. */
    struct evidence mixed = {.key = evidence.key, .certificate = renewed.certificate};
    test_server_show(&server, &renewed);
    server.plan.evidence = &mixed;
    assert_int_equal(send_recording(connection), BB_ERR_KEY_BINDING);
    assert_true(bb_connection_attestation_failed(connection));
    bb_connection_free(connection);
    test_server_stop(&server);
    assert_int_equal(server.asked, 3);
    assert_int_equal(server.requests, 2);
    test_server_done(&server);
    evidence_done(&renewed);
}

static void a_busy_server_is_asked_again(void **state) {
    (void)state;
    struct test_server server;
    struct test_server_plan plan = plan_with(FRESH_BUSY_ONCE);
    struct bb_connection *connection;
    test_server_start(&server, &plan);
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    assert_int_equal(send_recording(connection), BB_OK);
    assert_int_equal(bb_connection_handshakes(connection), 1);
    bb_connection_free(connection);
    test_server_stop(&server);
    assert_int_equal(server.asked, 2);
    test_server_done(&server);
}

static void heads_are_read_strictly(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum bb_err err;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", BB_OK},
        {"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nbody", BB_OK},
        {"HTTP/1.1 503 x\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n", BB_OK},
        {"HTTP/1.1 200 OK\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1234567890\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n folded\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n: x\r\n\r\n", BB_ERR_HTTP_FORM},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nword\r\n\r\n", BB_ERR_HTTP_FORM},
        {"", BB_ERR_TRUNCATED},
    };
    struct bb_client_head head;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bb_view text = bb_view_str(cases[i].text);
        if (bb_client_head_read(text, &head) != cases[i].err)
            fail_msg("%s", cases[i].text);
        const char *end = strstr(cases[i].text, "\r\n\r\n");
        for (size_t len = 0; end != NULL && len < (size_t)(end + 4 - cases[i].text); len++)
            assert_int_equal(bb_client_head_read(bb_view(text.data, len), &head), BB_ERR_TRUNCATED);
    }
    assert_int_equal(bb_client_head_read(bb_view_str(cases[2].text), &head), BB_OK);
    assert_int_equal(head.status, 503);
    assert_int_equal(head.retry_after_s, 7);
    assert_int_equal(head.head_len, strlen(cases[2].text));
}

static enum bb_err judge(struct bb_view document, const struct bb_binding *binding) {
    struct bb_document *judged = NULL;
    struct bb_report *report = bb_report_new();
    enum bb_err err =
        bb_verify_fresh(document.data, document.len, policy, binding, bb_clock_wall_ms(), report, &judged);
    assert_int_equal(judged != NULL, err == BB_OK);
    assert_int_equal(bb_report_failure(report) == NULL, err == BB_OK);
    bb_document_free(judged);
    bb_report_free(report);
    return err;
}

static void every_byte_is_bound(void **state) {
    (void)state;
    uint8_t nonce[BB_NONCE_MAX] = {1, 2, 3}, exporter[BB_EXPORTER_LEN] = {4, 5, 6};
    struct fresh_request about = {.nonce = bb_view(nonce, sizeof nonce),
                                  .key = evidence.key,
                                  .certificate = bb_buf_view(&evidence.certificate)};
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    memcpy(about.exporter, exporter, sizeof exporter);
    evidence_fresh(&source, FRESH_GOOD, &about, &document);
    const struct bb_binding good = {.nonce = nonce,
                                    .nonce_len = sizeof nonce,
                                    .exporter = exporter,
                                    .certificate = evidence.certificate.data,
                                    .certificate_len = evidence.certificate.len};
    assert_int_equal(judge(bb_buf_view(&document), &good), BB_OK);
    for (size_t i = 0; i < sizeof exporter; i++) {
        exporter[i] ^= 1;
        assert_int_equal(judge(bb_buf_view(&document), &good), BB_ERR_CHANNEL_BINDING);
        exporter[i] ^= 1;
    }
    for (size_t i = 0; i < sizeof nonce; i++) {
        nonce[i] ^= 0x80;
        assert_int_equal(judge(bb_buf_view(&document), &good), BB_ERR_NONCE);
        nonce[i] ^= 0x80;
    }
    for (size_t i = 0; i < document.len; i += 7) {
        document.data[i] ^= 4;
        assert_int_not_equal(judge(bb_buf_view(&document), &good), BB_OK);
        document.data[i] ^= 4;
        assert_int_not_equal(judge(bb_view(document.data, i), &good), BB_OK);
    }
    assert_int_equal(judge(bb_buf_view(&document), &good), BB_OK);
}

static void bindings_are_checked(void **state) {
    (void)state;
    static const uint8_t bytes[BB_NONCE_MAX + 1];
    struct evidence other;
    evidence_make(&source, EVIDENCE_GOOD, &other);
    const struct bb_binding good = {.nonce = bytes,
                                    .nonce_len = BB_NONCE_MIN,
                                    .exporter = bytes,
                                    .certificate = evidence.certificate.data,
                                    .certificate_len = evidence.certificate.len};
    struct fresh_request about = {.nonce = bb_view(bytes, BB_NONCE_MIN),
                                  .key = evidence.key,
                                  .certificate = bb_buf_view(&evidence.certificate)};
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    evidence_fresh(&source, FRESH_GOOD, &about, &document);
    assert_int_equal(judge(bb_buf_view(&document), &good), BB_OK);
    struct bb_binding bad[7];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        bad[i] = good;
    bad[0].nonce = NULL;
    bad[1].nonce_len = BB_NONCE_MIN - 1;
    bad[2].nonce_len = BB_NONCE_MAX + 1;
    bad[3].exporter = NULL;
    bad[4].certificate = NULL;
    bad[5].certificate_len--;
    bad[6].certificate = other.certificate.data;
    bad[6].certificate_len = other.certificate.len;
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(judge(bb_buf_view(&document), &bad[i]), BB_ERR_ARGUMENT);
    assert_int_equal(judge(bb_buf_view(&document), NULL), BB_ERR_ARGUMENT);
    assert_int_equal(judge(bb_buf_view(&document), &bad[5]), BB_ERR_CERTIFICATE);
    assert_int_equal(judge(bb_buf_view(&document), &bad[6]), BB_ERR_KEY_BINDING);
    evidence_done(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_evidence_is_refused),
        cmocka_unit_test(evidence_of_an_earlier_connection_is_refused),
        cmocka_unit_test(a_relay_with_the_enclaves_key_is_refused),
        cmocka_unit_test(without_fresh_evidence_only_when_told),
        cmocka_unit_test(each_connection_asks_once),
        cmocka_unit_test(a_swapped_certificate_is_judged_anew),
        cmocka_unit_test(a_busy_server_is_asked_again),
        cmocka_unit_test(heads_are_read_strictly),
        cmocka_unit_test(every_byte_is_bound),
        cmocka_unit_test(bindings_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
