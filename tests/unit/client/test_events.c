/* Tests of the parser of server-sent events: at every split of the stream the same events, and its ceiling.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/events.h"

/* Writes each event's data between brackets. */
static enum bb_err note(void *context, struct bb_view data) {
    struct bb_buf *out = context;
    assert_int_equal(strlen((const char *)data.data), data.len);
    return bb_buf_printf(out, "[%s]", (const char *)data.data);
}

static void expect_at(const char *stream, size_t first, size_t second, const char *events_text) {
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_events events;
    size_t len = strlen(stream);
    bb_events_init(&events, 64, note, &out);
    assert_int_equal(bb_events_feed(&events, bb_view(stream, first)), BB_OK);
    assert_int_equal(bb_events_feed(&events, bb_view(stream + first, second - first)), BB_OK);
    assert_int_equal(bb_events_feed(&events, bb_view(stream + second, len - second)), BB_OK);
    bb_events_done(&events);
    assert_string_equal(bb_buf_str(&out), events_text);
}

static void every_split_gives_the_same_events(void **state) {
    (void)state;
    static const struct {
        const char *stream, *events;
    } cases[] = {
        {"data: {\"a\":1}\n\ndata: [DONE]\n\n", "[{\"a\":1}][[DONE]]"},
        {"data: a\r\n\r\ndata: b\r\n\r\n", "[a][b]"},
        {"data: a\r\rdata: b\r\r", "[a][b]"},
        {"data: a\r\ndata: b\n\rdata:c\n\r\n", "[a\nb][c]"},
        {"\xef\xbb\xbf"
         "data: a\n\n\xef\xbb\xbf"
         "data: b\n\n",
         "[a]"},
        {": a comment\n\nevent: x\nid: 5\ndata:  a \nretry: 1\n\n", "[ a ]"},
        {"data\n\ndata:\ndata\n\n", "[][\n]"},
        {"datum: a\n\nDATA: b\n\n data: c\n\n:data: d\n\n", ""},
        {"\n\n\n\rdata: a:b: c\n\n\n\n", "[a:b: c]"},
        {"data: h\xc3\xb6r\n\n", "[h\xc3\xb6r]"},
        {"data: a\n\ndata: unfinished\n", "[a]"},
        {"data: a\n\ndata: unfinished", "[a]"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].stream);
        for (size_t second = 0; second <= len; second++)
            for (size_t first = 0; first <= second; first++)
                expect_at(cases[i].stream, first, second, cases[i].events);
    }
}

static enum bb_err feed(const char *stream, size_t piece, struct bb_buf *out) {
    struct bb_events events;
    enum bb_err err = BB_OK;
    bb_events_init(&events, 8, note, out);
    size_t len = strlen(stream);
    for (size_t at = 0; at < len && err == BB_OK; at += piece)
        err = bb_events_feed(&events, bb_view(stream + at, len - at < piece ? len - at : piece));
    assert_true(events.line.len <= 8 && events.data.len <= 8);
    bb_events_done(&events);
    return err;
}

static void lines_and_events_are_bounded(void **state) {
    (void)state;
    for (size_t piece = 1; piece < 20; piece++) {
        struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(64);
        assert_int_equal(feed("data:abc\n\n", piece, &out), BB_OK);
        assert_int_equal(feed("data:abc\ndata:def\n\n", piece, &out), BB_OK);
        assert_string_equal(bb_buf_str(&out), "[abc][abc\ndef]");
        assert_int_equal(feed("data:abcd\n\n", piece, &out), BB_ERR_TOO_LARGE);
        assert_int_equal(feed(": comment", piece, &out), BB_ERR_TOO_LARGE);
        assert_int_equal(feed("data:abc\ndata:def\ndata:g\n\n", piece, &out), BB_ERR_TOO_LARGE);
        assert_int_equal(feed("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n", piece, &out),
                         BB_ERR_TOO_LARGE);
        assert_string_equal(bb_buf_str(&out), "[abc][abc\ndef]");
    }
}

static enum bb_err refuse(void *context, struct bb_view data) {
    (void)data;
    ++*(unsigned *)context;
    return BB_ERR_CANCELLED;
}

static void an_error_of_the_taker_ends_it(void **state) {
    (void)state;
    unsigned calls = 0;
    struct bb_events events;
    bb_events_init(&events, 64, refuse, &calls);
    assert_int_equal(bb_events_feed(&events, bb_view_str("data: a\n\ndata: b\n\n")), BB_ERR_CANCELLED);
    bb_events_done(&events);
    assert_int_equal(calls, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_gives_the_same_events),
        cmocka_unit_test(lines_and_events_are_bounded),
        cmocka_unit_test(an_error_of_the_taker_ends_it),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
