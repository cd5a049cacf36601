/* What conn.c and conn_request.c share. */
#ifndef BB_GATE_CONN_INTERNAL_H
#define BB_GATE_CONN_INTERNAL_H

#include "enclave/gate/conn.h"

/* conn.c */
void bb_conn_arm(struct bb_conn *conn, uint64_t ms);
/* The last answer is out. May free the connection. */
void bb_conn_linger(struct bb_conn *conn, uint64_t ms);
/* The client is gone. Frees the connection. */
void bb_conn_lost(struct bb_conn *conn);

/* conn_request.c */
bool bb_conn_take_body(void *conn, struct bb_view bytes);
/* Reads on in what has come, up to the next request that has to be waited for. */
void bb_conn_advance(struct bb_conn *conn);
void bb_conn_answer_written(struct bb_conn *conn);
/* Answers the request that is being read with a fault and ends the connection. */
void bb_conn_refuse(struct bb_conn *conn, int status, const char *sentence);
/* The timer of a header, a body or a piece of work has run out. */
void bb_conn_too_slow(struct bb_conn *conn);
/* Lets go of the current request, if there is one. */
void bb_conn_end_request(struct bb_conn *conn);

#endif
