/* See http.h. */
#include "enclave/gate/http.h"

#include <time.h>

const char *bb_http_reason(int status) {
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* IMF-fixdate (RFC 9110 section 5.6.7); strftime() would follow the locale. */
static enum bb_err write_date(int64_t now_ms, struct bb_buf *out) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm t;
    if (gmtime_r(&seconds, &t) == NULL)
        return BB_ERR_ARGUMENT;
    return bb_buf_printf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[t.tm_wday], t.tm_mday,
                         months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static enum bb_err write_optional(const struct bb_answer *answer, bool close, struct bb_buf *out) {
    enum bb_err err = BB_OK;
    if (answer->content_type != NULL)
        err = bb_buf_printf(out, "Content-Type: %s\r\n", answer->content_type);
    if (err == BB_OK && answer->retry_after_s > 0)
        err = bb_buf_printf(out, "Retry-After: %d\r\n", answer->retry_after_s);
    if (err == BB_OK && answer->allow != NULL)
        err = bb_buf_printf(out, "Allow: %s\r\n", answer->allow);
    if (err == BB_OK && close)
        err = bb_buf_append_str(out, "Connection: close\r\n");
    return err;
}

enum bb_err bb_http_write(const struct bb_answer *answer, bool head, bool close, int64_t now_ms,
                          struct bb_buf *out) {
    enum bb_err err = bb_buf_printf(out,
                                    "HTTP/1.1 %d %s\r\n"
                                    "Content-Length: %zu\r\n"
                                    "Cache-Control: no-store\r\n",
                                    answer->status, bb_http_reason(answer->status), answer->body.len);
    if (err == BB_OK)
        err = write_date(now_ms, out);
    if (err == BB_OK)
        err = write_optional(answer, close, out);
    if (err == BB_OK)
        err = bb_buf_append_str(out, "\r\n");
    if (err == BB_OK && !head)
        err = bb_buf_append(out, answer->body.data, answer->body.len);
    return err;
}
