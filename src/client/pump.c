/*
 * Carries bytes between a socket in the clear and a TLS link, both ways at once, each way through one buffer
 * of a fixed size: whoever reads slowly makes the other side write slowly. Half-closes pass through.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "client/tunnel.h"

struct flow {
    uint8_t bytes[BB_TUNNEL_BUFFER];
    size_t begin, end; /* what is in it */
    bool dry;          /* nothing more comes in */
    bool done;         /* and the other side knows */
};

struct pump {
    struct bb_tls_link *link;
    int fd;
    struct flow up, down; /* to the enclave, from it */
    bool moved;           /* in this turn */
    bool tls_wants_out;
    bool cut;           /* the enclave's stream has ended without close_notify */
    bool hung_up;       /* nobody holds the other end of fd any more */
    int64_t hung_up_ms; /* since then */
    const atomic_bool *stop;
};

static struct bb_view content(const struct flow *flow) {
    return bb_view(flow->bytes + flow->begin, flow->end - flow->begin);
}

static bool is_empty(const struct flow *flow) {
    return flow->begin == flow->end;
}

static void took(struct pump *pump, struct flow *flow, size_t len) {
    flow->begin += len;
    pump->moved = true;
}

static void got(struct pump *pump, struct flow *flow, size_t len) {
    flow->begin = 0;
    flow->end = len;
    pump->moved = true;
}

static bool would_block(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static enum bb_err fill_up(struct pump *pump) {
    struct flow *up = &pump->up;
    if (up->dry || !is_empty(up))
        return BB_OK;
    ssize_t len = recv(pump->fd, up->bytes, sizeof up->bytes, 0);
    if (len > 0)
        got(pump, up, (size_t)len);
    else if (len == 0)
        up->dry = pump->moved = true;
    else if (!would_block())
        return BB_ERR_CLOSED;
    return BB_OK;
}

static enum bb_err drain_up(struct pump *pump) {
    struct flow *up = &pump->up;
    enum bb_tls_io io = BB_TLS_MOVED;
    pump->tls_wants_out = false;
    while (!is_empty(up) && io == BB_TLS_MOVED) {
        size_t len = 0;
        io = bb_tls_link_write(pump->link, content(up), &len);
        took(pump, up, len);
    }
    if (io == BB_TLS_MOVED && up->dry && !up->done) {
        io = bb_tls_link_finish(pump->link);
        up->done = io == BB_TLS_MOVED;
        pump->moved = true;
    }
    pump->tls_wants_out = io == BB_TLS_WAIT_WRITE;
    return io == BB_TLS_MOVED || io == BB_TLS_WAIT_WRITE || io == BB_TLS_WAIT_READ ? BB_OK : BB_ERR_CLOSED;
}

static enum bb_err fill_down(struct pump *pump) {
    struct flow *down = &pump->down;
    if (down->dry || !is_empty(down))
        return BB_OK;
    size_t len = 0;
    switch (bb_tls_link_read(pump->link, down->bytes, sizeof down->bytes, &len)) {
    case BB_TLS_MOVED:
        got(pump, down, len);
        return BB_OK;
    case BB_TLS_WAIT_READ:
    case BB_TLS_WAIT_WRITE:
        return BB_OK;
    case BB_TLS_CUT:
        pump->cut = true;
        down->dry = pump->moved = true;
        return BB_OK;
    case BB_TLS_END:
        down->dry = pump->moved = true;
        return BB_OK;
    case BB_TLS_FAILED:
        break;
    }
    return BB_ERR_CLOSED;
}

static void hang_up(struct pump *pump) {
    if (!pump->hung_up)
        pump->hung_up_ms = bb_clock_monotonic_ms();
    pump->hung_up = true;
}

/* What the enclave says when nobody listens is dropped: it must not be kept from reading what is still to be
 * sent to it. */
static enum bb_err drain_down(struct pump *pump) {
    struct flow *down = &pump->down;
    while (!is_empty(down)) {
        struct bb_view bytes = content(down);
        ssize_t len =
            pump->hung_up ? (ssize_t)bytes.len : send(pump->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (len >= 0)
            took(pump, down, (size_t)len);
        else if (errno == EPIPE)
            hang_up(pump);
        else
            return would_block() ? BB_OK : BB_ERR_CLOSED;
    }
    if (down->dry && !down->done) {
        if (!pump->cut) /* a cut stream must not look like one that has ended */
            (void)shutdown(pump->fd, SHUT_WR);
        down->done = pump->moved = true;
    }
    return BB_OK;
}

static enum bb_err turn(struct pump *pump) {
    enum bb_err (*const steps[])(struct pump *) = {fill_up, drain_up, fill_down, drain_down};
    enum bb_err err = BB_OK;
    pump->moved = false;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && err == BB_OK; i++)
        err = steps[i](pump);
    return err;
}

/* Nothing moved: waits for what each flow is stuck on. */
static enum bb_err rest(struct pump *pump) {
    struct pollfd entries[] = {{.fd = pump->hung_up ? -1 : pump->fd}, {.fd = bb_tls_link_fd(pump->link)}};
    if (!pump->up.dry && is_empty(&pump->up))
        entries[0].events |= POLLIN;
    if (!is_empty(&pump->down))
        entries[0].events |= POLLOUT;
    if (!pump->down.dry && is_empty(&pump->down))
        entries[1].events |= POLLIN;
    if (pump->tls_wants_out)
        entries[1].events |= POLLOUT;
    if (poll(entries, 2, pump->hung_up ? BB_CLIENT_TICK_MS : -1) < 0)
        return errno == EINTR ? BB_OK : BB_ERR_IO;
    if ((entries[0].revents & (POLLHUP | POLLERR)) != 0 && (entries[0].events & POLLIN) == 0)
        hang_up(pump);
    /* Without anything asked for, an error would wake us for ever. */
    if ((entries[1].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0 && entries[1].events == 0)
        return BB_ERR_CLOSED;
    return BB_OK;
}

/* BB_OK: there is more to do. */
static enum bb_err may_go_on(const struct pump *pump) {
    if (pump->cut && pump->down.done)
        return BB_ERR_TRUNCATED; /* such a peer takes nothing either */
    if (!pump->hung_up)
        return BB_OK;
    bool late = bb_clock_monotonic_ms() - pump->hung_up_ms > BB_CLIENT_FLUSH_MS;
    bool stopped = pump->stop != NULL && atomic_load(pump->stop) && !pump->moved;
    return pump->up.done || late || stopped ? BB_ERR_CLOSED : BB_OK;
}

static enum bb_err run(struct pump *pump) {
    enum bb_err err = BB_OK;
    while (err == BB_OK && !(pump->up.done && pump->down.done)) {
        err = turn(pump);
        if (err == BB_OK)
            err = may_go_on(pump);
        if (err == BB_OK && !pump->moved)
            err = rest(pump);
    }
    return err;
}

enum bb_err bb_client_pump(struct bb_tls_link *link, int fd, const atomic_bool *stop) {
    enum bb_err err = bb_fd_set_nonblocking(fd);
    if (err != BB_OK)
        return err;
    struct pump *pump = malloc(sizeof *pump);
    if (pump == NULL)
        return BB_ERR_NO_MEMORY;
    pump->link = link;
    pump->fd = fd;
    pump->stop = stop;
    pump->tls_wants_out = pump->cut = pump->hung_up = false;
    pump->up.begin = pump->up.end = pump->down.begin = pump->down.end = 0;
    pump->up.dry = pump->up.done = pump->down.dry = pump->down.done = false;
    err = run(pump);
    bb_wipe(pump, sizeof *pump);
    free(pump);
    return err;
}
