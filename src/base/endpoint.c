/* See endpoint.h. */
#include "base/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

static enum bb_err parse_number(const char *text, long max, long *out) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > max)
        return BB_ERR_ARGUMENT;
    *out = value;
    return BB_OK;
}

static enum bb_err set_tcp(const char *host, size_t host_len, const char *port, struct bb_endpoint *out) {
    struct bb_endpoint made = {.kind = BB_ENDPOINT_TCP, .fd = -1};
    long number;
    if (host_len == 0 || host_len >= sizeof made.host || parse_number(port, 65535, &number) != BB_OK)
        return BB_ERR_ARGUMENT;
    memcpy(made.host, host, host_len);
    snprintf(made.port, sizeof made.port, "%ld", number);
    *out = made;
    return BB_OK;
}

enum bb_err bb_endpoint_parse_tcp(const char *text, const char *default_port, struct bb_endpoint *out) {
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || (close[1] != ':' && close[1] != '\0'))
            return BB_ERR_ARGUMENT;
        const char *port = close[1] == ':' ? close + 2 : default_port;
        return port == NULL ? BB_ERR_ARGUMENT : set_tcp(text + 1, (size_t)(close - text - 1), port, out);
    }
    const char *colon = strrchr(text, ':');
    const char *port = colon != NULL ? colon + 1 : default_port;
    size_t host_len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    if (port == NULL || memchr(text, ':', host_len) != NULL)
        return BB_ERR_ARGUMENT;
    return set_tcp(text, host_len, port, out);
}

enum bb_err bb_endpoint_parse(const char *text, struct bb_endpoint *out) {
    if (strncmp(text, "tcp:", 4) == 0)
        return bb_endpoint_parse_tcp(text + 4, NULL, out);
    struct bb_endpoint made = {.fd = -1};
    if (strncmp(text, "unix:", 5) == 0) {
        size_t len = strlen(text + 5);
        if (len == 0 || len >= sizeof((struct sockaddr_un *)NULL)->sun_path)
            return BB_ERR_ARGUMENT;
        made.kind = BB_ENDPOINT_UNIX;
        memcpy(made.host, text + 5, len);
        *out = made;
        return BB_OK;
    }
    long number;
    if (strncmp(text, "fd:", 3) != 0 || parse_number(text + 3, 65535, &number) != BB_OK)
        return BB_ERR_ARGUMENT;
    made.kind = BB_ENDPOINT_FD;
    made.fd = (int)number;
    *out = made;
    return BB_OK;
}

static socklen_t unix_address(const struct bb_endpoint *endpoint, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, endpoint->host, strnlen(endpoint->host, sizeof address->sun_path - 1));
    return sizeof *address;
}

/* connect(2) with a time limit; leaves the socket blocking. */
static enum bb_err connect_within(int fd, const struct sockaddr *address, socklen_t len, int timeout_ms) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return BB_ERR_IO;
    if (connect(fd, address, len) != 0) {
        if (errno != EINPROGRESS)
            return BB_ERR_CONNECT;
        struct pollfd entry = {.fd = fd, .events = POLLOUT};
        int ready;
        do
            ready = poll(&entry, 1, timeout_ms);
        while (ready < 0 && errno == EINTR);
        if (ready == 0)
            return BB_ERR_TIMEOUT;
        int error = 0;
        socklen_t error_len = sizeof error;
        if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0 || error != 0)
            return BB_ERR_CONNECT;
    }
    return fcntl(fd, F_SETFL, flags) < 0 ? BB_ERR_IO : BB_OK;
}

static enum bb_err resolve(const struct bb_endpoint *endpoint, int flags, struct addrinfo **out) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    return getaddrinfo(endpoint->host, endpoint->port, &hints, out) == 0 ? BB_OK : BB_ERR_RESOLVE;
}

static enum bb_err connect_tcp(const struct bb_endpoint *endpoint, int timeout_ms, int *out) {
    struct addrinfo *list = NULL;
    enum bb_err err = resolve(endpoint, 0, &list);
    if (err != BB_OK)
        return err;
    err = BB_ERR_CONNECT;
    for (struct addrinfo *entry = list; entry != NULL && err != BB_OK; entry = entry->ai_next) {
        int fd BB_CLEANUP_FD = socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        err = connect_within(fd, entry->ai_addr, entry->ai_addrlen, timeout_ms);
        int one = 1;
        if (err == BB_OK) {
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            *out = bb_fd_take(&fd);
        }
    }
    freeaddrinfo(list);
    return err;
}

static enum bb_err connect_unix(const struct bb_endpoint *endpoint, int timeout_ms, int *out) {
    struct sockaddr_un address;
    socklen_t len = unix_address(endpoint, &address);
    int fd BB_CLEANUP_FD = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return BB_ERR_IO;
    enum bb_err err = connect_within(fd, (struct sockaddr *)&address, len, timeout_ms);
    if (err == BB_OK)
        *out = bb_fd_take(&fd);
    return err;
}

enum bb_err bb_endpoint_connect(const struct bb_endpoint *endpoint, int timeout_ms, int *fd) {
    switch (endpoint->kind) {
    case BB_ENDPOINT_TCP:
        return connect_tcp(endpoint, timeout_ms, fd);
    case BB_ENDPOINT_UNIX:
        return connect_unix(endpoint, timeout_ms, fd);
    case BB_ENDPOINT_FD:
        *fd = endpoint->fd;
        return BB_OK;
    }
    return BB_ERR_ARGUMENT;
}

static enum bb_err listen_on(int family, const struct sockaddr *address, socklen_t len, int backlog,
                             int *out) {
    int fd BB_CLEANUP_FD = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return BB_ERR_IO;
    int one = 1;
    if (family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
        return BB_ERR_IO;
    if (bind(fd, address, len) != 0 || listen(fd, backlog) != 0)
        return BB_ERR_IO;
    *out = bb_fd_take(&fd);
    return BB_OK;
}

enum bb_err bb_endpoint_listen(const struct bb_endpoint *endpoint, int backlog, int *fd) {
    if (endpoint->kind == BB_ENDPOINT_UNIX) {
        struct sockaddr_un address;
        socklen_t len = unix_address(endpoint, &address);
        return listen_on(AF_UNIX, (struct sockaddr *)&address, len, backlog, fd);
    }
    if (endpoint->kind != BB_ENDPOINT_TCP)
        return BB_ERR_ARGUMENT;
    struct addrinfo *list = NULL;
    enum bb_err err = resolve(endpoint, AI_PASSIVE, &list);
    if (err != BB_OK)
        return err;
    err = listen_on(list->ai_family, list->ai_addr, list->ai_addrlen, backlog, fd);
    freeaddrinfo(list);
    return err;
}

enum bb_err bb_endpoint_bound_address(int fd, char *out, size_t out_len) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char host[INET6_ADDRSTRLEN];
    char port[6];
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return BB_ERR_IO;
    const char *form = address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int written = snprintf(out, out_len, form, host, port);
#pragma GCC diagnostic pop
    return written < 0 || (size_t)written >= out_len ? BB_ERR_TOO_LARGE : BB_OK;
}
