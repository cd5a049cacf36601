/* Which function serves which path: one table. */
#ifndef BB_GATE_ROUTE_H
#define BB_GATE_ROUTE_H

#include "base/bytes.h"

#define BB_ROUTE_PARAMETER_MAX 128u

struct bb_request;

struct bb_route {
    const char *method;
    const char *pattern; /* a path; its last segment may be a parameter, "{id}" */
    /* The header is there; may refuse. NULL: nothing to do. */
    void (*begin)(struct bb_request *request);
    /* More of the body; may refuse. NULL: bodies are read and ignored. */
    void (*body)(struct bb_request *request, struct bb_view bytes);
    /* The request is complete: answer now or later. */
    void (*serve)(struct bb_request *request);
};

struct bb_route_match {
    const struct bb_route *route; /* NULL: none */
    char parameter[BB_ROUTE_PARAMETER_MAX + 1];
    char allow[32]; /* when only the method does not fit: those that do; else empty */
};

/* HEAD is served by GET's routes. */
void bb_route_find(const char *method, struct bb_view path, struct bb_route_match *out);
/*
 * Splits a request target (origin form or absolute form, RFC 9112 section 3.2) into path and query, both
 * views into it. BB_ERR_ARGUMENT for other forms.
 */
BB_MUST_USE enum bb_err bb_route_split_target(struct bb_view target, struct bb_view *path,
                                              struct bb_view *query);
/* The value of a query's parameter, as sent. False when it is not there. */
bool bb_route_query(struct bb_view query, const char *name, struct bb_view *value);

/* routes_*.c */
void bb_route_enclave(struct bb_request *request);
void bb_route_enclave_cert(struct bb_request *request);
void bb_route_enclave_attestation(struct bb_request *request);
void bb_route_evidence_begin(struct bb_request *request);
void bb_route_evidence_body(struct bb_request *request, struct bb_view bytes);
void bb_route_evidence(struct bb_request *request);
void bb_route_predict_begin(struct bb_request *request);
void bb_route_transcriptions_begin(struct bb_request *request);
void bb_route_speech_body(struct bb_request *request, struct bb_view bytes);
void bb_route_speech(struct bb_request *request);
void bb_route_models(struct bb_request *request);
void bb_route_model(struct bb_request *request);
void bb_route_healthz(struct bb_request *request);
void bb_route_readyz(struct bb_request *request);
void bb_route_metrics(struct bb_request *request);

#endif
