/* See metrics.h. */
#include "enclave/gate/metrics.h"

#include <inttypes.h>
#include <string.h>

static const double bucket_seconds[BB_METRICS_BUCKETS] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600};
static const char *const class_names[BB_METRICS_CLASSES] = {"2xx", "4xx", "5xx"};

static struct bb_metrics_route *find_route(struct bb_metrics *metrics, const char *pattern) {
    for (size_t i = 0; i < metrics->route_count; i++)
        if (strcmp(metrics->routes[i].pattern, pattern) == 0)
            return &metrics->routes[i];
    if (metrics->route_count == BB_METRICS_ROUTES_MAX)
        return &metrics->routes[BB_METRICS_ROUTES_MAX - 1];
    struct bb_metrics_route *route = &metrics->routes[metrics->route_count++];
    route->pattern = pattern;
    return route;
}

void bb_metrics_answered(struct bb_metrics *metrics, const char *pattern, int status, int64_t took_ms) {
    struct bb_metrics_route *route = find_route(metrics, pattern);
    double seconds = (double)took_ms / 1000;
    route->answers[status >= 500 ? 2 : status >= 400 ? 1 : 0]++;
    route->count++;
    route->seconds += seconds;
    for (size_t i = 0; i < BB_METRICS_BUCKETS; i++) {
        if (seconds <= bucket_seconds[i]) {
            route->buckets[i]++;
            break;
        }
    }
}

/* The last row takes whatever does not fit. */
void bb_metrics_handshake(struct bb_metrics *metrics, const char *group) {
    size_t i = 0;
    while (i < BB_METRICS_GROUPS - 1 && metrics->handshakes[i].group != NULL &&
           strcmp(metrics->handshakes[i].group, group) != 0)
        i++;
    if (metrics->handshakes[i].group == NULL)
        metrics->handshakes[i].group = i == BB_METRICS_GROUPS - 1 ? "other" : group;
    metrics->handshakes[i].count++;
}

static enum bb_err write_head(struct bb_buf *out, const char *name, const char *type, const char *help) {
    return bb_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static enum bb_err write_requests(const struct bb_metrics *metrics, struct bb_buf *out) {
    enum bb_err err = write_head(out, "blindbox_requests_total", "counter", "Answered requests.");
    for (size_t i = 0; i < metrics->route_count; i++)
        for (size_t c = 0; c < BB_METRICS_CLASSES && err == BB_OK; c++)
            if (metrics->routes[i].answers[c] > 0)
                err =
                    bb_buf_printf(out, "blindbox_requests_total{route=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                                  metrics->routes[i].pattern, class_names[c], metrics->routes[i].answers[c]);
    return err;
}

static enum bb_err write_histogram(const struct bb_metrics_route *route, struct bb_buf *out) {
    static const char name[] = "blindbox_request_seconds";
    uint64_t below = 0;
    enum bb_err err = BB_OK;
    for (size_t i = 0; i < BB_METRICS_BUCKETS && err == BB_OK; i++) {
        below += route->buckets[i];
        err = bb_buf_printf(out, "%s_bucket{route=\"%s\",le=\"%g\"} %" PRIu64 "\n", name, route->pattern,
                            bucket_seconds[i], below);
    }
    if (err != BB_OK)
        return err;
    return bb_buf_printf(out,
                         "%s_bucket{route=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
                         "%s_sum{route=\"%s\"} %.3f\n"
                         "%s_count{route=\"%s\"} %" PRIu64 "\n",
                         name, route->pattern, route->count, name, route->pattern, route->seconds, name,
                         route->pattern, route->count);
}

static enum bb_err write_histograms(const struct bb_metrics *metrics, struct bb_buf *out) {
    enum bb_err err = write_head(out, "blindbox_request_seconds", "histogram",
                                 "From a request's first byte to its answer.");
    for (size_t i = 0; i < metrics->route_count && err == BB_OK; i++)
        err = write_histogram(&metrics->routes[i], out);
    return err;
}

static enum bb_err write_handshakes(const struct bb_metrics *metrics, struct bb_buf *out) {
    enum bb_err err = write_head(out, "blindbox_tls_handshakes_total", "counter",
                                 "Completed handshakes by key exchange group.");
    for (size_t i = 0; i < BB_METRICS_GROUPS && err == BB_OK; i++)
        if (metrics->handshakes[i].group != NULL)
            err = bb_buf_printf(out, "blindbox_tls_handshakes_total{group=\"%s\"} %" PRIu64 "\n",
                                metrics->handshakes[i].group, metrics->handshakes[i].count);
    return err;
}

struct plain {
    const char *name, *type, *help;
    double value;
};

static enum bb_err write_plain(const struct plain *rows, size_t count, struct bb_buf *out) {
    enum bb_err err = BB_OK;
    for (size_t i = 0; i < count && err == BB_OK; i++) {
        err = write_head(out, rows[i].name, rows[i].type, rows[i].help);
        if (err == BB_OK)
            err = bb_buf_printf(out, "%s %.15g\n", rows[i].name, rows[i].value);
    }
    return err;
}

static enum bb_err write_gate(const struct bb_metrics *m, struct bb_buf *out) {
    const struct plain rows[] = {
        {"blindbox_connections", "gauge", "Open connections.", (double)m->connections},
        {"blindbox_connections_total", "counter", "Accepted connections.", (double)m->connections_total},
        {"blindbox_connections_refused_total", "counter", "Connections over the limit connections.",
         (double)m->connections_refused},
        {"blindbox_tls_handshakes_failed_total", "counter", "Handshakes that failed or took too long.",
         (double)m->handshakes_failed},
        {"blindbox_requests_in_flight", "gauge", "Requests being received or worked on.",
         (double)m->requests_in_flight},
        {"blindbox_requests_cancelled_total", "counter", "Requests whose client went away.",
         (double)m->requests_cancelled},
        {"blindbox_upload_bytes", "gauge", "Request bodies held in memory.", (double)m->upload_bytes},
        {"blindbox_evidence_renewals_total", "counter", "Evidence certificates made.",
         (double)m->evidence_renewals},
        {"blindbox_evidence_failures_total", "counter", "Failed attempts at renewing the evidence.",
         (double)m->evidence_failures},
        {"blindbox_evidence_age_seconds", "gauge", "Age of the evidence that new connections get.",
         m->evidence_age_seconds},
    };
    return write_plain(rows, sizeof rows / sizeof rows[0], out);
}

static enum bb_err write_speech(const struct bb_metrics *m, struct bb_buf *out) {
    const struct plain rows[] = {
        {"blindbox_speech_requests_working", "gauge",
         "Requests that the speech worker has, queued or running.", (double)m->speech_working},
        {"blindbox_speech_requests_held", "gauge", "Requests that wait for a speech worker to start.",
         (double)m->speech_held},
        {"blindbox_worker_restarts_total", "counter", "Speech workers after the first.",
         (double)m->speech_restarts},
        {"blindbox_speech_audio_seconds_total", "counter", "Length of the recordings transcribed.",
         m->speech_audio_seconds},
        {"blindbox_speech_queue_seconds_total", "counter", "Time that requests waited in the worker's queue.",
         m->speech_queue_seconds},
        {"blindbox_speech_decode_seconds_total", "counter", "Time spent decoding audio.",
         m->speech_decode_seconds},
        {"blindbox_speech_infer_seconds_total", "counter", "Time spent in the inference engine.",
         m->speech_infer_seconds},
    };
    return write_plain(rows, sizeof rows / sizeof rows[0], out);
}

enum bb_err bb_metrics_write(const struct bb_metrics *metrics, struct bb_buf *out) {
    enum bb_err (*const writers[])(const struct bb_metrics *, struct bb_buf *) = {
        write_requests, write_histograms, write_handshakes, write_gate, write_speech,
    };
    enum bb_err err = BB_OK;
    for (size_t i = 0; i < sizeof writers / sizeof writers[0] && err == BB_OK; i++)
        err = writers[i](metrics, out);
    return err;
}
