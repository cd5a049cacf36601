/* See conn.h: requests on a connection, one at a time. */
#include <inttypes.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/clock.h"
#include "enclave/gate/conn_internal.h"
#include "enclave/gate/field_value.h"

/* The largest answer is a transcript; BB_SPEECH_TEXT_MAX bounds it before it is spelled as JSON. */
#define ANSWER_MAX (6u * BB_SPEECH_TEXT_MAX + 8192u)

static void begin_request(struct bb_conn *conn) {
    conn->request = (struct bb_request){
        .gate = conn->gate, .conn = conn, .dialect = BB_DIALECT_JSON, .started_ms = bb_clock_monotonic_ms()};
    conn->in_request = true;
    conn->gate->metrics.requests_in_flight++;
    conn->state = BB_CONN_HEADER;
    bb_conn_arm(conn, conn->gate->config.limits.header_ms);
}

void bb_conn_end_request(struct bb_conn *conn) {
    if (!conn->in_request)
        return;
    struct bb_request *request = &conn->request;
    conn->in_request = false;
    conn->gate->metrics.requests_in_flight--;
    if (request->end != NULL)
        request->end(request->state);
    request->state = NULL;
    request->end = NULL;
}

static void count_answer(struct bb_conn *conn, int status) {
    const struct bb_request *request = &conn->request;
    const char *pattern = request->route != NULL ? request->route->pattern : "other";
    bb_metrics_answered(&conn->gate->metrics, pattern, status, bb_clock_monotonic_ms() - request->started_ms);
}

static bool is_reading(const struct bb_conn *conn) {
    return conn->state == BB_CONN_HEADER || conn->state == BB_CONN_BODY;
}

static void start_writing(struct bb_conn *conn) {
    conn->state = BB_CONN_WRITE;
    (void)bufferevent_disable(conn->stream, EV_READ);
    bb_conn_arm(conn, conn->gate->config.limits.write_ms);
}

void bb_request_answer(struct bb_request *request, const struct bb_answer *answer) {
    struct bb_conn *conn = request->conn;
    if (request->answered)
        return;
    request->answered = true;
    /* What is left of such a request cannot be told from a next one. */
    conn->cut_short = is_reading(conn) && (conn->reader.has_body || !conn->reader.header_done);
    if (conn->cut_short || !conn->reader.keep_alive || conn->peer_eof)
        conn->closing = true;
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(ANSWER_MAX);
    struct evbuffer *output = bufferevent_get_output(conn->stream);
    if (bb_http_write(answer, request->is_head, conn->closing, bb_clock_wall_ms(), &text) != BB_OK ||
        evbuffer_add(output, text.data, text.len) != 0)
        conn->closing = true; /* no memory: the client sees the connection end */
    count_answer(conn, answer->status);
    if (conn->state == BB_CONN_WORK)
        start_writing(conn);
}

void bb_request_say(struct bb_request *request, const char *content_type, struct bb_view body) {
    const struct bb_answer answer = {.status = 200, .content_type = content_type, .body = body};
    bb_request_answer(request, &answer);
}

void bb_request_fail(struct bb_request *request, const struct bb_fault *fault) {
    struct bb_buf body BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_answer answer = {
        .status = fault->status, .retry_after_s = fault->retry_after_s, .allow = fault->allow};
    request->conn->closing = request->conn->closing || fault->close;
    if (bb_fault_write(fault, request->dialect, &body, &answer.content_type) != BB_OK)
        answer.content_type = NULL;
    answer.body = bb_buf_view(&body);
    bb_request_answer(request, &answer);
}

struct bb_evidence *bb_request_evidence(const struct bb_request *request) {
    return request->conn->evidence;
}

enum bb_err bb_request_exporter(const struct bb_request *request, uint8_t out[BB_FRESH_EXPORTER_LEN]) {
    return bb_tls_stream_exporter(request->conn->stream, out);
}

void bb_conn_refuse(struct bb_conn *conn, int status, const char *sentence) {
    struct bb_fault fault;
    bb_fault_set(&fault, status, "%s", sentence);
    fault.close = true;
    bb_request_fail(&conn->request, &fault);
    start_writing(conn);
}

void bb_conn_too_slow(struct bb_conn *conn) {
    const struct bb_limits *limits = &conn->gate->config.limits;
    struct bb_fault fault;
    if (conn->state == BB_CONN_WORK) {
        bb_fault_from_err(&fault, BB_ERR_TIMEOUT, bb_view(NULL, 0), limits);
        bb_request_fail(&conn->request, &fault);
        return;
    }
    if (conn->state == BB_CONN_HEADER)
        bb_fault_set(&fault, 408, "The request header took longer than the limit header_ms (%" PRIu64 ")",
                     limits->header_ms);
    else
        bb_fault_set(&fault, 408, "The request body took longer than the limit body_ms (%" PRIu64 ")",
                     limits->body_ms);
    fault.close = true;
    bb_request_fail(&conn->request, &fault);
    start_writing(conn);
}

void bb_conn_give_up(struct bb_conn *conn) {
    struct bb_fault fault;
    if (conn->state != BB_CONN_WORK)
        return;
    bb_fault_set(&fault, 503, "The enclave is shutting down");
    fault.retry_after_s = 1;
    bb_request_fail(&conn->request, &fault);
}

bool bb_conn_take_body(void *arg, struct bb_view bytes) {
    struct bb_conn *conn = arg;
    struct bb_request *request = &conn->request;
    if (!request->answered && request->route->body != NULL)
        request->route->body(request, bytes);
    return !request->answered;
}

/* Finds the route. False: fault says why there is none. */
static bool find_route(struct bb_request *request, const struct bb_reader *reader,
                       struct bb_route_match *match, struct bb_fault *fault) {
    struct bb_view path;
    if (bb_route_split_target(bb_buf_view(&reader->target), &path, &request->query) != BB_OK) {
        bb_fault_set(fault, 400, "The request target is not a path");
        return false;
    }
    request->dialect = bb_dialect_of_path(path);
    bb_route_find(reader->method, path, match);
    if (match->route == NULL) {
        if (match->allow[0] == '\0') {
            bb_fault_set(fault, 404, "There is nothing at this path");
        } else {
            bb_fault_set(fault, 405, "This path takes %s only", match->allow);
            fault->allow = match->allow;
        }
        return false;
    }
    request->route = match->route;
    memcpy(request->parameter, match->parameter, sizeof request->parameter);
    return true;
}

static bool expects_continue(const struct bb_reader *reader) {
    return bb_field_equal(bb_buf_view(&reader->expect), "100-continue");
}

/* Judges a header. False: fault says why the request cannot be served. */
static bool accept_header(struct bb_conn *conn, struct bb_route_match *match, struct bb_fault *fault) {
    const struct bb_reader *reader = &conn->reader;
    const struct bb_limits *limits = &conn->gate->config.limits;
    struct bb_request *request = &conn->request;
    bool found = find_route(request, reader, match, fault);
    if (conn->surplus) {
        bb_fault_set(fault, 503,
                     "There are too many connections: the limit connections (%" PRIu64 ") is reached",
                     limits->connections);
        fault->retry_after_s = 1;
        fault->close = true;
        return false;
    }
    if (found && reader->expect.len > 0 && !expects_continue(reader)) {
        bb_fault_set(fault, 417, "The only expectation that is met here is 100-continue");
        return false;
    }
    return found;
}

static void on_header(struct bb_conn *conn) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct bb_reader *reader = &conn->reader;
    struct bb_request *request = &conn->request;
    struct bb_route_match match = {0};
    struct bb_fault fault;
    request->is_head = strcmp(reader->method, "HEAD") == 0;
    request->content_type = bb_buf_view(&reader->content_type);
    if (!accept_header(conn, &match, &fault))
        bb_request_fail(request, &fault);
    else if (request->route->begin != NULL)
        request->route->begin(request);
    if (!request->answered && reader->has_body && !reader->http_1_0 && expects_continue(reader))
        (void)bufferevent_write(conn->stream, go_on, sizeof go_on - 1);
    conn->state = BB_CONN_BODY;
    if (!request->answered)
        bb_conn_arm(conn, conn->gate->config.limits.body_ms);
}

static void on_message(struct bb_conn *conn) {
    conn->state = BB_CONN_WORK;
    if (conn->request.answered) {
        start_writing(conn);
        return;
    }
    (void)bufferevent_disable(conn->stream, EV_READ);
    bb_conn_arm(conn, conn->gate->config.limits.request_ms + BB_CONN_GRACE_MS);
    conn->request.route->serve(&conn->request);
    if (conn->state == BB_CONN_WORK)
        bb_server_watch(conn->gate->server);
}

static void on_refused(struct bb_conn *conn) {
    struct bb_view path, query;
    if (!conn->request.answered &&
        bb_route_split_target(bb_buf_view(&conn->reader.target), &path, &query) == BB_OK)
        conn->request.dialect = bb_dialect_of_path(path);
    conn->reader.fault.close = true;
    bb_request_fail(&conn->request, &conn->reader.fault);
    start_writing(conn);
}

/* One step of the reader. False: nothing more can be done with what has come. */
static bool step(struct bb_conn *conn) {
    struct evbuffer *input = bufferevent_get_input(conn->stream);
    struct evbuffer_iovec chunk = {0};
    (void)evbuffer_peek(input, -1, NULL, &chunk, 1);
    size_t taken;
    enum bb_reader_event event =
        bb_reader_feed(&conn->reader, bb_view(chunk.iov_base, chunk.iov_len), &taken);
    (void)evbuffer_drain(input, taken);
    switch (event) {
    case BB_READER_MORE:
        return evbuffer_get_length(input) > 0;
    case BB_READER_HEADER:
        on_header(conn);
        /* An answer to a request whose body is still to come is the last one. */
        if (conn->request.answered && conn->reader.has_body)
            start_writing(conn);
        break;
    case BB_READER_MESSAGE:
        on_message(conn);
        break;
    case BB_READER_STOPPED:
        start_writing(conn);
        break;
    case BB_READER_REFUSED:
        on_refused(conn);
        break;
    }
    return true;
}

void bb_conn_advance(struct bb_conn *conn) {
    struct evbuffer *input = bufferevent_get_input(conn->stream);
    if (conn->state == BB_CONN_IDLE && evbuffer_get_length(input) > 0)
        begin_request(conn);
    bool more = is_reading(conn);
    while (more && is_reading(conn))
        more = step(conn);
}

/* The next request may have come with this one, or the client may be done. */
void bb_conn_answer_written(struct bb_conn *conn) {
    if (conn->closing) {
        bb_conn_linger(conn, conn->cut_short ? BB_CONN_LINGER_LONG_MS : BB_CONN_LINGER_MS);
        return;
    }
    bb_conn_end_request(conn);
    bb_reader_next(&conn->reader);
    conn->state = BB_CONN_IDLE;
    conn->probed = false;
    bb_conn_arm(conn, conn->gate->config.limits.idle_ms);
    (void)bufferevent_enable(conn->stream, EV_READ);
    bb_conn_advance(conn);
}
