/*
 * Counters for operators: numbers only, labelled by the patterns of our own routes. No content, no file
 * names, no path parameters, no addresses.
 */
#ifndef BB_GATE_METRICS_H
#define BB_GATE_METRICS_H

#include "base/bytes.h"

#define BB_METRICS_ROUTES_MAX 16u
#define BB_METRICS_BUCKETS    10u
#define BB_METRICS_CLASSES    3u /* 2xx, 4xx, 5xx: nothing else is ever sent */
#define BB_METRICS_GROUPS     4u

struct bb_metrics_route {
    const char *pattern; /* static */
    uint64_t answers[BB_METRICS_CLASSES];
    uint64_t buckets[BB_METRICS_BUCKETS]; /* cumulative only when written */
    uint64_t count;
    double seconds;
};

struct bb_metrics {
    struct bb_metrics_route routes[BB_METRICS_ROUTES_MAX];
    size_t route_count;
    uint64_t connections; /* open now */
    uint64_t connections_total;
    uint64_t connections_refused; /* closed at once: limit connections */
    uint64_t handshakes_failed;
    struct {
        const char *group; /* static */
        uint64_t count;
    } handshakes[BB_METRICS_GROUPS];
    uint64_t requests_in_flight;
    uint64_t requests_cancelled; /* the client went away before its answer */
    uint64_t upload_bytes;       /* request bodies in memory now */
    uint64_t speech_working;     /* handed to the worker, waiting or running there */
    uint64_t speech_held;        /* waiting for a worker that is being restarted */
    uint64_t speech_restarts;
    double speech_audio_seconds, speech_queue_seconds, speech_decode_seconds, speech_infer_seconds;
    uint64_t evidence_renewals, evidence_failures;
    double evidence_age_seconds; /* filled in before writing; negative: none yet */
};

/* One request answered. pattern: the route's, or "other". */
void bb_metrics_answered(struct bb_metrics *metrics, const char *pattern, int status, int64_t took_ms);
/* group: static storage. */
void bb_metrics_handshake(struct bb_metrics *metrics, const char *group);
/* Prometheus' text format, version 0.0.4. */
BB_MUST_USE enum bb_err bb_metrics_write(const struct bb_metrics *metrics, struct bb_buf *out);

#endif
