/* Making, asking and ending a connection; see include/blindbox/connection.h. */
#include "client/connection.h"

#include <stdlib.h>
#include <string.h>

#include <blindbox/transcribe.h>
#include <blindbox/version.h>

#include "base/clock.h"
#include "client/address.h"

const char *bb_version(void) {
    return BB_VERSION;
}

static enum bb_err connection_init(struct bb_connection *connection, const char *address) {
    struct bb_buf normal BB_CLEANUP_BUF = BB_BUF_INIT(512);
    enum bb_err err = bb_client_address(address, &normal);
    if (err != BB_OK)
        return err;
    connection->address = strdup(bb_buf_str(&normal));
    connection->curl = bb_client_curl_new();
    connection->nowhere = curl_slist_append(NULL, "::127.0.0.1:9");
    bool complete = connection->address != NULL && connection->curl != NULL && connection->nowhere != NULL;
    return complete ? BB_OK : BB_ERR_NO_MEMORY;
}

enum bb_err bb_connection_new(const char *address, const struct bb_policy *policy,
                              struct bb_connection **connection) {
    if (address == NULL || policy == NULL)
        return BB_ERR_ARGUMENT;
    struct bb_connection *made = calloc(1, sizeof *made);
    if (made == NULL)
        return BB_ERR_NO_MEMORY;
    made->policy = policy;
    made->meeting.listener = -1;
    made->fresh = true;
    made->connect_timeout_ms = BB_CONNECT_TIMEOUT_MS_DEFAULT;
    made->request_timeout_ms = BB_REQUEST_TIMEOUT_MS_DEFAULT;
    made->answer = BB_BUF_INIT(BB_TRANSCRIPT_MAX);
    bb_client_begin(made);
    enum bb_err err = connection_init(made, address);
    if (err != BB_OK) {
        bb_connection_free(made);
        return err;
    }
    *connection = made;
    return BB_OK;
}

void bb_connection_free(struct bb_connection *connection) {
    if (connection == NULL)
        return;
    curl_easy_cleanup(connection->curl);
    bb_meeting_cancel(&connection->meeting);
    curl_slist_free_all(connection->nowhere);
    bb_tunnel_free(connection->tunnel);
    bb_buf_done(&connection->answer);
    free(connection->address);
    bb_wipe(connection, sizeof *connection);
    free(connection);
}

void bb_connection_set_connect_timeout_ms(struct bb_connection *connection, int64_t timeout_ms) {
    connection->connect_timeout_ms = timeout_ms > 0 ? timeout_ms : BB_CONNECT_TIMEOUT_MS_DEFAULT;
}

void bb_connection_set_request_timeout_ms(struct bb_connection *connection, int64_t timeout_ms) {
    connection->request_timeout_ms = timeout_ms > 0 ? timeout_ms : BB_REQUEST_TIMEOUT_MS_DEFAULT;
}

void bb_connection_set_fresh(struct bb_connection *connection, bool fresh) {
    connection->fresh = fresh;
}

void bb_client_begin(struct bb_connection *connection) {
    bb_client_outcome_clear(&connection->outcome);
    connection->patience = (struct bb_client_patience){0};
    connection->begun_ms = bb_clock_monotonic_ms();
    connection->refused = false;
    connection->sink = (struct bb_client_sink){0};
    bb_meeting_cancel(&connection->meeting);
    connection->http_status = 0;
    connection->read_failed = false;
    bb_buf_done(&connection->answer);
    connection->answer_too_large = false;
    connection->curl_text[0] = '\0';
}

enum bb_err bb_client_renew(struct bb_connection *connection, int64_t timeout_ms) {
    bb_tunnel_free(connection->tunnel); /* what libcurl may keep of it ends here, too */
    connection->tunnel = NULL;
    enum bb_err err = bb_tunnel_new(connection->address, connection->policy, &connection->tunnel);
    if (err != BB_OK)
        return bb_client_fail(&connection->outcome, err, "%s: %s", connection->address, bb_err_sentence(err));
    struct bb_tunnel *tunnel = connection->tunnel;
    bb_tunnel_set_fresh(tunnel, connection->fresh);
    bb_tunnel_set_connect_timeout_ms(tunnel, timeout_ms);
    tunnel->patience = connection->patience;
    err = bb_tunnel_connect(tunnel);
    connection->outcome = tunnel->outcome;
    connection->handshakes += err == BB_OK;
    return err;
}

enum bb_err bb_connection_attest(struct bb_connection *connection) {
    bb_client_begin(connection);
    return bb_client_renew(connection, connection->connect_timeout_ms);
}

const char *bb_connection_address(const struct bb_connection *connection) {
    return connection->address;
}

enum bb_err bb_connection_error(const struct bb_connection *connection) {
    return connection->outcome.err;
}

const char *bb_connection_error_text(const struct bb_connection *connection) {
    return connection->outcome.text;
}

bool bb_connection_attestation_failed(const struct bb_connection *connection) {
    return connection->outcome.attestation_failed;
}

int bb_connection_http_status(const struct bb_connection *connection) {
    return connection->http_status;
}

int64_t bb_connection_retry_after_s(const struct bb_connection *connection) {
    return connection->outcome.retry_after_s;
}

const struct bb_report *bb_connection_report(const struct bb_connection *connection) {
    return connection->tunnel != NULL ? connection->tunnel->trust.report : NULL;
}

const struct bb_document *bb_connection_document(const struct bb_connection *connection) {
    return connection->tunnel != NULL ? connection->tunnel->trust.document : NULL;
}

static const uint8_t *bytes_of(const struct bb_buf *buf, size_t *len) {
    *len = buf != NULL ? buf->len : 0;
    return buf != NULL ? buf->data : NULL;
}

const uint8_t *bb_connection_evidence(const struct bb_connection *connection, size_t *len) {
    return bytes_of(connection->tunnel != NULL ? &connection->tunnel->trust.evidence : NULL, len);
}

const uint8_t *bb_connection_certificate_der(const struct bb_connection *connection, size_t *len) {
    return bytes_of(connection->tunnel != NULL ? &connection->tunnel->trust.certificate : NULL, len);
}

const char *bb_connection_certificate_pem(const struct bb_connection *connection, size_t *len) {
    return (const char *)bytes_of(connection->tunnel != NULL ? &connection->tunnel->trust.pem : NULL, len);
}

unsigned bb_connection_handshakes(const struct bb_connection *connection) {
    return connection->handshakes;
}
