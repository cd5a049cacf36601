/* Tests of answers: the head of an answer, faults in every dialect, routes, metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "enclave/gate/fault.h"
#include "enclave/gate/field_value.h"
#include "enclave/gate/http.h"
#include "enclave/gate/metrics.h"
#include "enclave/gate/route.h"

static void an_answer_is_written(void **state) {
    (void)state;
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    struct bb_answer answer = {
        .status = 503, .content_type = "text/plain", .body = bb_view_str("hi\n"), .retry_after_s = 7};
    assert_int_equal(bb_http_write(&answer, false, true, 784111777000, &out), BB_OK);
    assert_string_equal(bb_buf_str(&out), "HTTP/1.1 503 Service Unavailable\r\n"
                                          "Content-Length: 3\r\n"
                                          "Cache-Control: no-store\r\n"
                                          "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                          "Content-Type: text/plain\r\n"
                                          "Retry-After: 7\r\n"
                                          "Connection: close\r\n"
                                          "\r\n"
                                          "hi\n");
}

static void head_gets_no_body(void **state) {
    (void)state;
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    struct bb_answer answer = {
        .status = 405, .content_type = "text/plain", .body = bb_view_str("hi\n"), .allow = "POST"};
    assert_int_equal(bb_http_write(&answer, true, false, 0, &out), BB_OK);
    assert_string_equal(bb_buf_str(&out), "HTTP/1.1 405 Method Not Allowed\r\n"
                                          "Content-Length: 3\r\n"
                                          "Cache-Control: no-store\r\n"
                                          "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                                          "Content-Type: text/plain\r\n"
                                          "Allow: POST\r\n"
                                          "\r\n");
}

static const struct bb_limits limits = {.queue = 5, .audio_seconds = 60, .request_ms = 1000};

static void every_error_has_its_status(void **state) {
    (void)state;
    static const struct {
        enum bb_err err;
        const char *detail;
        int status;
        int retry_after_s;
        const char *message;
    } cases[] = {
        {BB_ERR_AUDIO_FORMAT, "Whatever", 400, 0, "Could not deserialize data: not an audio file"},
        {BB_ERR_AUDIO_TRUNCATED, "The audio file is truncated", 400, 0, "The audio file is truncated"},
        {BB_ERR_AUDIO_TRUNCATED, "", 400, 0, "the audio file is truncated"},
        {BB_ERR_AUDIO_EMPTY, "", 400, 0, "The audio file is empty"},
        {BB_ERR_AUDIO_EMPTY, "The audio file holds no samples", 400, 0, "The audio file holds no samples"},
        {BB_ERR_AUDIO_RATE, "The rate", 400, 0, "The rate"},
        {BB_ERR_AUDIO_TOO_LONG, "", 413, 0, "The recording is longer than the limit audio_seconds (60)"},
        {BB_ERR_ARGUMENT, "The language", 400, 0, "The language"},
        {BB_ERR_ARGUMENT, "control \x1b[31m characters", 400, 0,
         "an argument is outside what the function accepts"},
        {BB_ERR_BUSY, "", 503, 1, "Too many requests are waiting: the limit queue (5) is reached"},
        {BB_ERR_TIMEOUT, "", 503, 5, "The request took longer than the limit request_ms (1000)"},
        {BB_ERR_CLOSED, "", 503, 1, "The speech worker is being restarted; try again"},
        {BB_ERR_NO_MEMORY, "", 503, 5, "out of memory"},
        {BB_ERR_ENGINE, "inner workings", 500, 0, "The request could not be served"},
        {BB_ERR_PROTOCOL, "", 500, 0, "The request could not be served"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bb_fault fault;
        bb_fault_from_err(&fault, cases[i].err, bb_view_str(cases[i].detail), &limits);
        assert_int_equal(fault.status, cases[i].status);
        assert_int_equal(fault.retry_after_s, cases[i].retry_after_s);
        assert_string_equal(fault.message, cases[i].message);
    }
}

/* No code is forgotten into a success, and what says "later" says when. */
static void no_error_is_a_success(void **state) {
    (void)state;
    for (int err = 1; err < BB_ERR_COUNT; err++) {
        struct bb_fault fault;
        bb_fault_from_err(&fault, (enum bb_err)err, bb_view(NULL, 0), &limits);
        assert_true(fault.status >= 400 && fault.status <= 503);
        assert_true((fault.status == 503) == (fault.retry_after_s > 0));
        assert_true(fault.message[0] != '\0');
        assert_string_not_equal(bb_http_reason(fault.status), "Unknown");
    }
}

static void faults_speak_the_callers_dialect(void **state) {
    (void)state;
    static const struct {
        const char *path;
        const char *type;
        const char *body;
    } cases[] = {
        {"/v1/models/x", "application/json",
         "{\"error\":{\"message\":\"say "
         "\\\"no\\\"\",\"type\":\"invalid_request_error\",\"param\":\"p\",\"code\":null}}"},
        {"/v1", "application/json",
         "{\"error\":{\"message\":\"say "
         "\\\"no\\\"\",\"type\":\"invalid_request_error\",\"param\":\"p\",\"code\":null}}"},
        {"/v10", "application/json", "{\"error\":\"say \\\"no\\\"\"}"},
        {"/whisper/predict", "application/json", "{\"detail\":\"say \\\"no\\\"\"}"},
        {"/enclave/x", "text/plain; charset=utf-8", "say \"no\"\n"},
        {"/healthz", "text/plain; charset=utf-8", "say \"no\"\n"},
        {"/healthzz", "application/json", "{\"error\":\"say \\\"no\\\"\"}"},
        {"", "application/json", "{\"error\":\"say \\\"no\\\"\"}"},
    };
    struct bb_fault fault;
    bb_fault_set(&fault, 400, "say \"%s\"", "no");
    fault.param = "p";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(1024);
        const char *type;
        enum bb_dialect dialect = bb_dialect_of_path(bb_view_str(cases[i].path));
        assert_int_equal(bb_fault_write(&fault, dialect, &out, &type), BB_OK);
        assert_string_equal(bb_buf_str(&out), cases[i].body);
        assert_string_equal(type, cases[i].type);
    }
}

static void openai_types_follow_the_status(void **state) {
    (void)state;
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    struct bb_fault fault;
    const char *type;
    bb_fault_set(&fault, 503, "later");
    fault.code = "queue";
    assert_int_equal(bb_fault_write(&fault, BB_DIALECT_OPENAI, &out, &type), BB_OK);
    assert_string_equal(
        bb_buf_str(&out),
        "{\"error\":{\"message\":\"later\",\"type\":\"server_error\",\"param\":null,\"code\":\"queue\"}}");
}

static void routes_are_found(void **state) {
    (void)state;
    static const struct {
        const char *method, *path;
        const char *pattern; /* NULL: none */
        const char *parameter, *allow;
    } cases[] = {
        {"GET", "/healthz", "/healthz", "", ""},
        {"HEAD", "/healthz", "/healthz", "", ""},
        {"POST", "/whisper/predict", "/whisper/predict", "", ""},
        {"POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions", "", ""},
        {"GET", "/v1/models", "/v1/models", "", ""},
        {"GET", "/v1/models/a%2Fb-c", "/v1/models/{id}", "a/b-c", ""},
        {"DELETE", "/v1/models/x", NULL, "", "GET, HEAD"},
        {"GET", "/whisper/predict", NULL, "", "POST"},
        {"HEAD", "/whisper/predict", NULL, "", "POST"},
        {"GET", "/v1/models/", NULL, "", ""},
        {"GET", "/v1/models/a/b", NULL, "", ""},
        {"GET", "/v1/models/a%0ab", NULL, "", ""},
        {"GET", "/v1/models/a%zz", NULL, "", ""},
        {"GET", "/v1/models/a%2", NULL, "", ""},
        {"GET", "/healthz/", NULL, "", ""},
        {"GET", "/", NULL, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bb_route_match match;
        bb_route_find(cases[i].method, bb_view_str(cases[i].path), &match);
        assert_string_equal(match.route != NULL ? match.route->pattern : "",
                            cases[i].pattern != NULL ? cases[i].pattern : "");
        if (cases[i].pattern != NULL)
            assert_string_equal(match.parameter, cases[i].parameter);
        assert_string_equal(match.allow, cases[i].allow);
    }
}

static void targets_are_split(void **state) {
    (void)state;
    static const struct {
        const char *target, *path, *query; /* path NULL: refused; query NULL: none */
    } cases[] = {
        {"/a/b", "/a/b", NULL},       {"/a?", "/a", ""},         {"/a?b=c?d", "/a", "b=c?d"},
        {"https://h/a?b", "/a", "b"}, {"https://h", NULL, NULL}, {"*", NULL, NULL},
        {"h:1", NULL, NULL},          {"", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bb_view path, query;
        enum bb_err err = bb_route_split_target(bb_view_str(cases[i].target), &path, &query);
        assert_int_equal(err, cases[i].path != NULL ? BB_OK : BB_ERR_ARGUMENT);
        if (cases[i].path == NULL)
            continue;
        assert_true(bb_view_equal(path, bb_view_str(cases[i].path)));
        assert_true((query.data == NULL) == (cases[i].query == NULL));
        if (cases[i].query != NULL)
            assert_true(bb_view_equal(query, bb_view_str(cases[i].query)));
    }
}

static void queries_are_searched(void **state) {
    (void)state;
    struct bb_view value;
    struct bb_view query = bb_view_str("nonces=1&nonce=2&x&nonce=3&y=");
    assert_true(bb_route_query(query, "nonce", &value));
    assert_true(bb_view_equal(value, bb_view_str("2")));
    assert_true(bb_route_query(query, "x", &value));
    assert_int_equal(value.len, 0);
    assert_true(bb_route_query(query, "y", &value));
    assert_int_equal(value.len, 0);
    assert_false(bb_route_query(query, "nonc", &value));
    assert_false(bb_route_query(bb_view(NULL, 0), "nonce", &value));
}

static void metrics_are_written(void **state) {
    (void)state;
    struct bb_metrics metrics = {0};
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    bb_metrics_answered(&metrics, "/healthz", 200, 3);
    bb_metrics_answered(&metrics, "/healthz", 503, 300);
    bb_metrics_answered(&metrics, "other", 404, 700000);
    for (int i = 0; i < 3; i++)
        bb_metrics_handshake(&metrics, "X25519MLKEM768");
    assert_int_equal(bb_metrics_write(&metrics, &out), BB_OK);
    static const char *const lines[] = {
        "# TYPE blindbox_requests_total counter\n",
        "\nblindbox_requests_total{route=\"/healthz\",status=\"2xx\"} 1\n",
        "\nblindbox_requests_total{route=\"/healthz\",status=\"5xx\"} 1\n",
        "\nblindbox_requests_total{route=\"other\",status=\"4xx\"} 1\n",
        "\nblindbox_request_seconds_bucket{route=\"/healthz\",le=\"0.005\"} 1\n",
        "\nblindbox_request_seconds_bucket{route=\"/healthz\",le=\"0.25\"} 1\n",
        "\nblindbox_request_seconds_bucket{route=\"/healthz\",le=\"0.5\"} 2\n",
        "\nblindbox_request_seconds_bucket{route=\"/healthz\",le=\"+Inf\"} 2\n",
        "\nblindbox_request_seconds_sum{route=\"/healthz\"} 0.303\n",
        "\nblindbox_request_seconds_bucket{route=\"other\",le=\"600\"} 0\n",
        "\nblindbox_request_seconds_count{route=\"other\"} 1\n",
        "\nblindbox_tls_handshakes_total{group=\"X25519MLKEM768\"} 3\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_non_null(strstr(bb_buf_str(&out), lines[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_written),
        cmocka_unit_test(head_gets_no_body),
        cmocka_unit_test(every_error_has_its_status),
        cmocka_unit_test(no_error_is_a_success),
        cmocka_unit_test(faults_speak_the_callers_dialect),
        cmocka_unit_test(openai_types_follow_the_status),
        cmocka_unit_test(routes_are_found),
        cmocka_unit_test(targets_are_split),
        cmocka_unit_test(queries_are_searched),
        cmocka_unit_test(metrics_are_written),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
