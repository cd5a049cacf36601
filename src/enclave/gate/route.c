/* See route.h. */
#include "enclave/gate/route.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"

static const struct bb_route routes[] = {
    {"POST", "/whisper/predict", bb_route_predict_begin, bb_route_speech_body, bb_route_speech},
    {"POST", "/v1/audio/transcriptions", bb_route_transcriptions_begin, bb_route_speech_body,
     bb_route_speech},
    {"GET", "/v1/models", NULL, NULL, bb_route_models},
    {"GET", "/v1/models/{id}", NULL, NULL, bb_route_model},
    {"POST", "/.well-known/blindbox/evidence", bb_route_evidence_begin, bb_route_evidence_body,
     bb_route_evidence},
    {"GET", "/enclave", NULL, NULL, bb_route_enclave},
    {"GET", "/enclave/cert", NULL, NULL, bb_route_enclave_cert},
    {"GET", "/enclave/attestation", NULL, NULL, bb_route_enclave_attestation},
    {"GET", "/healthz", NULL, NULL, bb_route_healthz},
    {"GET", "/readyz", NULL, NULL, bb_route_readyz},
    {"GET", "/metrics", NULL, NULL, bb_route_metrics},
};

/* Percent-decodes a path segment. What is malformed, holds a control character or is too long fits no
 * parameter. */
static bool decode_segment(struct bb_view text, char *out, size_t max) {
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            if (text.len - i < 3 || bb_hex_decode(bb_view(text.data + i + 1, 2), &byte, 1) != BB_OK)
                return false;
            i += 2;
        }
        if (byte < 0x20 || byte == 0x7f || len == max)
            return false;
        out[len++] = (char)byte;
    }
    out[len] = '\0';
    return len > 0;
}

static bool fits(const char *pattern, struct bb_view path, char parameter[BB_ROUTE_PARAMETER_MAX + 1]) {
    const char *brace = strchr(pattern, '{');
    if (brace == NULL)
        return bb_view_equal(path, bb_view_str(pattern));
    size_t fixed = (size_t)(brace - pattern);
    if (path.len <= fixed || memcmp(path.data, pattern, fixed) != 0)
        return false;
    struct bb_view segment = bb_view(path.data + fixed, path.len - fixed);
    if (memchr(segment.data, '/', segment.len) != NULL)
        return false;
    return decode_segment(segment, parameter, BB_ROUTE_PARAMETER_MAX);
}

void bb_route_find(const char *method, struct bb_view path, struct bb_route_match *out) {
    *out = (struct bb_route_match){0};
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!fits(routes[i].pattern, path, out->parameter))
            continue;
        if (strcmp(routes[i].method, wanted) == 0) {
            out->route = &routes[i];
            return;
        }
        (void)snprintf(out->allow, sizeof out->allow, "%s%s", routes[i].method,
                       strcmp(routes[i].method, "GET") == 0 ? ", HEAD" : "");
    }
}

enum bb_err bb_route_split_target(struct bb_view target, struct bb_view *path, struct bb_view *query) {
    if (target.len > 0 && target.data[0] != '/') {
        const uint8_t *slashes = memmem(target.data, target.len, "://", 3);
        if (slashes == NULL)
            return BB_ERR_ARGUMENT;
        size_t skip = (size_t)(slashes - target.data) + 3;
        const uint8_t *slash = memchr(target.data + skip, '/', target.len - skip);
        if (slash == NULL)
            return BB_ERR_ARGUMENT;
        skip = (size_t)(slash - target.data);
        target = bb_view(target.data + skip, target.len - skip);
    }
    if (target.len == 0)
        return BB_ERR_ARGUMENT;
    const uint8_t *mark = memchr(target.data, '?', target.len);
    size_t len = mark == NULL ? target.len : (size_t)(mark - target.data);
    *path = bb_view(target.data, len);
    *query = mark == NULL ? bb_view(NULL, 0) : bb_view(mark + 1, target.len - len - 1);
    return BB_OK;
}

bool bb_route_query(struct bb_view query, const char *name, struct bb_view *value) {
    size_t name_len = strlen(name);
    while (query.len > 0) {
        const uint8_t *end = memchr(query.data, '&', query.len);
        size_t len = end == NULL ? query.len : (size_t)(end - query.data);
        if (len >= name_len && memcmp(query.data, name, name_len) == 0 &&
            (len == name_len || query.data[name_len] == '=')) {
            size_t skip = len == name_len ? len : name_len + 1;
            *value = bb_view(query.data + skip, len - skip);
            return true;
        }
        size_t step = end == NULL ? len : len + 1;
        query = bb_view(query.data + step, query.len - step);
    }
    return false;
}
