/* The inside of struct bb_tunnel: shared by the files of src/client, unknown to callers. */
#ifndef BB_CLIENT_TUNNEL_H
#define BB_CLIENT_TUNNEL_H

#include <pthread.h>
#include <stdatomic.h>

#include <blindbox/tunnel.h>

#include "base/bytes.h"
#include "tls/client.h"
#include "tls/link.h"

#define BB_CLIENT_ERROR_TEXT_MAX 2048u
#define BB_CLIENT_TICK_MS        200 /* how often a wait asks whether to go on */

/* What a call came to, as its caller may ask. */
struct bb_client_outcome {
    enum bb_err err;
    char text[BB_CLIENT_ERROR_TEXT_MAX];
    bool attestation_failed;
    int64_t retry_after_s;
};

/* What the judge found in the latest handshake. */
struct bb_client_trust {
    struct bb_report *report;
    struct bb_document *document;
    struct bb_buf certificate; /* DER */
    struct bb_buf pem;
    struct bb_buf evidence;
};

/* Asked during waits; false ends them with BB_ERR_CANCELLED. */
struct bb_client_patience {
    bool (*go_on)(void *context);
    void *context;
};

enum bb_tunnel_state { BB_TUNNEL_NEW, BB_TUNNEL_READY, BB_TUNNEL_USED, BB_TUNNEL_FAILED };

struct bb_tunnel {
    char *address;
    const struct bb_policy *policy;
    int64_t connect_timeout_ms;
    bool fresh;
    struct bb_client_patience patience;
    enum bb_tunnel_state state;
    int64_t deadline_ms; /* of connecting */
    struct bb_tls_client tls;
    struct bb_tls_link *link;
    struct bb_client_trust trust;
    struct bb_client_outcome outcome;

    /* An opened tunnel. */
    int inner; /* the library's end of the socket pair */
    bool has_thread;
    pthread_t thread;
    atomic_int end;   /* enum bb_err */
    atomic_bool stop; /* the tunnel is being freed */
};

/* tunnel.c: starts carrying the bytes of a connected tunnel; inner is the library's end of a stream, and the
 * tunnel's on success. */
BB_MUST_USE enum bb_err bb_tunnel_attach(struct bb_tunnel *tunnel, int inner);

/* outcome.c: records a failure with its sentence (printf form; unprintable characters are replaced) and
 * returns err. */
enum bb_err bb_client_fail(struct bb_client_outcome *outcome, enum bb_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void bb_client_outcome_clear(struct bb_client_outcome *outcome);
/* "ADDRESS: sentence of the code". */
enum bb_err bb_tunnel_fail(struct bb_tunnel *tunnel, enum bb_err err);
/* "Attestation verification failed: …", with the report's first failure. */
enum bb_err bb_tunnel_fail_attestation(struct bb_tunnel *tunnel, enum bb_err err);

/* trust.c: bb_tls_client.judge; context is the tunnel. */
BB_MUST_USE enum bb_err bb_client_judge(void *tunnel, struct bb_view certificate);
/* Adds the checks of the fresh evidence to the report. */
BB_MUST_USE enum bb_err bb_client_trust_add(struct bb_client_trust *trust, const struct bb_report *fresh);
/* Forgets document and certificate; the report stays. */
void bb_client_trust_forget(struct bb_client_trust *trust);
void bb_client_trust_done(struct bb_client_trust *trust);

/* dial.c: a connected, non-blocking TCP socket. The outcome is set on failure. */
BB_MUST_USE enum bb_err bb_client_dial(struct bb_tunnel *tunnel, int *fd);

/* greet.c: makes the link over *fd, which it takes, and shakes hands, with the judgement. */
BB_MUST_USE enum bb_err bb_client_greet(struct bb_tunnel *tunnel, int *fd);
/* Waits for the link, up to the deadline; io: what it waits for. */
BB_MUST_USE enum bb_err bb_client_wait(struct bb_tunnel *tunnel, enum bb_tls_io io);

/* fresh.c: asks for fresh evidence on the link and judges it. */
BB_MUST_USE enum bb_err bb_client_freshen(struct bb_tunnel *tunnel);

/*
 * pump.c: carries bytes between fd and the link until both directions have ended. Once nobody holds the other
 * end of fd, only what was written to it is still sent, for BB_CLIENT_FLUSH_MS at most, or until it gets
 * stuck when *stop is set (NULL: never).
 */
#define BB_CLIENT_FLUSH_MS 30000
BB_MUST_USE enum bb_err bb_client_pump(struct bb_tls_link *link, int fd, const atomic_bool *stop);

#endif
