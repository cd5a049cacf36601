/*
 * What went wrong with a request, and how its caller hears of it: the one place that maps reasons and limits
 * to status codes and sentences. No sentence ever repeats what a caller sent.
 */
#ifndef BB_GATE_FAULT_H
#define BB_GATE_FAULT_H

#include "base/bytes.h"
#include "enclave/limits.h"

/* The form of an error answer. */
enum bb_dialect {
    BB_DIALECT_OPENAI, /* {"error":{"message","type","param","code"}}: /v1 */
    BB_DIALECT_DETAIL, /* {"detail":"…"}: the routes of the first BlindBox */
    BB_DIALECT_TEXT,   /* one line of text: /enclave, /healthz, /readyz, /metrics */
    BB_DIALECT_JSON,   /* {"error":"…"}: everything else */
};

#define BB_FAULT_MESSAGE_MAX 512u

struct bb_fault {
    int status;
    int retry_after_s; /* 0: no Retry-After */
    bool close;        /* the connection cannot go on */
    const char *allow; /* the Allow header of a 405, or NULL */
    const char *param; /* the request's field that is at fault, or NULL */
    const char *code;  /* a machine-readable reason, or NULL */
    char message[BB_FAULT_MESSAGE_MAX];
};

/* A fault with a sentence of its own. */
void bb_fault_set(struct bb_fault *fault, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/*
 * The fault that an error code stands for when a recording is transcribed. detail is the worker's sentence
 * for the caller, or empty; limits gives the values that sentences name.
 */
void bb_fault_from_err(struct bb_fault *fault, enum bb_err err, struct bb_view detail,
                       const struct bb_limits *limits);
/* The dialect of a path's callers. */
enum bb_dialect bb_dialect_of_path(struct bb_view path);
/* Writes the answer's body; *content_type is static. */
BB_MUST_USE enum bb_err bb_fault_write(const struct bb_fault *fault, enum bb_dialect dialect,
                                       struct bb_buf *out, const char **content_type);

#endif
