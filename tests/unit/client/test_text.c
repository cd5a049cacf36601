/*
 * Tests of bb_complete() and bb_chat() against a real TLS server with scripted event streams: what is sent,
 * which streams are believed, that pieces come as they are written, and that bad evidence sends nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <blindbox/text.h>
#include <locale.h>
#include <math.h>

#include "base/clock.h"
#include "evidence.h"
#include "server.h"

#define STREAM      "Content-Type: text/event-stream\r\n"
#define PIECE(text) "data: {\"choices\":[{\"index\":0,\"text\":\"" text "\",\"finish_reason\":null}]}\n\n"
#define STOP        "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE       "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
#define DONE        "data: [DONE]\n\n"
#define GOOD        PIECE("h\\u00f6") PIECE("r \xe2\x82\xac") PIECE("!") STOP USAGE DONE
#define GOOD_TEXT   "h\xc3\xb6r \xe2\x82\xac!"

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

/* A server and a connection to it. */
struct pair {
    struct test_server server;
    struct bb_connection *connection;
    struct bb_buf answer;
};

static void pair_start_with(struct pair *pair, const struct evidence *shown, struct test_server_plan plan,
                            int status, const char *headers, const char *body) {
    pair->answer = BB_BUF_INIT((size_t)4 * 1024 * 1024);
    if (body != NULL)
        plan.answer = test_answer(&pair->answer, status, headers, body);
    plan.certificates[0] = bb_buf_view(&shown->certificate);
    plan.key = bb_key_evp(shown->key);
    plan.source = &source;
    plan.evidence = shown;
    test_server_start(&pair->server, &plan);
    assert_int_equal(bb_connection_new(pair->server.address, policy, &pair->connection), BB_OK);
}

static void pair_start(struct pair *pair, struct test_server_plan plan, const char *body) {
    pair_start_with(pair, &evidence, plan, 200, STREAM, body);
}

static void pair_stop(struct pair *pair) {
    bb_connection_free(pair->connection);
    test_server_stop(&pair->server);
    bb_buf_done(&pair->answer);
}

/* What the callback saw. */
struct pieces {
    struct bb_buf text;
    unsigned count, stop_at;
    int64_t first_ms;
};

static bool note(void *context, const char *text, size_t len) {
    struct pieces *pieces = context;
    assert_int_equal(strlen(text), len);
    assert_true(len > 0);
    if (pieces->count++ == 0)
        pieces->first_ms = bb_clock_monotonic_ms();
    assert_int_equal(bb_buf_append(&pieces->text, text, len), BB_OK);
    return pieces->count != pieces->stop_at;
}

static enum bb_err ask(struct pair *pair, const struct bb_text_options *options, struct pieces *pieces,
                       struct bb_completion **completion) {
    pieces->text = BB_BUF_INIT((size_t)4 * 1024 * 1024);
    enum bb_err err = bb_complete(pair->connection, "Say \"h\xc3\xb6r\"", options, note, pieces, completion);
    assert_int_equal(*completion != NULL, err == BB_OK);
    assert_int_equal(err, bb_connection_error(pair->connection));
    assert_int_equal(err == BB_OK, strlen(bb_connection_error_text(pair->connection)) == 0);
    return err;
}

static bool sent(const struct test_server *server, const char *text) {
    return memmem(server->seen.data, server->seen.len, text, strlen(text)) != NULL;
}

static void a_stream_becomes_text(struct test_server_plan plan) {
    struct pair pair;
    pair_start(&pair, plan, GOOD);
    for (int i = 0; i < 2; i++) {
        struct pieces pieces = {0};
        struct bb_completion *completion = NULL;
        size_t len;
        assert_int_equal(ask(&pair, NULL, &pieces, &completion), BB_OK);
        assert_string_equal(bb_completion_text(completion, &len), GOOD_TEXT);
        assert_int_equal(len, strlen(GOOD_TEXT));
        assert_string_equal(bb_buf_str(&pieces.text), GOOD_TEXT);
        assert_int_equal(pieces.count, 3);
        assert_string_equal(bb_completion_finish_reason(completion), "stop");
        assert_int_equal(bb_completion_prompt_tokens(completion), 7);
        assert_int_equal(bb_completion_tokens(completion), 3);
        assert_int_equal(bb_connection_http_status(pair.connection), 200);
        bb_completion_free(completion);
        bb_buf_done(&pieces.text);
    }
    pair_stop(&pair);
    assert_int_equal(pair.server.handshakes, 1);
    test_server_done(&pair.server);
}

static void streams_of_any_pieces_become_text(void **state) {
    (void)state;
    a_stream_becomes_text((struct test_server_plan){0});
    a_stream_becomes_text((struct test_server_plan){.piece = 1});
    a_stream_becomes_text((struct test_server_plan){.piece = 7});
}

static void pieces_come_as_they_are_written(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){.piece = 200, .piece_ms = 400}, GOOD);
    struct pieces pieces = {0};
    struct bb_completion *completion = NULL;
    assert_int_equal(ask(&pair, NULL, &pieces, &completion), BB_OK);
    assert_true(bb_clock_monotonic_ms() - pieces.first_ms >= 300);
    bb_completion_free(completion);
    bb_buf_done(&pieces.text);
    pair_stop(&pair);
    test_server_done(&pair.server);
}

static void a_request_says_what_it_must(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0}, GOOD);
    double temperature = 0.25, top_p = 0.5;
    int64_t seed = -3;
    const char *stop[] = {"\n", "END"};
    struct bb_text_options options = {.model = "m",
                                      .max_tokens = 9,
                                      .temperature = &temperature,
                                      .top_p = &top_p,
                                      .seed = &seed,
                                      .stop = stop,
                                      .stop_count = 2};
    struct pieces pieces = {0};
    struct bb_completion *completion = NULL;
    (void)setlocale(LC_ALL, "de_DE.UTF-8"); /* where it exists: a decimal comma */
    assert_int_equal(ask(&pair, &options, &pieces, &completion), BB_OK);
    (void)setlocale(LC_ALL, "C");
    bb_completion_free(completion);
    bb_buf_done(&pieces.text);
    pair_stop(&pair);
    assert_int_equal(strncmp(bb_buf_str(&pair.server.seen), "POST /v1/completions HTTP/1.1\r\n", 31), 0);
    assert_true(sent(&pair.server, "Content-Type: application/json\r\n"));
    assert_true(sent(&pair.server,
                     "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                     "\"max_tokens\":9,\"temperature\":0.25,\"top_p\":0.5,\"seed\":-3,"
                     "\"stop\":[\"\\n\",\"END\"],\"prompt\":\"Say \\\"h\xc3\xb6r\\\"\"}"));
    assert_false(sent(&pair.server, "Authorization"));
    test_server_done(&pair.server);
}

static void a_chat_is_sent_and_read(void **state) {
    (void)state;
    static const char stream[] =
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n"
        "data: {\"choices\":[{\"delta\":{\"content\":\"Good \"}}]}\n\n"
        "data: {\"choices\":[{\"delta\":{\"content\":\"day\"}}]}\n\n"
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n" DONE;
    static const struct bb_chat_message messages[] = {{"system", "Be brief"}, {"user", "Hello"}};
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0}, stream);
    struct bb_completion *completion = NULL;
    assert_int_equal(bb_chat(pair.connection, messages, 2, NULL, NULL, NULL, &completion), BB_OK);
    assert_string_equal(bb_completion_text(completion, NULL), "Good day");
    assert_string_equal(bb_completion_finish_reason(completion), "length");
    assert_int_equal(bb_completion_prompt_tokens(completion), -1);
    assert_int_equal(bb_completion_tokens(completion), -1);
    bb_completion_free(completion);
    pair_stop(&pair);
    assert_int_equal(strncmp(bb_buf_str(&pair.server.seen), "POST /v1/chat/completions HTTP/1.1\r\n", 36), 0);
    assert_true(sent(&pair.server,
                     "{\"model\":\"default\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                     "\"messages\":[{\"role\":\"system\",\"content\":\"Be brief\"},"
                     "{\"role\":\"user\",\"content\":\"Hello\"}]}"));
    test_server_done(&pair.server);
}

static void bad_answers_are_told_apart(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *headers, *body;
        enum bb_err err;
        const char *sentence;
    } cases[] = {
        {404, "", "{\"error\":{\"message\":\"no text model here\"}}", BB_ERR_HTTP_STATUS,
         "the server answered 404: no text model here"},
        {503, "", "<html>", BB_ERR_HTTP_STATUS, "the server answered 503"},
        {404, STREAM, GOOD, BB_ERR_HTTP_STATUS, "the server answered 404"},
        {204, "", "", BB_ERR_HTTP_FORM, "expected 200"},
        {200, "Content-Type: application/json\r\n", "{\"choices\":[]}", BB_ERR_HTTP_FORM, "event-stream"},
        {200, "Content-Type: text/event-streams\r\n", GOOD, BB_ERR_HTTP_FORM, "event-stream"},
        {200, "", GOOD, BB_ERR_HTTP_FORM, "event-stream"},
        {200, STREAM, PIECE("a") "data: {\"error\":{\"message\":\"the worker died\\u001b\"}}\n\n",
         BB_ERR_HTTP_STATUS, "the server broke off its answer: the worker died?"},
        {200, STREAM, PIECE("a") "data: {\"error\":5}\n\n", BB_ERR_HTTP_STATUS, "broke off its answer"},
        {200, STREAM, "", BB_ERR_TRUNCATED, "without [DONE]"},
        {200, STREAM, PIECE("a") STOP, BB_ERR_TRUNCATED, "without [DONE]"},
        {200, STREAM, PIECE("a") STOP "data: [DONE]\n", BB_ERR_TRUNCATED, "without [DONE]"},
        {200, STREAM, PIECE("a") DONE, BB_ERR_HTTP_FORM, "no finish_reason"},
        {200, STREAM, GOOD PIECE("a"), BB_ERR_HTTP_FORM, "follows [DONE]"},
        {200, STREAM, STOP STOP DONE, BB_ERR_HTTP_FORM, "finish_reason"},
        {200, STREAM, "data: {\n\n" GOOD, BB_ERR_HTTP_FORM, "not a JSON object"},
        {200, STREAM, "data: []\n\n" GOOD, BB_ERR_HTTP_FORM, "not a JSON object"},
        {200, STREAM, "data: {}\n\n" GOOD, BB_ERR_HTTP_FORM, "choices"},
        {200, STREAM, "data: {\"choices\":[{},{}]}\n\n" GOOD, BB_ERR_HTTP_FORM, "choices"},
        {200, STREAM, "data: {\"choices\":[5]}\n\n" GOOD, BB_ERR_HTTP_FORM, "choice"},
        {200, STREAM, "data: {\"choices\":[{\"text\":5}]}\n\n" GOOD, BB_ERR_HTTP_FORM, "no string"},
        {200, STREAM, PIECE("\xff") GOOD, BB_ERR_HTTP_FORM, "not a JSON object"},
        {200, STREAM, PIECE("\\u0000") GOOD, BB_ERR_HTTP_FORM, "not a JSON object"},
        {200, STREAM, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1}}\n\n" GOOD, BB_ERR_HTTP_FORM,
         "usage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair pair;
        struct pieces pieces = {0};
        struct bb_completion *completion = NULL;
        pair_start_with(&pair, &evidence, (struct test_server_plan){0}, cases[i].status, cases[i].headers,
                        cases[i].body);
        enum bb_err err = ask(&pair, NULL, &pieces, &completion);
        const char *text = bb_connection_error_text(pair.connection);
        if (err != cases[i].err || strstr(text, cases[i].sentence) == NULL)
            fail_msg("case %zu: %s (%s)", i, bb_err_name(err), text);
        assert_int_equal(bb_connection_http_status(pair.connection), cases[i].status);
        assert_false(bb_connection_attestation_failed(pair.connection));
        bb_buf_done(&pieces.text);
        pair_stop(&pair);
        test_server_done(&pair.server);
    }
}

/* One request; asserts how it ends. */
static void expect(struct test_server_plan plan, const char *body, enum bb_err expected) {
    struct pair pair;
    struct pieces pieces = {0};
    struct bb_completion *completion = NULL;
    pair_start(&pair, plan, body);
    bb_connection_set_request_timeout_ms(pair.connection, 1500);
    int64_t begun = bb_clock_monotonic_ms();
    enum bb_err err = ask(&pair, NULL, &pieces, &completion);
    if (err != expected)
        fail_msg("%s, expected %s (%s)", bb_err_name(err), bb_err_name(expected),
                 bb_connection_error_text(pair.connection));
    assert_true(bb_clock_monotonic_ms() - begun < 4000);
    bb_buf_done(&pieces.text);
    pair_stop(&pair);
    test_server_done(&pair.server);
}

static void broken_and_slow_streams_end(void **state) {
    (void)state;
    expect((struct test_server_plan){.delay_ms = 10000}, GOOD, BB_ERR_TIMEOUT);
    expect((struct test_server_plan){.piece = 150, .piece_ms = 2000}, GOOD, BB_ERR_TIMEOUT);
    expect((struct test_server_plan){.close_after_request = true}, GOOD, BB_ERR_CLOSED);
    expect((struct test_server_plan){.answer = "HTTP/1.1 200 OK\r\n" STREAM
                                               "Content-Length: 999\r\n\r\n" PIECE("a"),
                                     .close_after_answer = true},
           NULL, BB_ERR_CLOSED);
    expect((struct test_server_plan){.answer = "HTTP/1.1 200 OK\r\n" STREAM "\r\n" PIECE("a") STOP,
                                     .close_after_answer = true},
           NULL, BB_ERR_TRUNCATED);
}

static void answers_are_bounded(void **state) {
    (void)state;
    struct bb_buf body BB_CLEANUP_BUF = BB_BUF_INIT((size_t)4 * 1024 * 1024);
    for (int i = 0; i < 5; i++) /* each within the ceiling of an event, all beyond that of the text */
        assert_int_equal(bb_buf_printf(&body, "data: {\"choices\":[{\"text\":\"%0250000d\"}]}\n\n", 0),
                         BB_OK);
    expect((struct test_server_plan){0}, bb_buf_str(&body), BB_ERR_TOO_LARGE);
    bb_buf_done(&body);
    assert_int_equal(bb_buf_printf(&body, ":%0300000d\n", 0), BB_OK);
    expect((struct test_server_plan){0}, bb_buf_str(&body), BB_ERR_TOO_LARGE);
}

static bool refuse(void *context) {
    return ++*(unsigned *)context < 3;
}

static void a_call_can_be_cancelled(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){.delay_ms = 50}, GOOD);
    struct pieces pieces = {.stop_at = 2};
    struct bb_completion *completion = NULL;
    assert_int_equal(ask(&pair, NULL, &pieces, &completion), BB_ERR_CANCELLED);
    assert_int_equal(pieces.count, 2);
    bb_buf_done(&pieces.text);
    unsigned calls = 0;
    struct bb_text_options options = {.go_on = refuse, .go_on_context = &calls};
    pieces = (struct pieces){0};
    assert_int_equal(ask(&pair, &options, &pieces, &completion), BB_ERR_CANCELLED);
    bb_buf_done(&pieces.text);
    assert_int_equal(ask(&pair, NULL, &pieces, &completion), BB_OK); /* the connection is still good */
    bb_completion_free(completion);
    bb_buf_done(&pieces.text);
    pair_stop(&pair);
    test_server_done(&pair.server);
}

static void refuse_options(struct pair *pair, struct bb_text_options options) {
    struct pieces pieces = {0};
    struct bb_completion *completion = NULL;
    assert_int_equal(ask(pair, &options, &pieces, &completion), BB_ERR_ARGUMENT);
}

static void arguments_are_checked(void **state) {
    (void)state;
    struct pair pair;
    pair_start(&pair, (struct test_server_plan){0}, GOOD);
    static const double wrong[] = {-0.1, 2.1, NAN, INFINITY};
    static const char *const stop[] = {"a", "b", "c", "d", "e", NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refuse_options(&pair, (struct bb_text_options){.temperature = &wrong[i]});
        refuse_options(&pair, (struct bb_text_options){.top_p = &wrong[i]});
    }
    refuse_options(&pair, (struct bb_text_options){.stop = stop, .stop_count = 5});
    refuse_options(&pair, (struct bb_text_options){.stop = stop + 4, .stop_count = 2});
    refuse_options(&pair, (struct bb_text_options){.stop_count = 1});
    refuse_options(&pair, (struct bb_text_options){.model = "\xff"});
    struct bb_completion *completion = NULL;
    struct bb_chat_message message = {"user", NULL};
    assert_int_equal(bb_complete(pair.connection, NULL, NULL, NULL, NULL, &completion), BB_ERR_ARGUMENT);
    assert_int_equal(bb_complete(pair.connection, "\xc3", NULL, NULL, NULL, &completion), BB_ERR_ARGUMENT);
    assert_int_equal(bb_chat(pair.connection, &message, 1, NULL, NULL, NULL, &completion), BB_ERR_ARGUMENT);
    assert_int_equal(bb_chat(pair.connection, &message, 0, NULL, NULL, NULL, &completion), BB_ERR_ARGUMENT);
    char *long_prompt = malloc(BB_TEXT_REQUEST_MAX + 1);
    assert_non_null(long_prompt);
    memset(long_prompt, 'a', BB_TEXT_REQUEST_MAX);
    long_prompt[BB_TEXT_REQUEST_MAX] = '\0';
    assert_int_equal(bb_complete(pair.connection, long_prompt, NULL, NULL, NULL, &completion),
                     BB_ERR_TOO_LARGE);
    free(long_prompt);
    assert_null(completion);
    pair_stop(&pair);
    assert_int_equal(pair.server.accepted, 0);
    test_server_done(&pair.server);
}

static void bad_evidence_is_sent_nothing(void **state) {
    (void)state;
    static const enum evidence_fault faults[] = {EVIDENCE_NONE, EVIDENCE_FOR_OTHER_KEY, EVIDENCE_OLD};
    for (size_t i = 0; i <= sizeof faults / sizeof *faults; i++) {
        bool in_handshake = i < sizeof faults / sizeof *faults;
        struct evidence shown;
        struct pair pair;
        struct pieces pieces = {0};
        struct bb_completion *completion = NULL;
        evidence_make(&source, in_handshake ? faults[i] : EVIDENCE_GOOD, &shown);
        struct test_server_plan plan = {.fresh = in_handshake ? FRESH_GOOD : FRESH_OTHER_EXPORTER};
        pair_start_with(&pair, &shown, plan, 200, STREAM, GOOD);
        assert_int_not_equal(ask(&pair, NULL, &pieces, &completion), BB_OK);
        assert_true(bb_connection_attestation_failed(pair.connection));
        assert_int_equal(pieces.count, 0);
        pair_stop(&pair);
        assert_int_equal(pair.server.accepted, 1);
        assert_int_equal(pair.server.seen.len, 0);
        assert_int_equal(pair.server.requests, 0);
        test_server_done(&pair.server);
        evidence_done(&shown);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_of_any_pieces_become_text),
        cmocka_unit_test(pieces_come_as_they_are_written),
        cmocka_unit_test(a_request_says_what_it_must),
        cmocka_unit_test(a_chat_is_sent_and_read),
        cmocka_unit_test(bad_answers_are_told_apart),
        cmocka_unit_test(broken_and_slow_streams_end),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(a_call_can_be_cancelled),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(bad_evidence_is_sent_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
