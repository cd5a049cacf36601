/*
 * A tunnel: an attested TLS connection whose bytes the caller writes and reads in the clear through an
 * ordinary socket. For programs that bring their own HTTP library.
 *
 * What bb_connection promises holds here too: the evidence in the handshake is judged, then fresh evidence is
 * asked for that is bound to this very connection (its TLS exporter, a nonce of ours), and only when both are
 * good is there a socket to write to. Nothing is taken from the environment.
 *
 *     struct bb_tunnel *tunnel;
 *     int fd;
 *     err = bb_tunnel_new("enclave.example.com", policy, &tunnel);
 *     if (err == BB_OK)
 *         err = bb_tunnel_open(tunnel, &fd);
 *     // err != BB_OK: bb_tunnel_error_text(tunnel) says why, and nothing was sent
 *     // else write the request to fd, read the answer from fd
 *     close(fd);
 *     bb_tunnel_free(tunnel);
 *
 * A tunnel is used by one thread at a time; one policy may serve many tunnels at once.
 *
 * Not verified: what bb_connection does not verify; that an answer is complete, beyond what
 * bb_tunnel_error() says after the end (HTTP's own lengths do).
 */
#ifndef BLINDBOX_TUNNEL_H
#define BLINDBOX_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blindbox/error.h>
#include <blindbox/policy.h>
#include <blindbox/verify.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* Bytes that a tunnel holds in each direction, besides what the sockets hold. */
#define BB_TUNNEL_BUFFER 65536u

struct bb_tunnel;

/* address and policy: as for bb_connection_new(). Connects to nothing yet. BB_ERR_ARGUMENT, _NO_MEMORY. */
BB_MUST_USE enum bb_err bb_tunnel_new(const char *address, const struct bb_policy *policy,
                                      struct bb_tunnel **tunnel);
/* Ends the connection, and waits for the thread of bb_tunnel_open() to end, which it then does at once. The
 * socket stays the caller's to close. NULL is allowed. */
void bb_tunnel_free(struct bb_tunnel *tunnel);

/* From the name's resolution to the judgement of the fresh evidence, in milliseconds; 0: the default,
 * BB_CONNECT_TIMEOUT_MS_DEFAULT. */
void bb_tunnel_set_connect_timeout_ms(struct bb_tunnel *tunnel, int64_t timeout_ms);
/* false: the handshake's evidence is enough, up to the policy's maximum age; as bb_connection_set_fresh(). */
void bb_tunnel_set_fresh(struct bb_tunnel *tunnel, bool fresh);

/*
 * Connects, judges the handshake's evidence and the fresh evidence. Does nothing when that has been done
 * already; a tunnel connects once. Errors: those of bb_connection_attest().
 */
BB_MUST_USE enum bb_err bb_tunnel_connect(struct bb_tunnel *tunnel);
/*
 * bb_tunnel_connect(), then *fd is a connected stream socket (AF_UNIX, close-on-exec, blocking) that belongs
 * to the caller: what is written to it goes to the enclave, what the enclave says is read from it, at once
 * and unbuffered. A thread of the library, with all signals blocked, carries the bytes. shutdown(2) for
 * writing reaches the enclave as TLS's close_notify, and the other way round as the end of the stream.
 * close(2) ends connection and thread, after what was written has been sent. Once for each tunnel.
 */
BB_MUST_USE enum bb_err bb_tunnel_open(struct bb_tunnel *tunnel, int *fd);
/*
 * bb_tunnel_connect(), then carries bytes between fd (any stream socket; borrowed, and made non-blocking) and
 * the enclave in the calling thread, until both directions have ended or one side is gone; shutdown(2) on fd
 * for both directions, by another thread, ends it too. BB_OK: both ended as they should. BB_ERR_TRUNCATED:
 * the enclave's stream ended without close_notify. BB_ERR_CLOSED: a side was gone. Once for each tunnel.
 */
BB_MUST_USE enum bb_err bb_tunnel_run(struct bb_tunnel *tunnel, int fd);
/* Connected, neither opened nor run yet, and the enclave has not closed. Asks nobody, looks at the socket. */
bool bb_tunnel_is_ready(const struct bb_tunnel *tunnel);

/* Host and port as they are used. */
const char *bb_tunnel_address(const struct bb_tunnel *tunnel);
/*
 * What connecting came to; with an opened tunnel, once its socket has shown the end of the stream, also what
 * that end was: BB_ERR_TRUNCATED (no close_notify), BB_ERR_CLOSED.
 */
enum bb_err bb_tunnel_error(const struct bb_tunnel *tunnel);
/* As bb_connection_error_text(), _attestation_failed(), _report() and _document(), for connecting. */
const char *bb_tunnel_error_text(const struct bb_tunnel *tunnel);
bool bb_tunnel_attestation_failed(const struct bb_tunnel *tunnel);
const struct bb_report *bb_tunnel_report(const struct bb_tunnel *tunnel);
const struct bb_document *bb_tunnel_document(const struct bb_tunnel *tunnel);
/* The server's certificate, DER; NULL and *len = 0 unless the evidence was good. */
const uint8_t *bb_tunnel_certificate_der(const struct bb_tunnel *tunnel, size_t *len);
/* Seconds after which a server that had no fresh evidence to give (BB_ERR_BUSY) suggests to try again, or -1.
 */
int64_t bb_tunnel_retry_after_s(const struct bb_tunnel *tunnel);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
