/* Making, asking and ending a connection; see include/blindbox/connection.h. */
#include "client/connection.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <blindbox/transcribe.h>

#include "client/address.h"

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready = CURLE_FAILED_INIT;

static void start_curl(void) {
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static enum bb_err connection_init(struct bb_connection *connection, const char *address) {
    struct bb_buf normal BB_CLEANUP_BUF = BB_BUF_INIT(512);
    enum bb_err err = bb_client_address(address, &normal);
    if (err != BB_OK)
        return err;
    connection->address = strdup(bb_buf_str(&normal));
    connection->curl = curl_easy_init();
    return connection->address == NULL || connection->curl == NULL ? BB_ERR_NO_MEMORY : BB_OK;
}

enum bb_err bb_connection_new(const char *address, const struct bb_policy *policy,
                              struct bb_connection **connection) {
    if (address == NULL || policy == NULL)
        return BB_ERR_ARGUMENT;
    if (pthread_once(&curl_once, start_curl) != 0 || curl_ready != CURLE_OK)
        return BB_ERR_NO_MEMORY;
    struct bb_connection *made = calloc(1, sizeof *made);
    if (made == NULL)
        return BB_ERR_NO_MEMORY;
    made->policy = policy;
    made->connect_timeout_ms = BB_CONNECT_TIMEOUT_MS_DEFAULT;
    made->request_timeout_ms = BB_REQUEST_TIMEOUT_MS_DEFAULT;
    made->tls = (struct bb_tls_client){.judge = bb_client_judge, .context = made, .verdict = BB_ERR_TLS};
    made->trust.certificate = BB_BUF_INIT(BB_TLS_CERTIFICATE_MAX);
    made->trust.evidence = BB_BUF_INIT(BB_TLS_CERTIFICATE_MAX);
    made->trust.pem = BB_BUF_INIT((size_t)2 * BB_TLS_CERTIFICATE_MAX);
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
    bb_client_trust_clear(&connection->trust);
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

void bb_client_begin(struct bb_connection *connection) {
    connection->err = BB_OK;
    connection->text[0] = '\0';
    connection->attestation_failed = false;
    connection->http_status = 0;
    connection->retry_after_s = -1;
    connection->shook_hands = false;
    connection->read_failed = false;
    bb_buf_done(&connection->answer);
    connection->answer_too_large = false;
    connection->curl_text[0] = '\0';
}

/* A peer's words must not move a terminal's cursor: C0 and C1 control characters become '?'. */
static void make_printable(char *text) {
    unsigned char before = 0;
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
        bool c1 = before == 0xc2 && *at >= 0x80 && *at <= 0x9f;
        before = *at;
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        if (c1)
            at[-1] = at[0] = '?';
    }
}

enum bb_err bb_client_fail(struct bb_connection *connection, enum bb_err err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(connection->text, sizeof connection->text, format, args);
    va_end(args);
    make_printable(connection->text);
    connection->err = err;
    return err;
}

enum bb_err bb_connection_attest(struct bb_connection *connection) {
    bb_client_begin(connection);
    enum bb_err err = bb_client_prepare(connection, "/");
    if (err != BB_OK)
        return err;
    if (curl_easy_setopt(connection->curl, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK)
        return bb_client_fail(connection, BB_ERR_NO_MEMORY, "%s", bb_err_sentence(BB_ERR_NO_MEMORY));
    return bb_client_perform(connection);
}

const char *bb_connection_address(const struct bb_connection *connection) {
    return connection->address;
}

enum bb_err bb_connection_error(const struct bb_connection *connection) {
    return connection->err;
}

const char *bb_connection_error_text(const struct bb_connection *connection) {
    return connection->text;
}

bool bb_connection_attestation_failed(const struct bb_connection *connection) {
    return connection->attestation_failed;
}

int bb_connection_http_status(const struct bb_connection *connection) {
    return connection->http_status;
}

int64_t bb_connection_retry_after_s(const struct bb_connection *connection) {
    return connection->retry_after_s;
}
