/*
 * From an address to a connected TCP socket, by libcurl: names that resolve slowly, addresses of both
 * families tried side by side, under one deadline. Nothing is sent.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "client/curl.h"
#include "client/tunnel.h"

static int report_progress(void *pointer, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                           curl_off_t up) {
    (void)down_total, (void)down, (void)up_total, (void)up;
    const struct bb_client_patience *patience = pointer;
    return patience->go_on(patience->context) ? 0 : 1;
}

static CURLcode prepare(struct bb_tunnel *tunnel, CURL *curl, char *text) {
    struct bb_buf url BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    int64_t left_ms = tunnel->deadline_ms - bb_clock_monotonic_ms();
    if (bb_buf_printf(&url, "http://%s/", tunnel->address) != BB_OK)
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, bb_buf_str(&url));
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left_ms > 0 ? (long)left_ms : 1L);
    if (code != CURLE_OK || tunnel->patience.go_on == NULL)
        return code;
    code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, report_progress);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &tunnel->patience);
    return code == CURLE_OK ? curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) : code;
}

/* libcurl closes its descriptor with the handle; the duplicate is ours. */
static enum bb_err take_socket(CURL *curl, int *fd) {
    curl_socket_t active = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &active) != CURLE_OK || active == CURL_SOCKET_BAD)
        return BB_ERR_CONNECT;
    int own BB_CLEANUP_FD = fcntl(active, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return BB_ERR_IO;
    enum bb_err err = bb_fd_set_nonblocking(own);
    if (err == BB_OK)
        *fd = bb_fd_take(&own);
    return err;
}

static enum bb_err fail(struct bb_tunnel *tunnel, CURLcode code, const char *text) {
    enum bb_err err = bb_client_curl_err(code);
    if (err == BB_ERR_CANCELLED || err == BB_ERR_NO_MEMORY)
        return bb_tunnel_fail(tunnel, err);
    return bb_client_fail(&tunnel->outcome, err, "%s: %s (%s)", tunnel->address, bb_err_sentence(err),
                          text[0] != '\0' ? text : curl_easy_strerror(code));
}

enum bb_err bb_client_dial(struct bb_tunnel *tunnel, int *fd) {
    char text[CURL_ERROR_SIZE] = "";
    CURL *curl = bb_client_curl_new();
    if (curl == NULL)
        return bb_tunnel_fail(tunnel, BB_ERR_NO_MEMORY);
    CURLcode code = prepare(tunnel, curl, text);
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    enum bb_err err = code == CURLE_OK ? BB_OK : fail(tunnel, code, text);
    if (err == BB_OK) {
        err = take_socket(curl, fd);
        if (err != BB_OK)
            err = bb_tunnel_fail(tunnel, err);
    }
    curl_easy_cleanup(curl);
    return err;
}
