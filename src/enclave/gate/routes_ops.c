/* /healthz, /readyz, /metrics: for operators. Answered at once, whatever the workers do. */
#include "base/clock.h"
#include "enclave/gate/request.h"

#define METRICS_MAX 65536u

static const char text_plain[] = "text/plain; charset=utf-8";

void bb_route_healthz(struct bb_request *request) {
    bb_request_say(request, text_plain, bb_view_str("ok\n"));
}

void bb_route_readyz(struct bb_request *request) {
    const struct bb_evidence *evidence = bb_evidence_current(request->gate->evidence);
    struct bb_fault fault = {0};
    if (bb_server_is_draining(request->gate->server))
        bb_fault_set(&fault, 503, "The enclave is shutting down");
    else if (evidence == NULL || !bb_evidence_is_fresh(evidence, bb_clock_monotonic_ms()))
        bb_fault_set(&fault, 503, "The attestation evidence is out of date and could not be renewed");
    else if (!bb_speech_is_ready(request->gate->speech))
        bb_fault_set(&fault, 503, "The speech worker is starting");
    if (fault.status == 0) {
        bb_request_say(request, text_plain, bb_view_str("ready\n"));
        return;
    }
    fault.retry_after_s = 1;
    bb_request_fail(request, &fault);
}

void bb_route_metrics(struct bb_request *request) {
    struct bb_metrics *metrics = &request->gate->metrics;
    const struct bb_evidence *evidence = bb_evidence_current(request->gate->evidence);
    int64_t age_ms = evidence == NULL ? -1000 : bb_clock_monotonic_ms() - evidence->made_ms;
    metrics->evidence_age_seconds = (double)age_ms / 1000;
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(METRICS_MAX);
    struct bb_fault fault;
    if (bb_metrics_write(metrics, &text) == BB_OK) {
        bb_request_say(request, "text/plain; version=0.0.4; charset=utf-8", bb_buf_view(&text));
        return;
    }
    bb_fault_set(&fault, 500, "The metrics cannot be written");
    bb_request_fail(request, &fault);
}
