/* The gate's parts, as they know each other. One thread, one event loop. */
#ifndef BB_GATE_GATE_H
#define BB_GATE_GATE_H

#include "enclave/config.h"
#include "enclave/gate/attestation.h"
#include "enclave/gate/control.h"
#include "enclave/gate/evidence.h"
#include "enclave/gate/metrics.h"
#include "enclave/gate/server.h"
#include "enclave/gate/speech.h"

struct bb_gate {
    struct event_base *base;
    struct bb_config config;
    struct bb_metrics metrics;
    struct bb_control *control;
    struct bb_evidence_keeper *evidence;
    struct bb_attestation *attestation;
    struct bb_speech *speech;
    struct bb_server *server;
    int64_t started_s; /* wall clock: "created" of the models */
    bool said_ready;
    bool drained;
    enum bb_err outcome;
};

/* The role's program: `blindboxd gate` (descriptors: enclave/roles.h). The process's exit status. */
int bb_gate_main(void);

#endif
