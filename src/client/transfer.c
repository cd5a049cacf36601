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

static const struct {
    CURLoption option;
    long value;
} numbers[] = {
    {CURLOPT_NETRC, CURL_NETRC_IGNORED},
    {CURLOPT_FOLLOWLOCATION, 0},
    {CURLOPT_NOSIGNAL, 1},
    {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
    {CURLOPT_MAXCONNECTS, 1},
    {CURLOPT_MAXLIFETIME_CONN, BB_CLIENT_KEPT_SECONDS},
    {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_3},
    {CURLOPT_SSL_VERIFYPEER, 1},
    {CURLOPT_SSL_VERIFYHOST, 0}, /* measurements say who answers, not names */
    {CURLOPT_SSL_SESSIONID_CACHE, 0},
};

static const struct {
    CURLoption option;
    const char *value;
} texts[] = {
    {CURLOPT_PROTOCOLS_STR, "https"},
    {CURLOPT_PROXY, ""}, /* none, whatever the environment says */
    {CURLOPT_NOPROXY, "*"},
    {CURLOPT_CAINFO, NULL}, /* no certificate authority either: the judge replaces them */
    {CURLOPT_CAPATH, NULL},
    {CURLOPT_USERAGENT, "blindbox/" BB_VERSION},
};

/* What is the same for every call. */
static CURLcode set_constants(CURL *curl) {
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && code == CURLE_OK; i++)
        code = curl_easy_setopt(curl, numbers[i].option, numbers[i].value);
    for (size_t i = 0; i < sizeof texts / sizeof *texts && code == CURLE_OK; i++)
        code = curl_easy_setopt(curl, texts[i].option, texts[i].value);
    return code;
}

static CURLcode set_callbacks(CURL *curl) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, prepare_tls);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, before_request);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    return code;
}

static CURLcode set_variables(struct bb_connection *connection, const char *url) {
    const struct {
        CURLoption option;
        const void *value;
    } pointers[] = {
        {CURLOPT_URL, url},
        {CURLOPT_ERRORBUFFER, connection->curl_text},
        {CURLOPT_SSL_CTX_DATA, connection},
        {CURLOPT_PREREQDATA, connection},
        {CURLOPT_WRITEDATA, connection},
    };
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers && code == CURLE_OK; i++)
        code = curl_easy_setopt(connection->curl, pointers[i].option, pointers[i].value);
    if (code == CURLE_OK)
        code = curl_easy_setopt(connection->curl, CURLOPT_CONNECTTIMEOUT_MS,
                                (long)connection->connect_timeout_ms);
    if (code == CURLE_OK)
        code = curl_easy_setopt(connection->curl, CURLOPT_TIMEOUT_MS, (long)connection->request_timeout_ms);
    return code;
}

static enum bb_err fail_plainly(struct bb_connection *connection, enum bb_err err) {
    return bb_client_fail(connection, err, "%s: %s", connection->address, bb_err_sentence(err));
}

enum bb_err bb_client_prepare(struct bb_connection *connection, const char *path) {
    struct bb_buf url BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    if (bb_buf_printf(&url, "https://%s%s", connection->address, path) != BB_OK)
        return fail_plainly(connection, BB_ERR_NO_MEMORY);
    curl_easy_reset(connection->curl); /* options only: an open connection stays open */
    CURLcode code = set_constants(connection->curl);
    if (code == CURLE_OK)
        code = set_callbacks(connection->curl);
    if (code == CURLE_OK)
        code = set_variables(connection, bb_buf_str(&url));
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

static void note_answer(struct bb_connection *connection) {
    long status = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(connection->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(connection->curl, CURLINFO_RETRY_AFTER, &retry_after);
    connection->http_status = (int)status;
    connection->retry_after_s = retry_after > 0 ? (int64_t)retry_after : -1;
}

enum bb_err bb_client_perform(struct bb_connection *connection) {
    CURLcode code = curl_easy_perform(connection->curl);
    if (code != CURLE_OK)
        return fail_transfer(connection, code);
    note_answer(connection);
    return BB_OK;
}
