/*
 * One client's connection: TLS, then requests one after another, each under its timeouts.
 *
 *     SNIFF → HANDSHAKE → IDLE → HEADER → BODY → WORK → WRITE → IDLE …
 *                                                          └→ LINGER → (end)
 *
 * While a request is worked on nothing is read: what a client sends meanwhile waits in its socket. A client
 * that has closed its sending side gets its answer all the same; one that is gone is noticed (see
 * bb_conn_watch()) and its request cancelled.
 */
#ifndef BB_GATE_CONN_H
#define BB_GATE_CONN_H

#include <sys/queue.h>

#include "enclave/gate/gate.h"
#include "enclave/gate/reader.h"
#include "enclave/gate/request.h"

/* After a last answer: what the client still sends is read and dropped, so that the answer is not lost to a
 * reset. Long when its request was cut short, as uploads do not stop at once. */
#define BB_CONN_LINGER_MS      2000
#define BB_CONN_LINGER_LONG_MS 30000
/* A request's own limit ends it first; this ends one that the worker forgot. */
#define BB_CONN_GRACE_MS 2000

enum bb_conn_state {
    BB_CONN_SNIFF, /* waiting for the first byte */
    BB_CONN_HANDSHAKE,
    BB_CONN_IDLE,
    BB_CONN_HEADER,
    BB_CONN_BODY,
    BB_CONN_WORK,
    BB_CONN_WRITE,
    BB_CONN_LINGER,
};

struct bb_conn {
    TAILQ_ENTRY(bb_conn) entry; /* of the server's list */
    struct bb_gate *gate;
    enum bb_conn_state state;
    bool surplus;   /* over the limit connections: refused after its first request's header */
    bool peer_eof;  /* the client will send no more */
    bool probed;    /* and has been asked whether it still listens */
    bool closing;   /* after the answer */
    bool cut_short; /* the answer went out before its request was all there */
    int fd;         /* SNIFF, and plain HTTP: ours to close; afterwards the stream's */
    struct event *first_byte;
    struct event *timer;
    struct bufferevent *stream;
    struct bb_evidence *evidence;
    struct bb_reader reader;
    struct bb_request request;
    bool in_request; /* counted as in flight */
};

/* Takes the socket. On failure it is closed. */
void bb_conn_accept(struct bb_gate *gate, int fd, bool surplus);
void bb_conn_free(struct bb_conn *conn);
/* No more requests: idle connections end, others after their answer. May free the connection. */
void bb_conn_drain(struct bb_conn *conn);
/* A request that is worked on will not be finished: says so. */
void bb_conn_give_up(struct bb_conn *conn);
/*
 * Is the client of a request that is worked on still there? events: what poll(2) says of its socket. Frees
 * the connection of one that is gone.
 */
void bb_conn_watch(struct bb_conn *conn, short events);
int bb_conn_socket(const struct bb_conn *conn);

#endif
