/*
 * Tests of what happens after a good handshake: what is sent, which answers are believed, and that slow,
 * silent, endless and broken servers end in an error of their own and in good time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <blindbox/transcribe.h>
#include <locale.h>
#include <math.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/fd.h"
#include "client/address.h"
#include "evidence.h"
#include "server.h"

#define BIG ((size_t)8 * 1024 * 1024)

static struct evidence_source source;
static struct evidence evidence;
static struct bb_policy *policy;
static const uint8_t sound[] = "RIFF, let us say";

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

/* A server with good evidence and a connection to it. */
struct pair {
    struct test_server server;
    struct bb_connection *connection;
};

static void pair_start(struct pair *pair, struct test_server_plan plan) {
    plan.certificates[0] = bb_buf_view(&evidence.certificate);
    plan.key = bb_key_evp(evidence.key);
    plan.source = &source;
    plan.evidence = &evidence;
    test_server_start(&pair->server, &plan);
    assert_int_equal(bb_connection_new(pair->server.address, policy, &pair->connection), BB_OK);
}

static void pair_stop(struct pair *pair) {
    bb_connection_free(pair->connection);
    test_server_stop(&pair->server);
}

static const struct bb_audio small = {.bytes = sound, .len = sizeof sound};

static enum bb_err ask(struct pair *pair, const struct bb_audio *audio,
                       const struct bb_transcribe_options *options) {
    struct bb_transcript *transcript = NULL;
    enum bb_err err = bb_transcribe(pair->connection, audio, options, &transcript);
    assert_int_equal(transcript != NULL, err == BB_OK);
    assert_int_equal(err, bb_connection_error(pair->connection));
    assert_int_equal(err == BB_OK, strlen(bb_connection_error_text(pair->connection)) == 0);
    bb_transcript_free(transcript);
    return err;
}

static bool sent(const struct test_server *server, const char *text) {
    return memmem(server->seen.data, server->seen.len, text, strlen(text)) != NULL;
}

static void a_request_says_what_it_must(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0});
    struct bb_transcribe_options options = {.language = "en", .prompt = "Hyper\"visor", .temperature = 0.25};
    (void)setlocale(LC_ALL, "de_DE.UTF-8"); /* where it exists: a decimal comma */
    assert_int_equal(ask(&pair, &small, &options), BB_OK);
    (void)setlocale(LC_ALL, "C");
    pair_stop(&pair);
    const char *request = bb_buf_str(&pair.server.seen);
    assert_int_equal(strncmp(request, "POST /v1/audio/transcriptions HTTP/1.1\r\n", 40), 0);
    assert_true(sent(&pair.server, "name=\"model\"\r\n\r\nwhisper-1\r\n"));
    assert_true(sent(&pair.server, "name=\"response_format\"\r\n\r\njson\r\n"));
    assert_true(sent(&pair.server, "name=\"language\"\r\n\r\nen\r\n"));
    assert_true(sent(&pair.server, "name=\"prompt\"\r\n\r\nHyper\"visor\r\n"));
    assert_true(sent(&pair.server, "name=\"temperature\"\r\n\r\n0.250\r\n"));
    assert_true(sent(&pair.server, "name=\"file\"; filename=\"audio\"\r\n"));
    assert_non_null(memmem(pair.server.seen.data, pair.server.seen.len, sound, sizeof sound));
    assert_false(sent(&pair.server, "Cookie"));
    assert_false(sent(&pair.server, "Authorization"));
    test_server_done(&pair.server);
}

static void arguments_are_checked(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0});
    struct bb_transcribe_options options = {.temperature = NAN};
    assert_int_equal(ask(&pair, &small, &options), BB_ERR_ARGUMENT);
    options.temperature = 1.5;
    assert_int_equal(ask(&pair, &small, &options), BB_ERR_ARGUMENT);
    struct bb_audio audio = {.len = 5};
    assert_int_equal(ask(&pair, &audio, NULL), BB_ERR_ARGUMENT);
    audio = (struct bb_audio){.bytes = sound, .len = BB_AUDIO_LEN_UNKNOWN};
    assert_int_equal(ask(&pair, &audio, NULL), BB_ERR_ARGUMENT);
    audio = (struct bb_audio){0}; /* an empty recording is the server's to judge */
    assert_int_equal(ask(&pair, &audio, NULL), BB_OK);
    pair_stop(&pair);
    assert_int_equal(pair.server.requests, 1);
    test_server_done(&pair.server);
}

/* A recording that is read as it goes. */
struct tape {
    size_t at, len, fail_at;
    unsigned rewinds;
};

static size_t tape_read(void *context, uint8_t *out, size_t room) {
    struct tape *tape = context;
    if (tape->fail_at > 0 && tape->at >= tape->fail_at)
        return BB_READ_FAILED;
    size_t len = tape->len - tape->at < room ? tape->len - tape->at : room;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)('0' + (tape->at + i) % 7);
    tape->at += len;
    return len;
}

static bool tape_rewind(void *context) {
    struct tape *tape = context;
    tape->rewinds++;
    tape->at = 0;
    return true;
}

static struct bb_audio tape_audio(struct tape *tape, uint64_t len) {
    return (struct bb_audio){.len = len, .read = tape_read, .rewind = tape_rewind, .context = tape};
}

static void recordings_are_streamed(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0});
    struct tape tape = {.len = BIG};
    struct bb_audio audio = tape_audio(&tape, BIG);
    assert_int_equal(ask(&pair, &audio, NULL), BB_OK);
    tape.at = 0;
    audio = tape_audio(&tape, BB_AUDIO_LEN_UNKNOWN);
    assert_int_equal(ask(&pair, &audio, NULL), BB_OK);
    pair_stop(&pair);
    assert_true(pair.server.seen.len > 2 * (size_t)BIG);
    assert_true(sent(&pair.server, "Transfer-Encoding: chunked"));
    assert_int_equal(pair.server.handshakes, 1);
    test_server_done(&pair.server);
}

static void a_recording_that_breaks_off_is_an_error(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0});
    struct tape tape = {.len = BIG, .fail_at = BIG / 2};
    struct bb_audio audio = tape_audio(&tape, BIG);
    assert_int_equal(ask(&pair, &audio, NULL), BB_ERR_IO);
    tape = (struct tape){.len = 1000}; /* shorter than it claims to be */
    audio = tape_audio(&tape, 2000);
    assert_int_not_equal(ask(&pair, &audio, NULL), BB_OK);
    assert_int_equal(ask(&pair, &small, NULL), BB_OK);
    pair_stop(&pair);
    assert_int_equal(pair.server.requests, 1);
    test_server_done(&pair.server);
}

static void a_dropped_connection_is_made_again(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){.drop_second = true});
    struct tape tape = {.len = 100000};
    struct bb_audio audio = tape_audio(&tape, 100000);
    assert_int_equal(ask(&pair, &audio, NULL), BB_OK);
    tape.at = 0;
    assert_int_equal(ask(&pair, &audio, NULL), BB_OK);
    assert_int_equal(tape.rewinds, 1);
    assert_int_equal(bb_connection_handshakes(pair.connection), 2);
    tape.at = 0;
    audio.rewind = NULL;
    assert_int_equal(ask(&pair, &audio, NULL), BB_ERR_CLOSED);
    pair_stop(&pair);
    assert_int_equal(pair.server.resumed, 0);
    test_server_done(&pair.server);
}

static void errors_carry_the_servers_words(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *headers, *body;
        enum bb_err err;
        int64_t retry_after_s;
        const char *sentence;
    } cases[] = {
        {400, "", "{\"error\":{\"message\":\"not an audio file\",\"type\":\"x\"}}", BB_ERR_HTTP_STATUS, -1,
         "the server answered 400: not an audio file"},
        {413, "", "{\"detail\":\"body_bytes\"}", BB_ERR_HTTP_STATUS, -1,
         "the server answered 413: body_bytes"},
        {503, "Retry-After: 7\r\n", "{\"error\":\"busy\"}", BB_ERR_HTTP_STATUS, 7,
         "the server answered 503: busy"},
        {429, "", "{\"error\":\"\\u001b[2Jx\\u009by\"}", BB_ERR_HTTP_STATUS, -1,
         "the server answered 429: ?[2Jx??y"},
        {500, "", "<html>", BB_ERR_HTTP_STATUS, -1, "the server answered 500"},
        {404, "", "", BB_ERR_HTTP_STATUS, -1, "the server answered 404"},
        {204, "", "", BB_ERR_HTTP_FORM, -1, "the server answered 204, expected 200"},
        {302, "Location: https://127.0.0.1:1/\r\n", "", BB_ERR_HTTP_FORM, -1,
         "the server answered 302, expected 200"},
        {200, "", "", BB_ERR_HTTP_FORM, -1, "not a transcription"},
        {200, "", "\"words\"", BB_ERR_HTTP_FORM, -1, "not a transcription"},
        {200, "", "{\"text\":5}", BB_ERR_HTTP_FORM, -1, "not a transcription"},
        {200, "", "{\"text\":\"a\"}{}", BB_ERR_HTTP_FORM, -1, "not a transcription"},
        {200, "", "{\"text\":\"a\",\"text\":\"b\"}", BB_ERR_HTTP_FORM, -1, "not a transcription"},
        {200, "", "{\"text\":\"a\\u0000b\"}", BB_ERR_HTTP_FORM, -1, "not a transcription"},
        {200, "", "{\"text\":\"\xff\"}", BB_ERR_HTTP_FORM, -1, "not a transcription"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        struct pair pair;
        pair_start(&pair, (struct test_server_plan){.answer = test_answer(&answer, cases[i].status,
                                                                          cases[i].headers, cases[i].body)});
        assert_int_equal(ask(&pair, &small, NULL), cases[i].err);
        assert_int_equal(bb_connection_http_status(pair.connection), cases[i].status);
        assert_int_equal(bb_connection_retry_after_s(pair.connection), cases[i].retry_after_s);
        assert_non_null(strstr(bb_connection_error_text(pair.connection), cases[i].sentence));
        assert_false(bb_connection_attestation_failed(pair.connection));
        assert_non_null(bb_connection_document(pair.connection));
        pair_stop(&pair);
        assert_int_equal(pair.server.accepted, 1);
        test_server_done(&pair.server);
    }
}

/* One request to a server of the given kind; asserts the error and that it came within two seconds. */
static void expect(struct test_server_plan plan, const struct bb_audio *audio, enum bb_err expected) {
    struct pair pair;
    pair_start(&pair, plan);
    bb_connection_set_request_timeout_ms(pair.connection, 400);
    int64_t begun = bb_clock_monotonic_ms();
    enum bb_err err = ask(&pair, audio, NULL);
    if (err != expected)
        fail_msg("%s, expected %s (%s)", bb_err_name(err), bb_err_name(expected),
                 bb_connection_error_text(pair.connection));
    assert_true(bb_clock_monotonic_ms() - begun < 2000);
    pair_stop(&pair);
    test_server_done(&pair.server);
}

static void bad_servers_end_in_good_time(void **state) {
    (void)state;
    struct tape tape = {.len = BIG};
    struct bb_audio big = tape_audio(&tape, BIG);
    expect((struct test_server_plan){.delay_ms = 10000}, &small, BB_ERR_TIMEOUT);
    expect((struct test_server_plan){.never_read = true}, &big, BB_ERR_TIMEOUT);
    expect((struct test_server_plan){.close_at_once = true}, &small, BB_ERR_TLS);
    expect((struct test_server_plan){.close_after_request = true}, &small, BB_ERR_CLOSED);
    expect((struct test_server_plan){.answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
                                     .close_after_answer = true},
           &small, BB_ERR_CLOSED);
    expect((struct test_server_plan){.answer = "Hello\r\n\r\n"}, &small, BB_ERR_HTTP_FORM);
    expect((struct test_server_plan){.answer = "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"}, &small,
           BB_ERR_HTTP_FORM);
}

static void an_endless_answer_is_bounded(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){.endless = true});
    assert_int_equal(ask(&pair, &small, NULL), BB_ERR_TOO_LARGE);
    assert_non_null(strstr(bb_connection_error_text(pair.connection), "longer than 16777216 bytes"));
    pair_stop(&pair);
    test_server_done(&pair.server);
}

static void silence_before_the_handshake_times_out(void **state) {
    (void)state;
    struct bb_endpoint endpoint;
    int listening BB_CLEANUP_FD = -1;
    char address[64];
    assert_int_equal(bb_endpoint_parse("tcp:127.0.0.1:0", &endpoint), BB_OK);
    assert_int_equal(bb_endpoint_listen(&endpoint, 4, &listening), BB_OK);
    assert_int_equal(bb_endpoint_bound_address(listening, address, sizeof address), BB_OK);
    struct bb_connection *connection;
    assert_int_equal(bb_connection_new(address, policy, &connection), BB_OK);
    bb_connection_set_connect_timeout_ms(connection, 200);
    int64_t begun = bb_clock_monotonic_ms();
    assert_int_equal(bb_connection_attest(connection), BB_ERR_TIMEOUT);
    assert_true(bb_clock_monotonic_ms() - begun < 2000);
    assert_null(bb_connection_report(connection));
    bb_connection_free(connection);

    bb_fd_close(&listening);
    assert_int_equal(bb_connection_new(address, policy, &connection), BB_OK);
    assert_int_equal(bb_connection_attest(connection), BB_ERR_CONNECT);
    assert_false(bb_connection_attestation_failed(connection));
    bb_connection_free(connection);

    char name[80]; /* a label of 64 letters cannot exist, so nobody needs to be asked */
    memset(name, 'a', 64);
    memcpy(name + 64, ".invalid", sizeof ".invalid");
    assert_int_equal(bb_connection_new(name, policy, &connection), BB_OK);
    assert_int_equal(bb_connection_attest(connection), BB_ERR_RESOLVE);
    bb_connection_free(connection);
}

struct watch {
    unsigned calls, stop_at;
    uint64_t sent, total;
};

static bool watch_progress(void *context, uint64_t so_far, uint64_t total) {
    struct watch *watch = context;
    watch->calls++;
    watch->sent = so_far > watch->sent ? so_far : watch->sent;
    watch->total = total > watch->total ? total : watch->total;
    return watch->calls != watch->stop_at;
}

static void progress_is_told_and_can_cancel(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){.delay_ms = 1500});
    struct watch watch = {0};
    struct bb_transcribe_options options = {.progress = watch_progress, .progress_context = &watch};
    struct tape tape = {.len = BIG};
    struct bb_audio audio = tape_audio(&tape, BIG);
    assert_int_equal(ask(&pair, &audio, &options), BB_OK);
    assert_true(watch.calls >= 2);
    assert_true(watch.total > BIG);
    assert_int_equal(watch.sent, watch.total);

    watch = (struct watch){.stop_at = 1};
    assert_int_equal(ask(&pair, &small, &options), BB_ERR_CANCELLED);
    int64_t begun = bb_clock_monotonic_ms();
    watch = (struct watch){.stop_at = 5};
    assert_int_equal(ask(&pair, &small, &options), BB_ERR_CANCELLED);
    assert_true(bb_clock_monotonic_ms() - begun < 1400);
    pair_stop(&pair);
    test_server_done(&pair.server);
}

static void addresses(void **state) {
    (void)state;
    static const struct {
        const char *text, *normal;
    } good[] = {
        {"example.com", "example.com:443"},
        {"example.com/", "example.com:443"},
        {"example.com:8443", "example.com:8443"},
        {"127.0.0.1:1", "127.0.0.1:1"},
        {"[::1]", "[::1]:443"},
        {"[fe80::1]:65535", "[fe80::1]:65535"},
        {"https://Host-1.example", "Host-1.example:443"},
        {"https://[::1]:8443/", "[::1]:8443"},
        {"https://example.com:9/", "example.com:9"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(512);
        assert_int_equal(bb_client_address(good[i].text, &out), BB_OK);
        assert_string_equal(bb_buf_str(&out), good[i].normal);
    }
    static const char *const bad[] = {
        "",
        "/",
        "https://",
        ":443",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "host:443x",
        "::1",
        "[::1",
        "[::1]x",
        "[host]",
        "http://a",
        "https://a/b",
        "user@host",
        "user:pass@host",
        "a?b",
        "a#b",
        "a b",
        "a\nb",
        "a\\b",
        "ho%73t",
        "-oProxy",
        "h\xc3\xb6st",
        "[::1%eth0]:1",
        "https://a//",
        "host:+1",
        "host: 1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bb_connection *connection = NULL;
        enum bb_err err = bb_connection_new(bad[i], policy, &connection);
        if (err != BB_ERR_ARGUMENT)
            fail_msg("\"%s\": %s", bad[i], bb_err_name(err));
        assert_null(connection);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_says_what_it_must),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(recordings_are_streamed),
        cmocka_unit_test(a_recording_that_breaks_off_is_an_error),
        cmocka_unit_test(a_dropped_connection_is_made_again),
        cmocka_unit_test(errors_carry_the_servers_words),
        cmocka_unit_test(bad_servers_end_in_good_time),
        cmocka_unit_test(an_endless_answer_is_bounded),
        cmocka_unit_test(silence_before_the_handshake_times_out),
        cmocka_unit_test(progress_is_told_and_can_cancel),
        cmocka_unit_test(addresses),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
