/* See curl.h. libcurl here connects TCP sockets (dial.c) and speaks HTTP to our own end of a tunnel
 * (transfer.c); it never sees TLS. */
#include "client/curl.h"

#include <pthread.h>

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready = CURLE_FAILED_INIT;

static void start_curl(void) {
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static const struct {
    CURLoption option;
    long value;
} numbers[] = {
    {CURLOPT_NETRC, CURL_NETRC_IGNORED},           {CURLOPT_FOLLOWLOCATION, 0}, {CURLOPT_NOSIGNAL, 1},
    {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1}, {CURLOPT_MAXCONNECTS, 1},
};

static const struct {
    CURLoption option;
    const char *value;
} texts[] = {
    {CURLOPT_PROTOCOLS_STR, "http"},
    {CURLOPT_PROXY, ""}, /* none, whatever the environment says */
    {CURLOPT_NOPROXY, "*"},
    {CURLOPT_USERAGENT, "blindbox/" BB_VERSION},
};

CURLcode bb_client_curl_constants(CURL *curl) {
    CURLcode code = CURLE_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && code == CURLE_OK; i++)
        code = curl_easy_setopt(curl, numbers[i].option, numbers[i].value);
    for (size_t i = 0; i < sizeof texts / sizeof *texts && code == CURLE_OK; i++)
        code = curl_easy_setopt(curl, texts[i].option, texts[i].value);
    return code;
}

CURL *bb_client_curl_new(void) {
    if (pthread_once(&curl_once, start_curl) != 0 || curl_ready != CURLE_OK)
        return NULL;
    CURL *curl = curl_easy_init();
    if (curl == NULL || bb_client_curl_constants(curl) == CURLE_OK)
        return curl;
    curl_easy_cleanup(curl);
    return NULL;
}

static const struct {
    CURLcode code;
    enum bb_err err;
} translations[] = {
    {CURLE_COULDNT_RESOLVE_HOST, BB_ERR_RESOLVE},
    {CURLE_COULDNT_CONNECT, BB_ERR_CONNECT},
    {CURLE_OPERATION_TIMEDOUT, BB_ERR_TIMEOUT},
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

enum bb_err bb_client_curl_err(CURLcode code) {
    for (size_t i = 0; i < sizeof translations / sizeof *translations; i++)
        if (translations[i].code == code)
            return translations[i].err;
    return BB_ERR_PROTOCOL;
}
