/*
 * The store: hands model weights to the enclave by their SHA-256 (docs/ARCHITECTURE.md section 3, init ⇄
 * store).
 *
 * It trusts nobody: a request is one bounded line with a digest in it, never a path. Nobody needs to trust
 * it: the enclave hashes what comes.
 */
#ifndef BB_HOST_STORE_H
#define BB_HOST_STORE_H

#include "host/model_cache.h"

#define BB_STORE_LINE_MAX   128u   /* bytes of a request, line feed included */
#define BB_STORE_WRITE_MAX  32768u /* bytes per write(2): vhost-device-vsock hangs on more */
#define BB_STORE_REQUEST_MS 10000  /* from a request's first byte to its last */
#define BB_STORE_STALL_MS   60000  /* a peer that takes nothing for so long is given up */

/*
 * Reads one request from a connected stream and answers it. BB_OK: answered (an `ERR` line is an answer too),
 * the connection can take another request. Anything else: close the connection (BB_ERR_CLOSED: the peer did,
 * between requests).
 */
BB_MUST_USE enum bb_err bb_store_serve_one(struct bb_model_cache *cache, int fd);

#endif
