/* A request as routes see it. */
#ifndef BB_GATE_REQUEST_H
#define BB_GATE_REQUEST_H

#include "crypto/fresh.h"
#include "enclave/gate/fault.h"
#include "enclave/gate/gate.h"
#include "enclave/gate/http.h"
#include "enclave/gate/route.h"

struct bb_request {
    struct bb_gate *gate;
    struct bb_conn *conn;
    const struct bb_route *route; /* NULL: none fits */
    enum bb_dialect dialect;
    char parameter[BB_ROUTE_PARAMETER_MAX + 1]; /* what {…} of the route's pattern stands for */
    struct bb_view query;                       /* behind the question mark; .data is NULL without one */
    struct bb_view content_type;
    int64_t started_ms;
    bool is_head;
    bool answered;
    /* The route's own; `end` is called exactly once for a state that was set, whether the request was
     * answered or its client went away. */
    void *state;
    void (*end)(void *state);
};

/* Exactly one of these, once, at any time between begin() and end; the request's buffers stay valid until the
 * caller returns to the event loop. */
void bb_request_answer(struct bb_request *request, const struct bb_answer *answer);
void bb_request_fail(struct bb_request *request, const struct bb_fault *fault);
/* 200 with this body. */
void bb_request_say(struct bb_request *request, const char *content_type, struct bb_view body);
/* The evidence of the request's connection, borrowed. */
struct bb_evidence *bb_request_evidence(const struct bb_request *request);
/* The TLS exporter of the request's connection. BB_ERR_CRYPTO. */
BB_MUST_USE enum bb_err bb_request_exporter(const struct bb_request *request,
                                            uint8_t out[BB_FRESH_EXPORTER_LEN]);

#endif
