/*
 * One HTTPS exchange with libcurl, as an attested connection needs it: nothing from the environment, TLS as
 * src/tls/client.c makes it, answers bounded, libcurl's results in our words.
 */
#include "client/connection.h"

#include <blindbox/version.h>

const char *bb_version(void) {
    return BB_VERSION;
}

/* CURLOPT_SSL_CTX_FUNCTION: before each new handshake. */
static CURLcode prepare_tls(CURL *curl, void *context, void *pointer) {
    (void)curl;
    struct bb_connection *connection = pointer;
    connection->shook_hands = true;
    bb_client_trust_clear(&connection->trust);
    return bb_tls_client_prepare(context, &connection->tls) == BB_OK ? CURLE_OK : CURLE_SSL_CONNECT_ERROR;
}

/* CURLOPT_PREREQFUNCTION: the handshake is over, the request not begun. Says no unless the judge has said
 * yes. */
static int before_request(void *pointer, char *ip, char *local_ip, int port, int local_port) {
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    struct bb_connection *connection = pointer;
    if (connection->tls.verdict != BB_OK || connection->trust.document == NULL)
        return CURL_PREREQFUNC_ABORT;
    bb_client_trust_prove(&connection->trust);
    return CURL_PREREQFUNC_OK;
}

static size_t receive(char *data, size_t size, size_t count, void *pointer) {
    struct bb_connection *connection = pointer;
    enum bb_err err = bb_buf_append(&connection->answer, data, size * count);
    connection->answer_too_large = err == BB_ERR_TOO_LARGE;
    return err == BB_OK ? size * count : 0;
}

/* Sets an option of `curl` unless an earlier one was refused (`code`). */
#define SET(option, value) (code = code == CURLE_OK ? curl_easy_setopt(curl, option, value) : code)

static CURLcode set_isolation(CURL *curl) {
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_MAXCONNECTS, 1L);
    SET(CURLOPT_MAXLIFETIME_CONN, BB_CLIENT_KEPT_SECONDS);
    return code;
}

/* The host name is not what we verify; the certificate authority is replaced by the judge. */
static CURLcode set_tls(struct bb_connection *connection) {
    CURL *curl = connection->curl;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 0L);
    SET(CURLOPT_CAINFO, NULL);
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_SSL_CTX_FUNCTION, prepare_tls);
    SET(CURLOPT_SSL_CTX_DATA, connection);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, connection);
    return code;
}

static CURLcode set_exchange(struct bb_connection *connection, const char *path) {
    CURL *curl = connection->curl;
    struct bb_buf url BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    if (bb_buf_printf(&url, "https://%s%s", connection->address, path) != BB_OK)
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_URL, bb_buf_str(&url));
    SET(CURLOPT_USERAGENT, "blindbox/" BB_VERSION);
    SET(CURLOPT_ERRORBUFFER, connection->curl_text);
    SET(CURLOPT_WRITEFUNCTION, receive);
    SET(CURLOPT_WRITEDATA, connection);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)connection->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)connection->request_timeout_ms);
    return code;
}

static enum bb_err fail_plainly(struct bb_connection *connection, enum bb_err err) {
    return bb_client_fail(connection, err, "%s: %s", connection->address, bb_err_sentence(err));
}

enum bb_err bb_client_prepare(struct bb_connection *connection, const char *path) {
    curl_easy_reset(connection->curl); /* options only: an open connection stays open */
    CURLcode code = set_isolation(connection->curl);
    if (code == CURLE_OK)
        code = set_tls(connection);
    if (code == CURLE_OK)
        code = set_exchange(connection, path);
    if (code == CURLE_OK)
        return BB_OK;
    return fail_plainly(connection, code == CURLE_OUT_OF_MEMORY ? BB_ERR_NO_MEMORY : BB_ERR_UNSUPPORTED);
}

static const struct {
    CURLcode code;
    enum bb_err err;
} translations[] = {
    {CURLE_COULDNT_RESOLVE_HOST, BB_ERR_RESOLVE},
    {CURLE_COULDNT_CONNECT, BB_ERR_CONNECT},
    {CURLE_OPERATION_TIMEDOUT, BB_ERR_TIMEOUT},
    {CURLE_SSL_CONNECT_ERROR, BB_ERR_TLS},
    {CURLE_PEER_FAILED_VERIFICATION, BB_ERR_TLS},
    {CURLE_SSL_CIPHER, BB_ERR_TLS},
    {CURLE_ABORTED_BY_CALLBACK, BB_ERR_CANCELLED},
    {CURLE_READ_ERROR, BB_ERR_IO},
    {CURLE_OUT_OF_MEMORY, BB_ERR_NO_MEMORY},
    {CURLE_WRITE_ERROR, BB_ERR_NO_MEMORY}, /* receive() refused; too large an answer is told apart before */
    {CURLE_SEND_ERROR, BB_ERR_CLOSED},
    {CURLE_SEND_FAIL_REWIND, BB_ERR_CLOSED},
    {CURLE_RECV_ERROR, BB_ERR_CLOSED},
    {CURLE_GOT_NOTHING, BB_ERR_CLOSED},
    {CURLE_PARTIAL_FILE, BB_ERR_CLOSED},
    {CURLE_WEIRD_SERVER_REPLY, BB_ERR_HTTP_FORM},
    {CURLE_UNSUPPORTED_PROTOCOL, BB_ERR_HTTP_FORM},
};

static enum bb_err translate(const struct bb_connection *connection, CURLcode code) {
    if (connection->answer_too_large)
        return BB_ERR_TOO_LARGE;
    if (connection->read_failed)
        return BB_ERR_IO;
    if (code == CURLE_ABORTED_BY_CALLBACK && connection->tls.verdict != BB_OK)
        return BB_ERR_TLS; /* before_request() has put a stop to it */
    for (size_t i = 0; i < sizeof translations / sizeof *translations; i++)
        if (translations[i].code == code)
            return translations[i].err;
    return BB_ERR_PROTOCOL;
}

static enum bb_err fail_attestation(struct bb_connection *connection) {
    enum bb_err err = connection->tls.verdict;
    connection->attestation_failed = true;
    const char *reason = NULL;
    if (connection->trust.report != NULL)
        reason = bb_report_failure(connection->trust.report);
    if (reason == NULL && err == BB_ERR_CERTIFICATE && connection->tls.certificates != 1)
        return bb_client_fail(connection, err,
                              "Attestation verification failed: the server sent %d certificates, expected 1",
                              connection->tls.certificates);
    return bb_client_fail(connection, err, "Attestation verification failed: %s",
                          reason != NULL ? reason : bb_err_sentence(err));
}

static enum bb_err fail_transfer(struct bb_connection *connection, CURLcode code) {
    bb_client_trust_settle(&connection->trust);
    enum bb_err verdict = connection->tls.verdict;
    if (connection->shook_hands && verdict == BB_ERR_NO_MEMORY)
        return fail_plainly(connection, verdict);
    if (connection->shook_hands && verdict != BB_OK && verdict != BB_ERR_TLS)
        return fail_attestation(connection);
    enum bb_err err = translate(connection, code);
    if (connection->answer_too_large)
        return bb_client_fail(connection, err, "%s: the answer is longer than %zu bytes", connection->address,
                              connection->answer.ceiling);
    if (err == BB_ERR_CANCELLED || err == BB_ERR_IO)
        return fail_plainly(connection, err);
    return bb_client_fail(connection, err, "%s: %s (%s)", connection->address, bb_err_sentence(err),
                          connection->curl_text[0] != '\0' ? connection->curl_text
                                                           : curl_easy_strerror(code));
}

enum bb_err bb_client_perform(struct bb_connection *connection) {
    CURLcode code = curl_easy_perform(connection->curl);
    if (code != CURLE_OK)
        return fail_transfer(connection, code);
    long status = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(connection->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(connection->curl, CURLINFO_RETRY_AFTER, &retry_after);
    connection->http_status = (int)status;
    connection->retry_after_s = retry_after > 0 ? (int64_t)retry_after : -1;
    return BB_OK;
}
