/* See address.h. */
#include "client/address.h"

#include <string.h>

#include "base/endpoint.h"

#define SCHEME "https://"

static bool only(const char *text, const char *allowed) {
    return text[strspn(text, allowed)] == '\0';
}

static bool host_is_plain(const char *host, bool v6) {
    const char *name = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    return v6 ? only(host, "0123456789abcdefABCDEF:.") : only(host, name) && host[0] != '-';
}

enum bb_err bb_client_address(const char *text, struct bb_buf *out) {
    if (strncmp(text, SCHEME, strlen(SCHEME)) == 0)
        text += strlen(SCHEME);
    char bare[sizeof((struct bb_endpoint *)NULL)->host + 16];
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == '/')
        len--;
    if (len >= sizeof bare)
        return BB_ERR_ARGUMENT;
    memcpy(bare, text, len);
    bare[len] = '\0';
    struct bb_endpoint endpoint;
    enum bb_err err = bb_endpoint_parse_tcp(bare, BB_CLIENT_PORT_DEFAULT, &endpoint);
    if (err != BB_OK)
        return err;
    bool v6 = bare[0] == '[';
    if (!host_is_plain(endpoint.host, v6) || strcmp(endpoint.port, "0") == 0)
        return BB_ERR_ARGUMENT;
    return v6 ? bb_buf_printf(out, "[%s]:%s", endpoint.host, endpoint.port)
              : bb_buf_printf(out, "%s:%s", endpoint.host, endpoint.port);
}
