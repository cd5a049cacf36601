/*
 * The gate: the role that holds the TLS key and speaks HTTP. It trusts init (its control socket), judges
 * everything that clients and the speech worker send, opens no files and makes no connections.
 *
 * Wiring and life: configuration, evidence, listening, draining.
 */
#include "enclave/gate/gate.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/fd.h"
#include "enclave/confine.h"
#include "enclave/gate/memory.h"
#include "enclave/harden.h"
#include "enclave/roles.h"

static void stop(struct bb_gate *gate, enum bb_err outcome) {
    gate->outcome = outcome;
    (void)event_base_loopbreak(gate->base);
}

static void on_drained(void *arg) {
    stop(arg, BB_OK);
}

static void drain(void *arg) {
    struct bb_gate *gate = arg;
    bb_server_drain(gate->server, on_drained, gate);
}

static void on_signal(evutil_socket_t number, short what, void *arg) {
    (void)number;
    (void)what;
    drain(arg);
}

static void on_worker(void *arg, int fd) {
    struct bb_gate *gate = arg;
    bb_speech_attach(gate->speech, fd);
}

static void on_control_closed(void *arg) {
    stop(arg, BB_ERR_CLOSED);
}

/* Evidence is in place, or a worker is ready: with both for the first time, init hears of it. */
static void check_ready(void *arg) {
    struct bb_gate *gate = arg;
    if (gate->said_ready || bb_evidence_current(gate->evidence) == NULL || !bb_speech_is_ready(gate->speech))
        return;
    gate->said_ready = true;
    if (bb_control_say_ready(gate->control) != BB_OK)
        stop(gate, BB_ERR_CLOSED);
}

static void on_evidence(void *arg) {
    struct bb_gate *gate = arg;
    if (bb_server_open(gate->server) != BB_OK)
        stop(gate, BB_ERR_IO);
    check_ready(gate);
}

static enum bb_err read_config(struct bb_gate *gate) {
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    int fd BB_CLEANUP_FD = BB_GATE_FD_CONFIG;
    enum bb_err err = bb_config_from_fd(fd, &gate->config, &reason);
    if (err != BB_OK)
        (void)fprintf(stderr, "gate: %s\n", bb_buf_str(&reason));
    return err;
}

/* Connections and uploads need descriptors; a soft limit below the hard one is only a habit. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum bb_err build(struct bb_gate *gate) {
    static const struct bb_control_events events = {
        .worker = on_worker, .drain = drain, .closed = on_control_closed};
    gate->base = event_base_new();
    if (gate->base == NULL)
        return BB_ERR_NO_MEMORY;
    enum bb_err err = bb_fd_set_nonblocking(BB_GATE_FD_LISTEN);
    if (err == BB_OK)
        err = bb_server_new(gate, BB_GATE_FD_LISTEN, &gate->server);
    if (err == BB_OK)
        err =
            bb_speech_new(gate->base, &gate->config.limits, &gate->metrics, check_ready, gate, &gate->speech);
    if (err == BB_OK)
        err = bb_control_new(gate->base, BB_GATE_FD_CONTROL, &events, gate, &gate->control);
    if (err == BB_OK)
        err = bb_evidence_keeper_new(gate->base, gate->control, &gate->metrics,
                                     gate->config.evidence_renew_seconds, on_evidence, gate, &gate->evidence);
    if (err == BB_OK)
        err = bb_attestation_new(gate->control, bb_evidence_public_key(gate->evidence), &gate->attestation);
    return err;
}

static void take_down(struct bb_gate *gate) {
    if (gate->base == NULL)
        return;
    bb_server_free(gate->server);
    bb_speech_free(gate->speech);
    bb_attestation_free(gate->attestation);
    bb_evidence_keeper_free(gate->evidence);
    bb_control_free(gate->control);
    event_base_free(gate->base);
    gate->base = NULL;
}

static enum bb_err serve(struct bb_gate *gate) {
    struct event *signals[] = {evsignal_new(gate->base, SIGTERM, on_signal, gate),
                               evsignal_new(gate->base, SIGINT, on_signal, gate)};
    enum bb_err err = BB_OK;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (signals[i] == NULL || event_add(signals[i], NULL) != 0)
            err = BB_ERR_NO_MEMORY;
    if (err == BB_OK)
        err = bb_role_confine(BB_ROLE_GATE);
    if (err == BB_OK)
        err = event_base_dispatch(gate->base) >= 0 ? gate->outcome : BB_ERR_IO;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (signals[i] != NULL)
            event_free(signals[i]);
    return err;
}

int bb_gate_main(void) {
    struct bb_gate gate = {.started_s = bb_clock_wall_ms() / 1000};
    raise_descriptor_limit();
    enum bb_err err = bb_role_harden();
    if (err == BB_OK)
        err = bb_memory_wipe_on_free();
    if (err == BB_OK)
        err = read_config(&gate);
    if (err == BB_OK)
        err = build(&gate);
    if (err == BB_OK)
        err = serve(&gate);
    take_down(&gate);
    if (err != BB_OK)
        (void)fprintf(stderr, "gate: %s\n", bb_err_sentence(err));
    return err == BB_OK ? 0 : 1;
}
