/* See server.h. */
#include "enclave/gate/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "enclave/gate/conn.h"
#include "enclave/gate/gate.h"

#define ACCEPTS_PER_WAKE 32

TAILQ_HEAD(conn_list, bb_conn);

struct bb_server {
    struct bb_gate *gate;
    int listen_fd;
    struct event *acceptable;
    struct event *pause; /* no descriptors left: accept again a little later */
    struct event *watch;
    struct event *drain_timer;
    struct conn_list conns;
    bool open;
    bool told;                  /* draining: requests that still ran were answered */
    void (*drained)(void *arg); /* not NULL: draining */
    void *drained_arg;
};

static const struct timeval pause_time = {.tv_usec = 100000};

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg) {
    (void)what;
    struct bb_server *server = arg;
    struct bb_metrics *metrics = &server->gate->metrics;
    uint64_t limit = server->gate->config.limits.connections;
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                (void)event_del(server->acceptable);
                (void)evtimer_add(server->pause, &pause_time);
            }
            return;
        }
        metrics->connections_total++;
        bool surplus = metrics->connections >= limit;
        metrics->connections_refused += surplus;
        if (metrics->connections >= limit + BB_SERVER_SURPLUS) {
            /* Closed at once. */
            const struct linger reset = {.l_onoff = 1};
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            (void)close(fd);
            continue;
        }
        bb_conn_accept(server->gate, fd, surplus);
    }
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct bb_server *server = arg;
    if (server->drained == NULL)
        (void)event_add(server->acceptable, NULL);
}

static void report_drained(struct bb_server *server) {
    (void)event_del(server->drain_timer);
    server->drained(server->drained_arg);
}

/* First time: those that are still worked on are told; second time: that was it. */
static void on_drain_over(evutil_socket_t fd, short what, void *arg) {
    static const struct timeval flush = {.tv_sec = BB_SERVER_FLUSH_MS / 1000,
                                         .tv_usec = BB_SERVER_FLUSH_MS % 1000 * 1000};
    (void)fd;
    (void)what;
    struct bb_server *server = arg;
    struct bb_conn *conn;
    if (server->told) {
        report_drained(server);
        return;
    }
    server->told = true;
    (void)evtimer_add(server->drain_timer, &flush);
    TAILQ_FOREACH(conn, &server->conns, entry)
    bb_conn_give_up(conn);
}

static void on_watch(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct bb_server *server = arg;
    size_t count = 0, i = 0;
    struct bb_conn *conn, *next;
    TAILQ_FOREACH(conn, &server->conns, entry)
    count += conn->state == BB_CONN_WORK;
    if (count == 0)
        return;
    bb_server_watch(server);
    struct pollfd *polled = calloc(count, sizeof *polled);
    if (polled == NULL)
        return; /* they are looked at later */
    TAILQ_FOREACH(conn, &server->conns, entry) {
        if (conn->state == BB_CONN_WORK)
            polled[i++] = (struct pollfd){.fd = bb_conn_socket(conn), .events = POLLRDHUP};
    }
    bool any = poll(polled, (nfds_t)count, 0) > 0;
    i = 0;
    for (conn = TAILQ_FIRST(&server->conns); any && conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, entry);
        if (conn->state == BB_CONN_WORK && i < count)
            bb_conn_watch(conn, polled[i++].revents);
    }
    free(polled);
}

enum bb_err bb_server_new(struct bb_gate *gate, int listen_fd, struct bb_server **out) {
    struct bb_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return BB_ERR_NO_MEMORY;
    server->gate = gate;
    server->listen_fd = listen_fd;
    TAILQ_INIT(&server->conns);
    server->acceptable = event_new(gate->base, listen_fd, EV_READ | EV_PERSIST, on_acceptable, server);
    server->pause = evtimer_new(gate->base, on_pause_over, server);
    server->watch = evtimer_new(gate->base, on_watch, server);
    server->drain_timer = evtimer_new(gate->base, on_drain_over, server);
    if (server->acceptable == NULL || server->pause == NULL || server->watch == NULL ||
        server->drain_timer == NULL) {
        bb_server_free(server);
        return BB_ERR_NO_MEMORY;
    }
    *out = server;
    return BB_OK;
}

void bb_server_free(struct bb_server *server) {
    if (server == NULL)
        return;
    server->drained = NULL;
    while (!TAILQ_EMPTY(&server->conns))
        bb_conn_free(TAILQ_FIRST(&server->conns));
    struct event *events[] = {server->acceptable, server->pause, server->watch, server->drain_timer};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    free(server);
}

enum bb_err bb_server_open(struct bb_server *server) {
    if (server->open || server->drained != NULL)
        return BB_OK;
    server->open = true;
    return event_add(server->acceptable, NULL) == 0 ? BB_OK : BB_ERR_IO;
}

void bb_server_drain(struct bb_server *server, void (*drained)(void *arg), void *arg) {
    static const struct timeval longest = {.tv_sec = BB_SERVER_DRAIN_MS / 1000,
                                           .tv_usec = BB_SERVER_DRAIN_MS % 1000 * 1000};
    if (server->drained != NULL)
        return;
    server->drained = drained;
    server->drained_arg = arg;
    (void)event_del(server->acceptable);
    (void)evtimer_del(server->pause);
    (void)evtimer_add(server->drain_timer, &longest);
    if (TAILQ_EMPTY(&server->conns)) {
        report_drained(server);
        return;
    }
    struct bb_conn *next;
    for (struct bb_conn *conn = TAILQ_FIRST(&server->conns); conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, entry);
        bb_conn_drain(conn);
    }
}

bool bb_server_is_draining(const struct bb_server *server) {
    return server->drained != NULL;
}

void bb_server_add(struct bb_server *server, struct bb_conn *conn) {
    TAILQ_INSERT_TAIL(&server->conns, conn, entry);
    server->gate->metrics.connections++;
}

void bb_server_remove(struct bb_server *server, struct bb_conn *conn) {
    TAILQ_REMOVE(&server->conns, conn, entry);
    server->gate->metrics.connections--;
    if (server->drained != NULL && TAILQ_EMPTY(&server->conns))
        report_drained(server);
}

void bb_server_watch(struct bb_server *server) {
    static const struct timeval interval = {.tv_sec = BB_SERVER_WATCH_MS / 1000,
                                            .tv_usec = BB_SERVER_WATCH_MS % 1000 * 1000};
    if (!evtimer_pending(server->watch, NULL))
        (void)evtimer_add(server->watch, &interval);
}
