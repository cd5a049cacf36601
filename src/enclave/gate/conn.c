/* See conn.h: from the first byte to the end. What a request means is conn_request.c's. */
#include "enclave/gate/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/fd.h"
#include "enclave/gate/conn_internal.h"

void bb_conn_arm(struct bb_conn *conn, uint64_t ms) {
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)evtimer_add(conn->timer, &delay);
}

void bb_conn_free(struct bb_conn *conn) {
    bb_conn_end_request(conn);
    bb_server_remove(conn->gate->server, conn);
    if (conn->first_byte != NULL)
        event_free(conn->first_byte);
    if (conn->timer != NULL)
        event_free(conn->timer);
    if (conn->stream != NULL)
        bufferevent_free(conn->stream);
    bb_fd_close(&conn->fd);
    bb_evidence_unref(conn->evidence);
    bb_reader_done(&conn->reader);
    bb_wipe(conn, sizeof *conn);
    free(conn);
}

int bb_conn_socket(const struct bb_conn *conn) {
    return conn->stream != NULL ? (int)bufferevent_getfd(conn->stream) : conn->fd;
}

/* The end of an answered connection: says so, then drops what still comes. */
void bb_conn_linger(struct bb_conn *conn, uint64_t ms) {
    bb_conn_end_request(conn);
    if (conn->stream != NULL)
        bb_tls_stream_finish(conn->stream);
    if (conn->peer_eof) {
        bb_conn_free(conn);
        return;
    }
    conn->state = BB_CONN_LINGER;
    bb_conn_arm(conn, ms);
    if (conn->stream != NULL) {
        struct evbuffer *input = bufferevent_get_input(conn->stream);
        (void)evbuffer_drain(input, evbuffer_get_length(input));
        (void)bufferevent_enable(conn->stream, EV_READ);
    }
}

static void on_read(struct bufferevent *stream, void *arg) {
    struct bb_conn *conn = arg;
    if (conn->state == BB_CONN_LINGER) {
        struct evbuffer *input = bufferevent_get_input(stream);
        (void)evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    bb_conn_advance(conn);
}

static void on_written(struct bufferevent *stream, void *arg) {
    struct bb_conn *conn = arg;
    if (conn->state == BB_CONN_WRITE && evbuffer_get_length(bufferevent_get_output(stream)) == 0)
        bb_conn_answer_written(conn);
}

static void on_connected(struct bb_conn *conn) {
    bb_metrics_handshake(&conn->gate->metrics, bb_tls_stream_group(conn->stream));
    conn->state = BB_CONN_IDLE;
    bb_conn_arm(conn, conn->gate->config.limits.idle_ms);
}

/* The client sends no more. It may still want its answer. */
static void on_eof(struct bb_conn *conn) {
    conn->peer_eof = true;
    (void)bufferevent_disable(conn->stream, EV_READ);
    switch (conn->state) {
    case BB_CONN_WORK:
    case BB_CONN_WRITE:
        (void)bufferevent_enable(conn->stream, EV_WRITE);
        return;
    case BB_CONN_HEADER:
    case BB_CONN_BODY:
        (void)bufferevent_enable(conn->stream, EV_WRITE);
        bb_conn_refuse(conn, 400, "The request ends in its middle");
        return;
    case BB_CONN_IDLE:
        bb_tls_stream_finish(conn->stream);
        break;
    default:
        break;
    }
    bb_conn_free(conn);
}

static void on_event(struct bufferevent *stream, short what, void *arg) {
    (void)stream;
    struct bb_conn *conn = arg;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        on_connected(conn);
        return;
    }
    if (conn->state == BB_CONN_HANDSHAKE) {
        conn->gate->metrics.handshakes_failed++;
        bb_conn_free(conn);
    } else if ((what & BEV_EVENT_EOF) != 0) {
        on_eof(conn);
    } else {
        bb_conn_lost(conn);
    }
}

void bb_conn_lost(struct bb_conn *conn) {
    if (conn->state == BB_CONN_WORK)
        conn->gate->metrics.requests_cancelled++;
    bb_conn_free(conn);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct bb_conn *conn = arg;
    switch (conn->state) {
    case BB_CONN_HEADER:
    case BB_CONN_BODY:
    case BB_CONN_WORK:
        bb_conn_too_slow(conn);
        return;
    case BB_CONN_HANDSHAKE:
        conn->gate->metrics.handshakes_failed++;
        break;
    case BB_CONN_IDLE:
        bb_tls_stream_finish(conn->stream);
        break;
    case BB_CONN_SNIFF:
    case BB_CONN_WRITE:
    case BB_CONN_LINGER:
        break;
    }
    bb_conn_free(conn);
}

/* Somebody speaks HTTP without TLS: says so in kind. Nothing of it is read before it is dropped. */
static void answer_plain(struct bb_conn *conn) {
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                 "Content-Type: text/plain; charset=utf-8\r\n"
                                 "Content-Length: 38\r\n"
                                 "Connection: close\r\n"
                                 "\r\n"
                                 "This port speaks TLS: use https://...\n";
    (void)send(conn->fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(conn->fd, SHUT_WR);
    bb_conn_linger(conn, BB_CONN_LINGER_MS);
}

static void start_tls(struct bb_conn *conn) {
    struct bb_gate *gate = conn->gate;
    event_free(conn->first_byte);
    conn->first_byte = NULL;
    conn->evidence = bb_evidence_ref(bb_evidence_current(gate->evidence));
    if (bb_tls_server_stream(conn->evidence->tls, gate->base, conn->fd, &conn->stream) != BB_OK) {
        bb_conn_free(conn);
        return;
    }
    (void)bb_fd_take(&conn->fd);
    conn->state = BB_CONN_HANDSHAKE;
    bufferevent_setcb(conn->stream, on_read, on_written, on_event, conn);
    (void)bufferevent_enable(conn->stream, EV_READ | EV_WRITE);
}

/* SNIFF: looks at the first byte and leaves it; plain HTTP: drops what comes until the client closes. */
static void on_first_byte(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    struct bb_conn *conn = arg;
    uint8_t bytes[4096];
    bool lingering = conn->state == BB_CONN_LINGER;
    ssize_t n = recv(fd, bytes, lingering ? sizeof bytes : 1, lingering ? 0 : MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        bb_conn_free(conn);
    else if (lingering)
        return;
    else if (bytes[0] >= 'A' && bytes[0] <= 'Z')
        answer_plain(conn);
    else
        start_tls(conn);
}

void bb_conn_accept(struct bb_gate *gate, int fd, bool surplus) {
    int socket BB_CLEANUP_FD = fd;
    struct bb_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return;
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conn->gate = gate;
    conn->surplus = surplus;
    conn->fd = bb_fd_take(&socket);
    bb_reader_init(&conn->reader, &gate->config.limits, bb_conn_take_body, conn);
    bb_server_add(gate->server, conn);
    conn->timer = evtimer_new(gate->base, on_timer, conn);
    conn->first_byte = event_new(gate->base, fd, EV_READ | EV_PERSIST, on_first_byte, conn);
    if (conn->timer == NULL || conn->first_byte == NULL || event_add(conn->first_byte, NULL) != 0) {
        bb_conn_free(conn);
        return;
    }
    bb_conn_arm(conn, gate->config.limits.handshake_ms);
}

void bb_conn_drain(struct bb_conn *conn) {
    conn->closing = true;
    if (conn->state == BB_CONN_IDLE)
        bb_conn_linger(conn, BB_CONN_LINGER_MS);
    else if (conn->state == BB_CONN_SNIFF || conn->state == BB_CONN_HANDSHAKE)
        bb_conn_free(conn);
}

/* A reset or an error says that the client is gone. The mere end of what it sends does not; but if nobody
 * listens either, the probe is answered with a reset, which the next look finds. */
void bb_conn_watch(struct bb_conn *conn, short events) {
    if ((events & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        bb_conn_lost(conn);
    } else if ((events & POLLRDHUP) != 0 && !conn->probed) {
        conn->probed = true;
        bb_tls_stream_probe(conn->stream);
    }
}
