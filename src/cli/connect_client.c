/* See connect_client.h. Requests are not looked at: what the client says goes to the enclave as it is. */
#include "cli/connect_client.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"

#define ANSWER_MS 5000 /* for a refusal to be written */

static bool wait_readable(int fd, int64_t timeout_ms) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int64_t deadline_ms = bb_clock_monotonic_ms() + timeout_ms;
    for (;;) {
        int64_t left_ms = deadline_ms - bb_clock_monotonic_ms();
        int ready = left_ms > 0 ? poll(&entry, 1, (int)left_ms) : 0;
        if (ready >= 0 || errno != EINTR)
            return ready > 0;
    }
}

/* Closing with bytes unread would reset the connection and with it the answer. */
static void linger(int fd) {
    static _Thread_local char dropped[65536];
    int64_t until_ms = bb_clock_monotonic_ms() + BB_CONNECT_LINGER_MS;
    (void)shutdown(fd, SHUT_WR);
    while (wait_readable(fd, until_ms - bb_clock_monotonic_ms()))
        if (recv(fd, dropped, sizeof dropped, 0) <= 0)
            break;
    bb_wipe(dropped, sizeof dropped);
}

static char *write_body(const char *type, const char *code, const char *message) {
    json_t *text = json_string(message);
    json_t *root =
        json_pack("{s:{s:o, s:s, s:n, s:s}}", "error", "message",
                  text != NULL ? text : json_string("(not UTF-8)"), "type", type, "param", "code", code);
    char *body = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return body;
}

void bb_connect_refuse(int fd, const char *status, const char *type, const char *code, const char *message) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    char *body BB_CLEANUP_FREE = write_body(type, code, message);
    if (body == NULL || bb_buf_printf(&answer,
                                      "HTTP/1.1 %s\r\n"
                                      "Content-Type: application/json\r\n"
                                      "Content-Length: %zu\r\n"
                                      "Cache-Control: no-store\r\n"
                                      "Connection: close\r\n"
                                      "\r\n"
                                      "%s",
                                      status, strlen(body), body) != BB_OK)
        return;
    if (bb_fd_write_all(fd, bb_buf_view(&answer), ANSWER_MS) == BB_OK)
        linger(fd);
}

static void refuse(int fd, const struct bb_tunnel *tunnel, enum bb_err err) {
    const char *message = tunnel != NULL ? bb_tunnel_error_text(tunnel) : bb_err_sentence(err);
    bool attestation = tunnel != NULL && bb_tunnel_attestation_failed(tunnel);
    bb_connect_refuse(fd, "502 Bad Gateway", attestation ? "attestation_error" : "connection_error",
                      bb_err_name(err), message);
}

/* The client must not take a cut answer for a whole one: reset instead of an orderly end. */
static void reset(int fd) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void bb_connect_serve(struct bb_connect_pool *pool, int fd) {
    char byte;
    struct bb_tunnel *tunnel;
    if (!wait_readable(fd, BB_CONNECT_SILENT_MS) || recv(fd, &byte, 1, MSG_PEEK) != 1)
        return;
    enum bb_err err = bb_connect_pool_take(pool, &tunnel);
    if (err != BB_OK)
        refuse(fd, tunnel, err);
    else if (bb_tunnel_run(tunnel, fd) == BB_ERR_TRUNCATED)
        reset(fd);
    bb_tunnel_free(tunnel);
}
