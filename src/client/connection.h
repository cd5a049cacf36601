/* The inside of struct bb_connection: shared by the files of src/client, unknown to callers. */
#ifndef BB_CLIENT_CONNECTION_H
#define BB_CLIENT_CONNECTION_H

#include <blindbox/connection.h>

#include "base/bytes.h"
#include "client/curl.h"
#include "client/meeting.h"
#include "client/tunnel.h"

#define BB_CLIENT_KEPT_SECONDS                                                                               \
    3600L /* a connection that is older is not used again: fresh evidence instead */

/* Takes the body of an answer with status 200 as it arrives. After an error, for which it has called
 * bb_client_fail(), it is not called again. */
struct bb_client_sink {
    enum bb_err (*take)(void *context, struct bb_view bytes);
    void *context;
};

struct bb_connection {
    const struct bb_policy *policy;
    int64_t connect_timeout_ms;
    int64_t request_timeout_ms;
    bool fresh;
    char *address;
    CURL *curl;                 /* keeps its end of the tunnel between calls */
    struct curl_slist *nowhere; /* CURLOPT_CONNECT_TO: libcurl resolves and connects nothing itself */
    struct bb_tunnel *tunnel;   /* the latest one, good or bad; NULL: none yet */
    unsigned handshakes;
    struct bb_meeting meeting;

    /* The latest call. */
    struct bb_client_outcome outcome;
    struct bb_client_patience patience;
    int64_t begun_ms;
    bool refused;               /* no tunnel could be made, or the sink ended the call; outcome says why */
    struct bb_client_sink sink; /* take NULL: the whole body goes to answer */
    int http_status;
    bool read_failed; /* the caller's bb_audio.read gave up */
    struct bb_buf answer;
    bool answer_too_large;
    char curl_text[CURL_ERROR_SIZE];
};

/* Forgets what the latest call came to; each public call begins with it. */
void bb_client_begin(struct bb_connection *connection);
/* Makes a new attested tunnel, ready and not opened, in the place of the one before. Sets the outcome. */
BB_MUST_USE enum bb_err bb_client_renew(struct bb_connection *connection, int64_t timeout_ms);

/* src/client/transfer.c. A handle that is fit for one call: every option set anew, the connection kept. */
BB_MUST_USE enum bb_err bb_client_prepare(struct bb_connection *connection, const char *path);
/* Runs the prepared transfer and turns libcurl's result into ours. An HTTP error status is success here. */
BB_MUST_USE enum bb_err bb_client_perform(struct bb_connection *connection);
/* BB_ERR_HTTP_STATUS for an answer that reports an error, with the server's sentence where it has one. */
enum bb_err bb_client_refused(struct bb_connection *connection);

#endif
