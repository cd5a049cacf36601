/* Tests of the HTTP request reader: requests at every split, pipelining, each refusal, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "enclave/gate/reader.h"

static const struct bb_limits limits = {.header_bytes = 1024, .body_bytes = 64};

static bool on_body(void *arg, struct bb_view bytes) {
    return bb_buf_append(arg, bytes.data, bytes.len) == BB_OK;
}

/* Reads whole streams in two pieces; writes "METHOD target type;body|" for each request, then "!status". */
struct run {
    struct bb_reader reader;
    struct bb_buf said;
    bool over;
};

static void note(struct run *run, enum bb_reader_event event) {
    const struct bb_reader *reader = &run->reader;
    enum bb_err err = BB_OK;
    if (event == BB_READER_HEADER)
        err = bb_buf_printf(&run->said, "%s %s %s;", reader->method, bb_buf_str(&reader->target),
                            bb_buf_str(&reader->content_type));
    else if (event == BB_READER_MESSAGE)
        err = bb_buf_append_str(&run->said, reader->keep_alive ? "|" : "|close");
    else if (event == BB_READER_REFUSED)
        err = bb_buf_printf(&run->said, "!%d", reader->fault.status);
    assert_int_equal(err, BB_OK);
}

static void feed(struct run *run, struct bb_view bytes) {
    bool again = true;
    while (again && !run->over) {
        size_t taken;
        enum bb_reader_event event = bb_reader_feed(&run->reader, bytes, &taken);
        assert_true(taken <= bytes.len);
        bytes = bb_view(bytes.data + taken, bytes.len - taken);
        note(run, event);
        run->over = event == BB_READER_REFUSED || event == BB_READER_STOPPED ||
                    (event == BB_READER_MESSAGE && !run->reader.keep_alive);
        if (event == BB_READER_MESSAGE)
            bb_reader_next(&run->reader);
        again = event == BB_READER_HEADER || bytes.len > 0;
    }
}

static void read_split(struct run *run, struct bb_view stream, size_t split) {
    run->said = BB_BUF_INIT(65536);
    run->over = false;
    bb_reader_init(&run->reader, &limits, on_body, &run->said);
    feed(run, bb_view(stream.data, split));
    feed(run, bb_view(stream.data + split, stream.len - split));
    bb_reader_done(&run->reader);
}

#define GET  "GET /x HTTP/1.1\r\nHost: h\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: h\r\n"

static const struct {
    const char *stream;
    const char *said;
} streams[] = {
    {GET "\r\n", "GET /x ;|"},
    {"\r\n" GET "\r\n", "GET /x ;|"},
    {GET "\r\n" GET "Connection: close\r\n\r\n", "GET /x ;|GET /x ;|close"},
    {"GET http://h/y?q HTTP/1.1\r\nHost:\r\n\r\n", "GET http://h/y?q ;|"},
    {POST "content-TYPE:  a/b  \r\nContent-Length: 5\r\n\r\nhello" GET "\r\n", "POST /x a/b;hello|GET /x ;|"},
    {POST "Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n" GET
          "\r\n",
     "POST /x ;hello|GET /x ;|"},
    {POST "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Type: a/b\r\nHost: other\r\n\r\n", "POST /x ;|"},
    {POST "Content-Length: 0\r\n\r\n" GET "\r\n", "POST /x ;|GET /x ;|"},
    {GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" GET "\r\n", "GET /x ;|GET /x ;|"},
    {"GET /x HTTP/1.0\r\n\r\n", "GET /x ;|close"},
    {"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /x ;|close"},
    {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "CONNECT h:1 ;|"},
    /* refusals */
    {GET "\r\nnonsense\r\n", "GET /x ;|!400"},
    {"GET /x\r\n\r\n", "!400"},
    {"GET /x HTTP/2.0\r\nHost: h\r\n\r\n", "!505"},
    {"GET /x HTTP/3.7\r\nHost: h\r\n\r\n", "!505"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505"},
    {"GET /x HTTP/1.1\r\n\r\n", "!400"},
    {GET "Host: other\r\n\r\n", "!400"},
    {GET "Content-Type: a\r\nContent-Type: a\r\n\r\n", "!400"},
    {GET "A: b\r\n c\r\n\r\n", "!400"},
    {GET "A : b\r\n\r\n", "!400"},
    {GET "A: b\x01\r\n\r\n", "!400"},
    {"GET /x HTTP/1.1\nHost: h\n\n", "!400"},
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "!400"},
    {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400"},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "!400"},
    {POST "Transfer-Encoding: gzip\r\n\r\n", "!501"},
    {POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "!400"},
    {"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400"},
    {POST "Content-Length: -1\r\n\r\n", "!400"},
    {POST "Content-Length: 5x\r\n\r\n", "!400"},
    {POST "Content-Length: 99999999999999999999\r\n\r\n", "!400"},
    {POST "Content-Length: 65\r\n\r\n", "!413"},
    {POST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "POST /x ;!400"},
    {POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", "POST /x ;!400"},
    {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nhelXX", "POST /x ;hel!400"},
};

static void streams_at_every_split(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct bb_view stream = bb_view_str(streams[i].stream);
        for (size_t split = 0; split <= stream.len; split++) {
            struct run run;
            read_split(&run, stream, split);
            assert_string_equal(bb_buf_str(&run.said), streams[i].said);
            bb_buf_done(&run.said);
        }
    }
}

static void a_zero_byte_is_refused(void **state) {
    (void)state;
    static const char stream[] = GET "A: b\0c\r\n\r\n";
    struct run run;
    read_split(&run, bb_view(stream, sizeof stream - 1), 0);
    assert_string_equal(bb_buf_str(&run.said), "!400");
    bb_buf_done(&run.said);
}

/* Builds "GET …" with a header of exactly len bytes. */
static void build_header(struct bb_buf *out, size_t len) {
    bb_buf_clear(out);
    assert_int_equal(bb_buf_append_str(out, GET "X: "), BB_OK);
    while (out->len < len - 4)
        assert_int_equal(bb_buf_append_str(out, "x"), BB_OK);
    assert_int_equal(bb_buf_append_str(out, "\r\n\r\n"), BB_OK);
}

static void the_header_is_bounded(void **state) {
    (void)state;
    struct bb_buf stream BB_CLEANUP_BUF = BB_BUF_INIT(8192);
    for (size_t len = 1020; len <= 1030; len++) {
        build_header(&stream, len);
        for (size_t split = 1; split < len; split += 97) {
            struct run run;
            read_split(&run, bb_buf_view(&stream), split);
            assert_string_equal(bb_buf_str(&run.said), len <= 1024 ? "GET /x ;|" : "!431");
            bb_buf_done(&run.said);
        }
    }
}

static void trailers_and_chunk_extensions_are_bounded(void **state) {
    (void)state;
    static const char *const formats[] = {"%s0\r\nX: %01000d\r\n\r\n", "%s1;a=%01000d\r\nx\r\n0\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        char stream[2048];
        struct run run;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(stream, sizeof stream, formats[i], POST "Transfer-Encoding: chunked\r\n\r\n", 0);
#pragma GCC diagnostic pop
        read_split(&run, bb_view_str(stream), 0);
        assert_string_equal(bb_buf_str(&run.said), "POST /x ;!431");
        bb_buf_done(&run.said);
    }
}

static void a_chunked_body_is_bounded(void **state) {
    (void)state;
    struct run run;
    char stream[512];
    (void)snprintf(stream, sizeof stream,
                   POST "Transfer-Encoding: chunked\r\n\r\n20\r\n%032d\r\n21\r\n%033d\r\n0\r\n\r\n", 0, 0);
    read_split(&run, bb_view_str(stream), 0);
    assert_int_equal(strncmp(bb_buf_str(&run.said), "POST /x ;00", 11), 0);
    assert_non_null(strstr(bb_buf_str(&run.said), "!413"));
    assert_string_equal(run.reader.fault.message, "The request body exceeds the limit body_bytes (64)");
    bb_buf_done(&run.said);
}

static void a_long_target_is_refused(void **state) {
    (void)state;
    static const struct bb_limits wide = {.header_bytes = 65536, .body_bytes = 64};
    struct bb_buf stream BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    struct bb_buf said BB_CLEANUP_BUF = BB_BUF_INIT(64);
    struct bb_reader reader;
    size_t taken;
    bb_reader_init(&reader, &wide, on_body, &said);
    assert_int_equal(bb_buf_printf(&stream, "GET /%08192d HTTP/1.1\r\n", 0), BB_OK);
    assert_int_equal(bb_reader_feed(&reader, bb_buf_view(&stream), &taken), BB_READER_REFUSED);
    assert_int_equal(reader.fault.status, 414);
    bb_reader_done(&reader);
}

static bool stop_here(void *arg, struct bb_view bytes) {
    (void)arg;
    (void)bytes;
    return false;
}

static void the_body_function_can_stop(void **state) {
    (void)state;
    struct bb_reader reader;
    size_t taken;
    bb_reader_init(&reader, &limits, stop_here, NULL);
    struct bb_view stream = bb_view_str(POST "Content-Length: 5\r\n\r\nhello");
    assert_int_equal(bb_reader_feed(&reader, stream, &taken), BB_READER_HEADER);
    assert_true(reader.has_body);
    stream = bb_view(stream.data + taken, stream.len - taken);
    assert_int_equal(bb_reader_feed(&reader, stream, &taken), BB_READER_STOPPED);
    bb_reader_done(&reader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_at_every_split),
        cmocka_unit_test(a_zero_byte_is_refused),
        cmocka_unit_test(the_header_is_bounded),
        cmocka_unit_test(trailers_and_chunk_extensions_are_bounded),
        cmocka_unit_test(a_chunked_body_is_bounded),
        cmocka_unit_test(a_long_target_is_refused),
        cmocka_unit_test(the_body_function_can_stop),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
