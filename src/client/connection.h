/* The inside of struct bb_connection: shared by the files of src/client, unknown to callers. */
#ifndef BB_CLIENT_CONNECTION_H
#define BB_CLIENT_CONNECTION_H

#include <blindbox/connection.h>

/* libcurl's type checks are macros of some fifty branches; gcc looks at them, clang's tools count them as
 * ours. */
#ifdef __clang__
#define CURL_DISABLE_TYPECHECK
#endif
#include <curl/curl.h>

#include "base/bytes.h"
#include "tls/client.h"

#define BB_CLIENT_ERROR_TEXT_MAX 2048u
#define BB_CLIENT_KEPT_SECONDS                                                                               \
    3600L /* a connection that is older is not used again: fresh evidence instead */

/* What the judge found in the latest handshake. */
struct bb_client_trust {
    struct bb_report *report;
    struct bb_document *document;
    struct bb_buf certificate; /* DER */
    struct bb_buf pem;
    struct bb_buf evidence;
    bool proven; /* the handshake has ended well, so that the server owns the certificate's key */
    unsigned handshakes;
};

struct bb_connection {
    char *address;
    const struct bb_policy *policy;
    int64_t connect_timeout_ms;
    int64_t request_timeout_ms;
    CURL *curl; /* keeps the connection between calls */
    struct bb_tls_client tls;
    struct bb_client_trust trust;

    /* The latest call. */
    enum bb_err err;
    char text[BB_CLIENT_ERROR_TEXT_MAX];
    bool attestation_failed;
    int http_status;
    int64_t retry_after_s;
    bool shook_hands; /* a new handshake was begun */
    bool read_failed; /* the caller's bb_audio.read gave up */
    struct bb_buf answer;
    bool answer_too_large;
    char curl_text[CURL_ERROR_SIZE];
};

/* Forgets what the latest call came to; each public call begins with it. */
void bb_client_begin(struct bb_connection *connection);
/* Records a failure with its sentence (printf form; unprintable characters are replaced) and returns err. */
enum bb_err bb_client_fail(struct bb_connection *connection, enum bb_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* src/client/trust.c: bb_tls_client.judge; context is the connection. */
BB_MUST_USE enum bb_err bb_client_judge(void *connection, struct bb_view certificate);
/* Before a handshake: forgets the one before. */
void bb_client_trust_clear(struct bb_client_trust *trust);
/* After a handshake that ended well. */
void bb_client_trust_prove(struct bb_client_trust *trust);
/* After a failure: keeps the report alone, unless the server has proven that the certificate is its own. */
void bb_client_trust_settle(struct bb_client_trust *trust);

/* src/client/transfer.c. A handle that is fit for one call: every option set anew, the connection kept. */
BB_MUST_USE enum bb_err bb_client_prepare(struct bb_connection *connection, const char *path);
/* Runs the prepared transfer and turns libcurl's result into ours. An HTTP error status is success here. */
BB_MUST_USE enum bb_err bb_client_perform(struct bb_connection *connection);

#endif
