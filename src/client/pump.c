/*
 * Carries bytes between a socket in the clear and a TLS link, both ways at once, each way through one buffer
 * of a fixed size: whoever reads slowly makes the other side write slowly. Half-closes pass through.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

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
    bool hung_up;    /* nobody reads from fd any more */
    enum bb_err err; /* of the enclave's end of stream */
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
        pump->err = BB_ERR_TRUNCATED;
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

static enum bb_err drain_down(struct pump *pump) {
    struct flow *down = &pump->down;
    while (!is_empty(down)) {
        struct bb_view bytes = content(down);
        ssize_t len = send(pump->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (len < 0 && errno == EPIPE) { /* nobody listens, but what was said is still to be sent */
            down->begin = down->end;
            down->dry = down->done = pump->moved = true;
        } else if (len < 0) {
            return would_block() ? BB_OK : BB_ERR_CLOSED;
        } else {
            took(pump, down, (size_t)len);
        }
    }
    if (down->dry && !down->done) {
        if (pump->err == BB_OK) /* a cut stream must not look like one that has ended */
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
    if (poll(entries, 2, -1) < 0)
        return errno == EINTR ? BB_OK : BB_ERR_IO;
    /* Nobody will read what may still come: the end, once all that was written has been sent. poll(2) would
     * say so for ever. */
    if ((entries[0].revents & (POLLHUP | POLLERR)) != 0 && entries[0].events == 0)
        pump->hung_up = true;
    if (pump->hung_up && pump->up.done)
        return BB_ERR_CLOSED;
    if ((entries[1].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0 && entries[1].events == 0)
        return BB_ERR_CLOSED;
    return BB_OK;
}

enum bb_err bb_client_pump(struct bb_tls_link *link, int fd) {
    enum bb_err err = bb_fd_set_nonblocking(fd);
    if (err != BB_OK)
        return err;
    struct pump *pump = malloc(sizeof *pump);
    if (pump == NULL)
        return BB_ERR_NO_MEMORY;
    pump->link = link;
    pump->fd = fd;
    pump->err = BB_OK;
    pump->tls_wants_out = pump->hung_up = false;
    pump->up.begin = pump->up.end = pump->down.begin = pump->down.end = 0;
    pump->up.dry = pump->up.done = pump->down.dry = pump->down.done = false;
    while (err == BB_OK && !(pump->up.done && pump->down.done)) {
        err = turn(pump);
        if (err == BB_OK && !pump->moved)
            err = rest(pump);
        /* A peer that has ended its stream without a word takes nothing either. */
        if (err == BB_OK && pump->err != BB_OK && pump->down.done)
            err = pump->err;
    }
    bb_wipe(pump, sizeof *pump);
    free(pump);
    return err;
}
