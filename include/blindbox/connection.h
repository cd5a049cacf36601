/*
 * A connection to an enclave: HTTPS whose server is judged by its attestation evidence instead of by a
 * certificate authority: inside the TLS handshake, and once more by fresh evidence that is asked for on the
 * new connection and bound to it (bb_verify_fresh()), so that nobody who stands in between, not even with the
 * enclave's certificate and key, passes. Until both have been found good, no byte of a request is written.
 *
 * One connection carries one request at a time and belongs to one thread at a time. It stays open between
 * requests; when a new handshake becomes necessary, all of it is judged anew. Nothing is taken from the
 * environment: no proxy, no certificate store, no .netrc; there are no redirects, cookies or resumed
 * sessions, and no plain HTTP.
 *
 * Not verified: the host name (the measurements say who answers, not the name), and what
 * bb_verify_certificate() does not verify.
 */
#ifndef BLINDBOX_CONNECTION_H
#define BLINDBOX_CONNECTION_H

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

#define BB_CONNECT_TIMEOUT_MS_DEFAULT 15000  /* resolving, connecting, handshake and judgement */
#define BB_REQUEST_TIMEOUT_MS_DEFAULT 660000 /* a whole request; more than the enclave gives it */

struct bb_connection;

/*
 * address: "HOST", "HOST:PORT", "V4:PORT", "[V6]" or "[V6]:PORT", each with or without "https://" before and
 * "/" behind; the port is 443 unless named. Connects to nothing yet. The policy is borrowed: it must outlive
 * the connection and not change while a call runs. BB_ERR_ARGUMENT: not such an address.
 */
BB_MUST_USE enum bb_err bb_connection_new(const char *address, const struct bb_policy *policy,
                                          struct bb_connection **connection);
/* Closes; the results below end with it. NULL is allowed. */
void bb_connection_free(struct bb_connection *connection);

/* Limits in milliseconds; 0 sets the default. */
void bb_connection_set_connect_timeout_ms(struct bb_connection *connection, int64_t timeout_ms);
void bb_connection_set_request_timeout_ms(struct bb_connection *connection, int64_t timeout_ms);

/*
 * Whether each new connection is followed by a request for fresh evidence; on at the start. false: the
 * evidence in the handshake is enough, which is up to the policy's maximum age old and does not show who
 * stands in between with the key. For servers that have no fresh evidence to give.
 */
void bb_connection_set_fresh(struct bb_connection *connection, bool fresh);

/*
 * Connects anew, shakes hands and judges the evidence, asks for fresh evidence (unless the handshake's was
 * not good, or bb_connection_set_fresh() says no) and judges that, and sends nothing else. BB_OK: the enclave
 * satisfies the policy now. Otherwise the first check that failed (or BB_ERR_RESOLVE, _CONNECT, _TLS,
 * _TIMEOUT, …), with the reason in bb_connection_error_text() and every check in bb_connection_report().
 */
BB_MUST_USE enum bb_err bb_connection_attest(struct bb_connection *connection);

/* Host and port as they are used: "127.0.0.1:8443", "[::1]:443". */
const char *bb_connection_address(const struct bb_connection *connection);

/* What the latest call on this connection came to. */
enum bb_err bb_connection_error(const struct bb_connection *connection);
/*
 * A sentence for people, "" after success. When the evidence was not good enough it begins with
 * "Attestation verification failed: ". May quote the peer; unprintable characters are replaced.
 */
const char *bb_connection_error_text(const struct bb_connection *connection);
/* Did the latest call fail because the peer's evidence does not satisfy the policy? Then nothing was sent. */
bool bb_connection_attestation_failed(const struct bb_connection *connection);
/* The status of the HTTP answer to the latest request, 0 when there was none. */
int bb_connection_http_status(const struct bb_connection *connection);
/* Seconds after which the server suggests to try again (RFC 9110 section 10.2.3), -1 when it said nothing. */
int64_t bb_connection_retry_after_s(const struct bb_connection *connection);

/*
 * About the latest connection that was made; the report's checks of the fresh evidence follow those of the
 * handshake's, their names begin with "Fresh evidence: ". The pointers live until the next call on this
 * connection that may connect. The report is there as soon as evidence was looked at, good or bad (NULL
 * before). Document, evidence and certificate exist only when it was good: NULL, and *len = 0, otherwise.
 */
const struct bb_report *bb_connection_report(const struct bb_connection *connection);
const struct bb_document *bb_connection_document(const struct bb_connection *connection);
/* The attestation document as it was received (COSE_Sign1). */
const uint8_t *bb_connection_evidence(const struct bb_connection *connection, size_t *len);
/* The server's certificate, for tools that can pin one: DER, and PEM as a C string (*len without terminator).
 */
const uint8_t *bb_connection_certificate_der(const struct bb_connection *connection, size_t *len);
const char *bb_connection_certificate_pem(const struct bb_connection *connection, size_t *len);
/* How many connections to the enclave were made with good evidence. */
unsigned bb_connection_handshakes(const struct bb_connection *connection);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
