/*
 * One HTTP exchange with libcurl over an attested tunnel. libcurl gets its sockets from us alone: whenever it
 * wants a connection, a tunnel is made and judged, and if that fails there is no socket to write to. Answers
 * are bounded, libcurl's results said in our words.
 */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "client/answer.h"
#include "client/connection.h"

#define ERROR_MAX 1024u /* bytes of the server's sentence that are passed on */

/* A judged tunnel that nobody uses yet; the outcome says why there is none. */
static enum bb_err make_tunnel(struct bb_connection *connection) {
    if (connection->tunnel != NULL && bb_tunnel_is_ready(connection->tunnel))
        return BB_OK;
    int64_t left_ms = connection->begun_ms + connection->request_timeout_ms - bb_clock_monotonic_ms();
    int64_t timeout_ms = left_ms < connection->connect_timeout_ms ? left_ms : connection->connect_timeout_ms;
    return bb_client_renew(connection, timeout_ms > 0 ? timeout_ms : 1);
}

static enum bb_err fail_plainly(struct bb_connection *connection, enum bb_err err) {
    return bb_client_fail(&connection->outcome, err, "%s: %s", connection->address, bb_err_sentence(err));
}

/* For libcurl 7.88: an unconnected socket, and the address where it will meet the tunnel. */
static enum bb_err arrange_meeting(struct bb_connection *connection, struct curl_sockaddr *address, int *fd) {
    struct sockaddr_in where;
    enum bb_err err = bb_meeting_arrange(&connection->meeting, &where, fd);
    if (err != BB_OK)
        return fail_plainly(connection, err);
    address->family = AF_INET;
    address->socktype = SOCK_STREAM;
    address->protocol = IPPROTO_TCP;
    address->addrlen = sizeof where;
    memcpy(&address->addr, &where, sizeof where);
    return BB_OK;
}

/* CURLOPT_OPENSOCKETFUNCTION. */
static curl_socket_t open_tunnel(void *pointer, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct bb_connection *connection = pointer;
    int fd = -1;
    if (connection->refused)
        return CURL_SOCKET_BAD;
    enum bb_err err = make_tunnel(connection);
    if (err == BB_OK && bb_meeting_is_needed()) {
        err = arrange_meeting(connection, address, &fd);
    } else if (err == BB_OK) {
        err = bb_tunnel_open(connection->tunnel, &fd);
        connection->outcome = connection->tunnel->outcome;
    }
    connection->refused = err != BB_OK;
    return err == BB_OK ? fd : CURL_SOCKET_BAD;
}

/* CURLOPT_SOCKOPTFUNCTION. */
static int is_connected(void *pointer, curl_socket_t fd, curlsocktype purpose) {
    (void)pointer, (void)fd, (void)purpose;
    return bb_meeting_is_needed() ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ALREADY_CONNECTED;
}

/* CURLOPT_PREREQFUNCTION: before each request. Joins the tunnel and the socket that libcurl has connected. */
static int before_request(void *pointer, char *ip, char *local_ip, int port, int local_port) {
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    struct bb_connection *connection = pointer;
    int inner BB_CLEANUP_FD = -1;
    if (connection->meeting.listener < 0)
        return CURL_PREREQFUNC_OK;
    enum bb_err err = bb_meeting_hold(&connection->meeting, &inner);
    if (err == BB_OK)
        err = bb_tunnel_attach(connection->tunnel, inner);
    if (err == BB_OK) {
        (void)bb_fd_take(&inner);
        return CURL_PREREQFUNC_OK;
    }
    connection->refused = true;
    (void)fail_plainly(connection, err);
    return CURL_PREREQFUNC_ABORT;
}

static int note_status(struct bb_connection *connection) {
    long status = 0;
    (void)curl_easy_getinfo(connection->curl, CURLINFO_RESPONSE_CODE, &status);
    connection->http_status = (int)status;
    return connection->http_status;
}

static size_t receive(char *data, size_t size, size_t count, void *pointer) {
    struct bb_connection *connection = pointer;
    if (connection->sink.take != NULL && note_status(connection) == 200) {
        connection->refused =
            connection->sink.take(connection->sink.context, bb_view(data, size * count)) != BB_OK;
        return connection->refused ? CURL_WRITEFUNC_ERROR : size * count;
    }
    enum bb_err err = bb_buf_append(&connection->answer, data, size * count);
    connection->answer_too_large = err == BB_ERR_TOO_LARGE;
    return err == BB_OK ? size * count : 0;
}

static CURLcode set_callbacks(CURL *curl) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_tunnel);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, is_connected);
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
        {CURLOPT_CONNECT_TO, connection->nowhere},
        {CURLOPT_OPENSOCKETDATA, connection},
        {CURLOPT_PREREQDATA, connection},
        {CURLOPT_WRITEDATA, connection},
    };
    /* A tunnel that bb_connection_attest() has just made is better than the one that libcurl keeps. */
    bool renewed = connection->tunnel != NULL && connection->tunnel->state == BB_TUNNEL_READY;
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_MAXLIFETIME_CONN, BB_CLIENT_KEPT_SECONDS},
        {CURLOPT_FRESH_CONNECT, renewed ? 1 : 0},
        {CURLOPT_TIMEOUT_MS, (long)connection->request_timeout_ms},
    };
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers && code == CURLE_OK; i++)
        code = curl_easy_setopt(connection->curl, pointers[i].option, pointers[i].value);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && code == CURLE_OK; i++)
        code = curl_easy_setopt(connection->curl, numbers[i].option, numbers[i].value);
    return code;
}

enum bb_err bb_client_prepare(struct bb_connection *connection, const char *path) {
    struct bb_buf url BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    if (bb_buf_printf(&url, "http://%s%s", connection->address, path) != BB_OK)
        return fail_plainly(connection, BB_ERR_NO_MEMORY);
    curl_easy_reset(connection->curl); /* options only: an open connection stays open */
    CURLcode code = bb_client_curl_constants(connection->curl);
    if (code == CURLE_OK)
        code = set_callbacks(connection->curl);
    if (code == CURLE_OK)
        code = set_variables(connection, bb_buf_str(&url));
    if (code == CURLE_OK)
        return BB_OK;
    return fail_plainly(connection, code == CURLE_OUT_OF_MEMORY ? BB_ERR_NO_MEMORY : BB_ERR_UNSUPPORTED);
}

static enum bb_err translate(const struct bb_connection *connection, CURLcode code) {
    if (connection->answer_too_large)
        return BB_ERR_TOO_LARGE;
    return connection->read_failed ? BB_ERR_IO : bb_client_curl_err(code);
}

static enum bb_err fail_transfer(struct bb_connection *connection, CURLcode code) {
    if (connection->refused)
        return connection->outcome.err;
    enum bb_err err = translate(connection, code);
    if (connection->answer_too_large)
        return bb_client_fail(&connection->outcome, err, "%s: the answer is longer than %zu bytes",
                              connection->address, connection->answer.ceiling);
    if (err == BB_ERR_CANCELLED || err == BB_ERR_IO)
        return fail_plainly(connection, err);
    return bb_client_fail(&connection->outcome, err, "%s: %s (%s)", connection->address, bb_err_sentence(err),
                          connection->curl_text[0] != '\0' ? connection->curl_text
                                                           : curl_easy_strerror(code));
}

static void note_answer(struct bb_connection *connection) {
    curl_off_t retry_after = 0;
    (void)note_status(connection);
    (void)curl_easy_getinfo(connection->curl, CURLINFO_RETRY_AFTER, &retry_after);
    connection->outcome.retry_after_s = retry_after > 0 ? (int64_t)retry_after : -1;
}

enum bb_err bb_client_perform(struct bb_connection *connection) {
    CURLcode code = curl_easy_perform(connection->curl);
    if (code != CURLE_OK)
        return fail_transfer(connection, code);
    note_answer(connection);
    return BB_OK;
}

enum bb_err bb_client_refused(struct bb_connection *connection) {
    struct bb_buf sentence BB_CLEANUP_BUF = BB_BUF_INIT(connection->answer.ceiling);
    int status = connection->http_status;
    if (bb_client_answer_error(bb_buf_view(&connection->answer), &sentence) != BB_OK)
        return bb_client_fail(&connection->outcome, BB_ERR_HTTP_STATUS, "the server answered %d", status);
    return bb_client_fail(&connection->outcome, BB_ERR_HTTP_STATUS, "the server answered %d: %.*s", status,
                          (int)ERROR_MAX, bb_buf_str(&sentence));
}
