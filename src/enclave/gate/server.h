/* Listens, keeps the list of connections and their number within bounds, and sees clients go away. */
#ifndef BB_GATE_SERVER_H
#define BB_GATE_SERVER_H

#include <stdbool.h>

#include <blindbox/error.h>

/* Connections over the limit that are still answered (503, naming it) instead of being closed at once. */
#define BB_SERVER_SURPLUS 16u
/* After `drain`: what still runs gets this long, then a 503, which gets BB_SERVER_FLUSH_MS to go out. */
#define BB_SERVER_DRAIN_MS 4700
#define BB_SERVER_FLUSH_MS 300
/* Clients whose request is being worked on are looked at this often. */
#define BB_SERVER_WATCH_MS 100

struct bb_gate;
struct bb_conn;
struct bb_server;

/* listen_fd stays the caller's. */
BB_MUST_USE enum bb_err bb_server_new(struct bb_gate *gate, int listen_fd, struct bb_server **out);
void bb_server_free(struct bb_server *server);
/* Begins to accept; calling it again does nothing. */
BB_MUST_USE enum bb_err bb_server_open(struct bb_server *server);
/* Stops accepting; `drained` is called when the last connection has ended, or when time is up. */
void bb_server_drain(struct bb_server *server, void (*drained)(void *arg), void *arg);
bool bb_server_is_draining(const struct bb_server *server);

/* For connections: they enter the list when made, leave it when freed, ask for being watched while they wait
 * for an answer. */
void bb_server_add(struct bb_server *server, struct bb_conn *conn);
void bb_server_remove(struct bb_server *server, struct bb_conn *conn);
void bb_server_watch(struct bb_server *server);

#endif
