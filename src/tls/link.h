/*
 * One TLS connection of a client over a connected socket that does not block: handshake, bytes, end. The
 * judge of tls/client.h decides about the server inside the handshake; until that has ended well there is
 * nothing that could be written.
 *
 * Trusts nothing of the peer. Never raises SIGPIPE. Offers HTTP/1.1 (ALPN) and nothing else.
 */
#ifndef BB_TLS_LINK_H
#define BB_TLS_LINK_H

#include "base/bytes.h"
#include "crypto/fresh.h"
#include "tls/client.h"

#define BB_TLS_LINK_REASON_MAX 128u

enum bb_tls_io {
    BB_TLS_MOVED,      /* done; for bytes: some of them */
    BB_TLS_WAIT_READ,  /* again when the socket is readable */
    BB_TLS_WAIT_WRITE, /* again when it is writable */
    BB_TLS_END,        /* the peer has said that nothing more will come (close_notify) */
    BB_TLS_CUT,        /* the TCP stream has ended without that */
    BB_TLS_FAILED,     /* reset, alert, nonsense: bb_tls_link_reason() */
};

struct bb_tls_link;

/*
 * fd: connected and non-blocking; the link's, once this has succeeded. server_name: for SNI (RFC 6066), NULL:
 * none. client must outlive the link. BB_ERR_NO_MEMORY, BB_ERR_CRYPTO.
 */
BB_MUST_USE enum bb_err bb_tls_link_new(int fd, const char *server_name, struct bb_tls_client *client,
                                        struct bb_tls_link **out);
/* Closes the socket as well. NULL is allowed. */
void bb_tls_link_free(struct bb_tls_link *link);
int bb_tls_link_fd(const struct bb_tls_link *link);

/* MOVED: the handshake is over, and the judge has said yes. */
enum bb_tls_io bb_tls_link_handshake(struct bb_tls_link *link);
/* At most room bytes to out; *len is set with MOVED. Bytes may be left inside after MOVED: ask until WAIT. */
enum bb_tls_io bb_tls_link_read(struct bb_tls_link *link, void *out, size_t room, size_t *len);
/* *len: how many were taken, set with MOVED. bytes must not be empty. */
enum bb_tls_io bb_tls_link_write(struct bb_tls_link *link, struct bb_view bytes, size_t *len);
/* close_notify: nothing more will be written. Reading goes on. */
enum bb_tls_io bb_tls_link_finish(struct bb_tls_link *link);
/* The peer is there as far as can be seen without asking, and has said nothing that is still to be read. */
bool bb_tls_link_is_quiet(struct bb_tls_link *link);
/* Of a link whose handshake is over. */
BB_MUST_USE enum bb_err bb_tls_link_exporter(struct bb_tls_link *link, uint8_t out[BB_FRESH_EXPORTER_LEN]);
/* What FAILED was about, in OpenSSL's or the system's words. */
const char *bb_tls_link_reason(const struct bb_tls_link *link);

#endif
