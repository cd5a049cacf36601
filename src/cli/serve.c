/* See serve.h. */
#include "cli/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/verbs.h"

#define BACKLOG          16
#define LISTENER         0u /* place in the poll set; the connections follow */
#define CONNECT_PROBE_MS 1000

/* The name that the signal handler removes; written before the handler is set. */
static struct bb_endpoint socket_name;

static void end_on_signal(int number) {
    (void)number;
    if (socket_name.host[0] != '\0')
        unlink(socket_name.host);
    _exit(BB_CLI_GOOD);
}

static void set_signals(void) {
    struct sigaction end = {.sa_handler = end_on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

enum bb_err bb_cli_serve_where(const char *verb, const char *connection, const char *listen,
                               struct bb_endpoint *out) {
    const char *text = connection != NULL ? connection : listen;
    enum bb_endpoint_kind wanted = connection != NULL ? BB_ENDPOINT_FD : BB_ENDPOINT_UNIX;
    struct bb_endpoint made;
    if ((connection == NULL) == (listen == NULL)) {
        fprintf(stderr, "blindbox %s: give either --connection fd:N or --listen unix:PATH\n", verb);
        return BB_ERR_ARGUMENT;
    }
    if (bb_endpoint_parse(text, &made) != BB_OK || made.kind != wanted) {
        fprintf(stderr, "blindbox %s: '%s' is not of the form %s\n", verb, text,
                connection != NULL ? "fd:N" : "unix:PATH");
        return BB_ERR_ARGUMENT;
    }
    *out = made;
    return BB_OK;
}

/* A socket file that nobody listens on any more, left by a process that was killed. */
static bool is_stale_socket(const struct bb_endpoint *where) {
    struct stat status;
    int fd BB_CLEANUP_FD = -1;
    return lstat(where->host, &status) == 0 && S_ISSOCK(status.st_mode) &&
           bb_endpoint_connect(where, CONNECT_PROBE_MS, &fd) == BB_ERR_CONNECT;
}

enum bb_err bb_cli_listen_privately(const struct bb_endpoint *where, int *fd) {
    if (is_stale_socket(where))
        unlink(where->host);
    mode_t before = umask(077);
    enum bb_err err = bb_endpoint_listen(where, BACKLOG, fd);
    umask(before);
    return err;
}

static void report_closing(const struct bb_cli_service *service, enum bb_err err) {
    if (err != BB_ERR_CLOSED)
        fprintf(stderr, "blindbox %s: connection closed: %s\n", service->verb, bb_err_sentence(err));
}

static int serve_connection(const struct bb_cli_service *service, int fd) {
    for (;;) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        if (poll(&entry, 1, -1) < 0 && errno != EINTR)
            return BB_CLI_FAILED;
        if (entry.revents == 0)
            continue;
        enum bb_err err = service->serve_one(service->context, fd);
        if (err == BB_OK)
            continue;
        report_closing(service, err);
        return err == BB_ERR_CLOSED ? BB_CLI_GOOD : BB_CLI_FAILED;
    }
}

static void accept_one(struct pollfd *entries, nfds_t *count) {
    int fd BB_CLEANUP_FD = accept4(entries[LISTENER].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 || *count > BB_CLI_SERVE_MAX)
        return;
    entries[(*count)++] = (struct pollfd){.fd = bb_fd_take(&fd), .events = POLLIN};
}

static int serve_listener(const struct bb_cli_service *service, int listener) {
    struct pollfd entries[1 + BB_CLI_SERVE_MAX] = {[LISTENER] = {.fd = listener, .events = POLLIN}};
    nfds_t count = 1;
    for (;;) {
        if (poll(entries, count, -1) < 0) {
            if (errno == EINTR)
                continue;
            fprintf(stderr, "blindbox %s: %s\n", service->verb, strerror(errno));
            return BB_CLI_FAILED;
        }
        for (nfds_t i = count - 1; i > LISTENER; i--) {
            enum bb_err err =
                entries[i].revents == 0 ? BB_OK : service->serve_one(service->context, entries[i].fd);
            if (err == BB_OK)
                continue;
            report_closing(service, err);
            bb_fd_close(&entries[i].fd);
            entries[i] = entries[--count];
        }
        if (entries[LISTENER].revents != 0)
            accept_one(entries, &count);
    }
}

int bb_cli_serve(const struct bb_cli_service *service, const struct bb_endpoint *where) {
    if (where->kind == BB_ENDPOINT_FD) {
        set_signals();
        return serve_connection(service, where->fd);
    }
    int listener BB_CLEANUP_FD = -1;
    if (bb_cli_listen_privately(where, &listener) != BB_OK) {
        fprintf(stderr, "blindbox %s: cannot listen on unix:%s: %s\n", service->verb, where->host,
                strerror(errno));
        return BB_CLI_FAILED;
    }
    socket_name = *where;
    set_signals();
    return serve_listener(service, listener);
}
