/*
 * The client's half of an attested TLS connection: turns an SSL_CTX that somebody else made (libcurl) into
 * one that speaks TLS 1.3 only and lets a judge of ours decide about the server, inside the handshake and
 * before any application byte is written.
 *
 * Trusts nothing that the context held before: verification modes, callbacks, session caches and key logs are
 * replaced. Refuses: older protocols, resumed sessions, any number of certificates but one, compressed
 * certificates.
 */
#ifndef BB_TLS_CLIENT_H
#define BB_TLS_CLIENT_H

#include "base/bytes.h"

struct ssl_ctx_st;

/* Bytes of the server's Certificate message; more ends the handshake before it is parsed. */
#define BB_TLS_CERTIFICATE_MAX 24576

struct bb_tls_client {
    /* Decides about the server's certificate (DER): BB_OK lets the handshake go on, anything else ends it. */
    enum bb_err (*judge)(void *context, struct bb_view certificate);
    void *context;
    /* About the latest handshake. BB_ERR_TLS: it has not come to the judge. */
    enum bb_err verdict;
    int certificates; /* how many the server sent; not 1: BB_ERR_CERTIFICATE without asking the judge */
};

/*
 * The certificate is only offered to the judge; that the server owns its key is proven by the rest of the
 * handshake, so BB_OK from the judge counts only once the handshake has ended well. `client` must outlive the
 * context. BB_ERR_CRYPTO: a setting was refused, and the context must not be used.
 */
BB_MUST_USE enum bb_err bb_tls_client_prepare(struct ssl_ctx_st *context, struct bb_tls_client *client);

#endif
