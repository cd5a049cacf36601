/* See control.h. */
#include "enclave/gate/control.h"

#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cbor/cbor.h"
#include "enclave/ipc.h"

struct pending {
    uint64_t id; /* 0: free */
    int64_t deadline_ms;
    bb_attest_cb *done;
    void *arg;
};

struct bb_control {
    int fd;
    const struct bb_control_events *events;
    void *arg;
    struct event *readable;
    struct event *timer;
    uint64_t last_id;
    struct pending pending[BB_CONTROL_PENDING_MAX];
};

static void arm_timer(struct bb_control *control) {
    const struct timeval interval = {.tv_sec = 1};
    if (!evtimer_pending(control->timer, NULL))
        (void)evtimer_add(control->timer, &interval);
}

static void settle(struct pending *entry, enum bb_err err, struct bb_view document) {
    struct pending settled = *entry;
    entry->id = 0;
    settled.done(settled.arg, err, document);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct bb_control *control = arg;
    int64_t now = bb_clock_monotonic_ms();
    bool left = false;
    for (size_t i = 0; i < BB_CONTROL_PENDING_MAX; i++) {
        struct pending *entry = &control->pending[i];
        if (entry->id != 0 && entry->deadline_ms <= now)
            settle(entry, BB_ERR_TIMEOUT, bb_view(NULL, 0));
    }
    for (size_t i = 0; i < BB_CONTROL_PENDING_MAX; i++)
        left = left || control->pending[i].id != 0;
    if (left)
        arm_timer(control);
}

static enum bb_err take_document(struct bb_control *control, struct bb_view message) {
    struct bb_view type, document = {0}, error = {0};
    uint64_t id = 0;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &id, .required = true},
        {.key = "document", .type = BB_CBOR_BYTES, .out = &document},
        {.key = "error", .type = BB_CBOR_TEXT, .out = &error},
    };
    struct bb_cbor reader;
    bb_cbor_init(&reader, message);
    enum bb_err err = bb_cbor_read_fields(&reader, fields, sizeof fields / sizeof fields[0], false);
    if (err != BB_OK || bb_cbor_finish(&reader) != BB_OK || id == 0)
        return BB_ERR_PROTOCOL;
    for (size_t i = 0; i < BB_CONTROL_PENDING_MAX; i++) {
        if (control->pending[i].id != id)
            continue;
        bool good = fields[2].present && !fields[3].present && document.len > 0;
        settle(&control->pending[i], good ? BB_OK : BB_ERR_NSM, good ? document : bb_view(NULL, 0));
        break;
    }
    return BB_OK; /* one that came too late is dropped */
}

static enum bb_err take_worker(struct bb_control *control, struct bb_view message, int *fd) {
    struct bb_view type, role;
    struct bb_cbor_field fields[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "role", .type = BB_CBOR_TEXT, .out = &role, .required = true},
    };
    struct bb_cbor reader;
    bb_cbor_init(&reader, message);
    if (bb_cbor_read_fields(&reader, fields, 2, false) != BB_OK || bb_cbor_finish(&reader) != BB_OK ||
        !bb_view_equal(role, bb_view_str("speech")) || *fd < 0)
        return BB_ERR_PROTOCOL;
    control->events->worker(control->arg, bb_fd_take(fd));
    return BB_OK;
}

static enum bb_err take_message(struct bb_control *control, struct bb_view message, int *fd) {
    struct bb_view type;
    enum bb_err err = bb_ipc_type(message, &type);
    if (err != BB_OK)
        return err;
    if (bb_view_equal(type, bb_view_str("document")))
        return take_document(control, message);
    if (bb_view_equal(type, bb_view_str("worker")))
        return take_worker(control, message, fd);
    if (!bb_view_equal(type, bb_view_str("drain")))
        return BB_ERR_PROTOCOL;
    control->events->drain(control->arg);
    return BB_OK;
}

static void on_readable(evutil_socket_t socket, short what, void *arg) {
    (void)what;
    struct bb_control *control = arg;
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int fd BB_CLEANUP_FD = -1;
    enum bb_err err = bb_ipc_receive(socket, &message, &fd, 0);
    if (err == BB_ERR_TIMEOUT)
        return;
    if (err == BB_OK)
        err = take_message(control, bb_buf_view(&message), &fd);
    if (err == BB_OK)
        return;
    (void)event_del(control->readable);
    control->events->closed(control->arg);
}

enum bb_err bb_control_new(struct event_base *base, int fd, const struct bb_control_events *events, void *arg,
                           struct bb_control **out) {
    struct bb_control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return BB_ERR_NO_MEMORY;
    *control = (struct bb_control){.fd = fd, .events = events, .arg = arg};
    control->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, control);
    control->timer = evtimer_new(base, on_timer, control);
    if (control->readable == NULL || control->timer == NULL || event_add(control->readable, NULL) != 0) {
        bb_control_free(control);
        return BB_ERR_NO_MEMORY;
    }
    *out = control;
    return BB_OK;
}

void bb_control_free(struct bb_control *control) {
    if (control == NULL)
        return;
    if (control->readable != NULL)
        event_free(control->readable);
    if (control->timer != NULL)
        event_free(control->timer);
    free(control);
}

static enum bb_err put_optional(struct bb_buf *out, const char *key, struct bb_view bytes) {
    if (bytes.len == 0)
        return BB_OK;
    enum bb_err err = bb_cbor_put_text(out, key);
    return err == BB_OK ? bb_cbor_put_bytes(out, bytes) : err;
}

static enum bb_err write_attest(struct bb_buf *out, uint64_t id, struct bb_view public_key,
                                struct bb_view user_data, struct bb_view nonce) {
    size_t pairs = 2u + (public_key.len > 0) + (user_data.len > 0) + (nonce.len > 0);
    enum bb_err err = bb_cbor_put_map(out, pairs);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "type");
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "attest");
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "id");
    if (err == BB_OK)
        err = bb_cbor_put_uint(out, id);
    if (err == BB_OK)
        err = put_optional(out, "public_key", public_key);
    if (err == BB_OK)
        err = put_optional(out, "user_data", user_data);
    return err == BB_OK ? put_optional(out, "nonce", nonce) : err;
}

enum bb_err bb_control_attest(struct bb_control *control, struct bb_view public_key, struct bb_view user_data,
                              struct bb_view nonce, bb_attest_cb *done, void *arg) {
    struct pending *entry = NULL;
    for (size_t i = 0; i < BB_CONTROL_PENDING_MAX && entry == NULL; i++)
        if (control->pending[i].id == 0)
            entry = &control->pending[i];
    if (entry == NULL)
        return BB_ERR_BUSY;
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    uint64_t id = control->last_id + 1;
    enum bb_err err = write_attest(&message, id, public_key, user_data, nonce);
    if (err == BB_OK)
        err = bb_ipc_send(control->fd, bb_buf_view(&message), -1, 0);
    if (err != BB_OK)
        return err;
    control->last_id = id;
    *entry = (struct pending){
        .id = id, .deadline_ms = bb_clock_monotonic_ms() + BB_CONTROL_ANSWER_MS, .done = done, .arg = arg};
    arm_timer(control);
    return BB_OK;
}

enum bb_err bb_control_say_ready(struct bb_control *control) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(64);
    enum bb_err err = bb_cbor_put_map(&message, 1);
    if (err == BB_OK)
        err = bb_cbor_put_text(&message, "type");
    if (err == BB_OK)
        err = bb_cbor_put_text(&message, "ready");
    return err == BB_OK ? bb_ipc_send(control->fd, bb_buf_view(&message), -1, 1000) : err;
}
