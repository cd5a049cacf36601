/* See head.h. What is not read here (unknown fields) is passed over; what is odd is refused, as nothing that
 * BlindBox's gate says is odd. */
#include "client/head.h"

#include <string.h>
#include <strings.h>

#define NUMBER_MAX 9u /* digits */

static enum bb_err read_number(struct bb_view text, size_t *out) {
    size_t value = 0;
    if (text.len == 0 || text.len > NUMBER_MAX)
        return BB_ERR_HTTP_FORM;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return BB_ERR_HTTP_FORM;
        value = value * 10 + (size_t)(text.data[i] - '0');
    }
    *out = value;
    return BB_OK;
}

/* "HTTP/1.1 200 OK" */
static enum bb_err read_status(struct bb_view line, int *status) {
    static const char version[] = "HTTP/1.1 ";
    size_t fixed = sizeof version - 1, value;
    if (line.len < fixed + 3 || memcmp(line.data, version, fixed) != 0 ||
        (line.len > fixed + 3 && line.data[fixed + 3] != ' ') ||
        read_number(bb_view(line.data + fixed, 3), &value) != BB_OK || value < 200 || value > 599)
        return BB_ERR_HTTP_FORM;
    *status = (int)value;
    return BB_OK;
}

static bool is_name(struct bb_view name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] >= 0x7f ||
            strchr("()<>@,;:\\\"/[]?={}", name.data[i]) != NULL)
            return false;
    return name.len > 0;
}

static struct bb_view trim(struct bb_view text) {
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bb_view(text.data + 1, text.len - 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static bool is(struct bb_view text, const char *word) {
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

static enum bb_err read_field(struct bb_view line, bool *has_length, struct bb_client_head *head) {
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (colon == NULL || memchr(line.data, '\0', line.len) != NULL)
        return BB_ERR_HTTP_FORM;
    struct bb_view name = bb_view(line.data, (size_t)(colon - line.data));
    struct bb_view value = trim(bb_view(colon + 1, line.len - name.len - 1));
    if (!is_name(name) || is(name, "Transfer-Encoding"))
        return BB_ERR_HTTP_FORM;
    size_t seconds;
    if (is(name, "Content-Length")) {
        if (*has_length)
            return BB_ERR_HTTP_FORM;
        *has_length = true;
        return read_number(value, &head->body_len);
    }
    if (is(name, "Content-Type"))
        head->is_cbor = is(value, "application/cbor");
    else if (is(name, "Retry-After") && read_number(value, &seconds) == BB_OK)
        head->retry_after_s = (int64_t)seconds;
    return BB_OK;
}

static enum bb_err read_lines(struct bb_view text, struct bb_client_head *head) {
    bool has_length = false;
    enum bb_err err = BB_OK;
    for (bool first = true; text.len > 0 && err == BB_OK; first = false) {
        const uint8_t *end = memmem(text.data, text.len, "\r\n", 2);
        struct bb_view line = bb_view(text.data, end == NULL ? text.len : (size_t)(end - text.data));
        err = first ? read_status(line, &head->status) : read_field(line, &has_length, head);
        size_t step = end == NULL ? text.len : line.len + 2;
        text = bb_view(text.data + step, text.len - step);
    }
    return err == BB_OK && !has_length ? BB_ERR_HTTP_FORM : err;
}

enum bb_err bb_client_head_read(struct bb_view bytes, struct bb_client_head *out) {
    struct bb_client_head head = {.retry_after_s = -1};
    const uint8_t *end = bytes.len == 0 ? NULL : memmem(bytes.data, bytes.len, "\r\n\r\n", 4);
    if (end == NULL)
        return bytes.len >= BB_CLIENT_HEAD_MAX ? BB_ERR_TOO_LARGE : BB_ERR_TRUNCATED;
    head.head_len = (size_t)(end - bytes.data) + 4;
    if (head.head_len > BB_CLIENT_HEAD_MAX)
        return BB_ERR_TOO_LARGE;
    enum bb_err err = read_lines(bb_view(bytes.data, head.head_len - 4), &head);
    if (err == BB_OK)
        *out = head;
    return err;
}
