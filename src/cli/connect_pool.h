/*
 * Attested tunnels kept ready for `blindbox connect`, so that a request seldom waits for a handshake and its
 * judgement. Every one of them has been judged when it was made; one whose enclave has gone, or that has been
 * idle for long, is never handed out. Safe for threads.
 */
#ifndef BB_CLI_CONNECT_POOL_H
#define BB_CLI_CONNECT_POOL_H

#include <blindbox/tunnel.h>

#define BB_CONNECT_READY   4u    /* tunnels kept ready while there are requests */
#define BB_CONNECT_IDLE_MS 30000 /* then a ready one is dropped; the enclave's own limit idle_ms is 75 s */

struct bb_connect_pool;

/* Both are borrowed. Starts a thread that makes tunnels; it makes none before the first one was taken. NULL:
 * no memory or no thread. */
struct bb_connect_pool *bb_connect_pool_new(const char *address, const struct bb_policy *policy);
/* Ends the thread and all tunnels that are ready. */
void bb_connect_pool_free(struct bb_connect_pool *pool);
/*
 * A connected tunnel, the caller's to free: a ready one, or one made now. On failure *tunnel is the tunnel
 * that failed, to be asked for its reason and freed; NULL when there is not even that.
 */
BB_MUST_USE enum bb_err bb_connect_pool_take(struct bb_connect_pool *pool, struct bb_tunnel **tunnel);

#endif
