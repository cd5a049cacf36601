/*
 * A real TLS server in a thread, for tests of the client: it shows whatever certificates it is told to,
 * answers as it is told to, and keeps every application byte that it could decrypt.
 */
#ifndef BB_TEST_CLIENT_SERVER_H
#define BB_TEST_CLIENT_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/types.h>

#include "base/bytes.h"
#include "evidence.h"

struct test_server;

struct test_server_plan {
    struct bb_view certificates[2]; /* DER; the second one empty: only one is sent */
    EVP_PKEY *key;                  /* borrowed */
    /* For fresh evidence, both borrowed: who signs it, and whose it is. */
    const struct evidence_source *source;
    const struct evidence *evidence;
    enum fresh_fault fresh;
    const char *relay_to; /* forwards requests for fresh evidence to this genuine server instead */
    int tls_version;      /* 0: 1.3 */
    bool close_at_once;   /* after accept(2), before any TLS */
    bool close_after_request;
    bool close_after_answer;
    bool drop_second;   /* on each connection, closes instead of answering a second request after that for
                           evidence */
    bool endless;       /* answers with a text that never ends */
    int delay_ms;       /* before the answer */
    bool echo;          /* after the first request, gives back every byte up to the client's end of stream */
    bool cut;           /* ends without close_notify */
    bool leaves;        /* after the fresh evidence */
    bool never_read;    /* after the first request */
    size_t piece;       /* bytes of the answer that are written at a time; 0: all */
    int piece_ms;       /* between them */
    const char *answer; /* what follows each request, with its status line; NULL: 200 and {"text":"good"} */
};

struct test_server {
    struct test_server_plan plan;
    SSL_CTX *context;
    int listening;
    int port;
    char address[32];
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock;
    /* Read these through test_server_stop() only, when the thread has ended. */
    struct bb_buf seen; /* every application byte of every connection, but for requests for fresh evidence */
    struct bb_buf replayed; /* the first fresh evidence */
    unsigned accepted, handshakes, requests, resumed;
    unsigned asked; /* requests for fresh evidence */
    size_t echoed;  /* bytes */
    int group;      /* of the latest handshake, as SSL_get_negotiated_group() names it */
};

void test_server_start(struct test_server *server, const struct test_server_plan *plan);
/* From the next connection on, shows another certificate. */
void test_server_show(struct test_server *server, const struct evidence *evidence);
/* Ends the thread; the counters and bytes stay readable until test_server_done(). */
void test_server_stop(struct test_server *server);
void test_server_done(struct test_server *server);

/* An answer with a length: appends to out and returns it as a C string. */
const char *test_answer(struct bb_buf *out, int status, const char *headers, const char *body);

#endif
