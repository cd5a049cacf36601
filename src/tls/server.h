/*
 * The gate's side of TLS: a context per certificate and libevent streams over it.
 *
 * TLS 1.3 only; no tickets, no session cache, no early data: every handshake is a full one and shows the
 * evidence. An older client gets the alert protocol_version, a client that insists on another protocol than
 * HTTP/1.1 the alert no_application_protocol.
 */
#ifndef BB_TLS_SERVER_H
#define BB_TLS_SERVER_H

#include "base/bytes.h"
#include "crypto/fresh.h"
#include "crypto/key.h"

struct event_base;
struct bufferevent;
struct bb_tls_server;

/*
 * Makes OpenSSL overwrite every piece of memory that it gives back. Call it before the process's first use
 * of OpenSSL; BB_ERR_CRYPTO when it comes too late.
 */
BB_MUST_USE enum bb_err bb_tls_wipe_memory(void);

/* A context that serves the certificate (DER) with its key. BB_ERR_CRYPTO. */
BB_MUST_USE enum bb_err bb_tls_server_new(const struct bb_key *key, struct bb_view certificate,
                                          struct bb_tls_server **out);
void bb_tls_server_free(struct bb_tls_server *server);

/*
 * A server-side stream over a connected, non-blocking socket; its handshake starts at once. On success the
 * stream owns the socket. Callbacks are deferred: data before end of file. An end of the TCP stream without
 * close_notify counts as end of file (HTTP messages say themselves where they end).
 */
BB_MUST_USE enum bb_err bb_tls_server_stream(struct bb_tls_server *server, struct event_base *base, int fd,
                                             struct bufferevent **out);
/* The key exchange group of the handshake: "X25519MLKEM768", "X25519", "P-256" or "other"; static. */
const char *bb_tls_stream_group(struct bufferevent *stream);
/* What the handshake gives both ends of this connection and nobody else (RFC 9266). BB_ERR_CRYPTO. */
BB_MUST_USE enum bb_err bb_tls_stream_exporter(struct bufferevent *stream,
                                               uint8_t out[BB_FRESH_EXPORTER_LEN]);
/* Says that nothing more will be written: close_notify, then the end of the TCP stream. Reading goes on. */
void bb_tls_stream_finish(struct bufferevent *stream);
/*
 * Sends a KeyUpdate (RFC 8446 section 4.6.3), which no application sees: a peer that has only closed its
 * sending side takes it silently; one that is gone answers with a reset, which poll(2) then shows.
 */
void bb_tls_stream_probe(struct bufferevent *stream);

#endif
