/*
 * The gate's link to init (docs/ARCHITECTURE.md section 3): asks for attestation documents, takes workers'
 * sockets and the order to drain. init is trusted to keep to the protocol, and checked all the same.
 */
#ifndef BB_GATE_CONTROL_H
#define BB_GATE_CONTROL_H

#include "base/bytes.h"

struct event_base;
struct bb_control;

#define BB_CONTROL_PENDING_MAX 64u   /* documents asked for and not answered */
#define BB_CONTROL_ANSWER_MS   10000 /* then a request for a document has failed */

struct bb_control_events {
    void (*worker)(void *arg, int fd); /* a speech worker's socket; the callee owns it */
    void (*drain)(void *arg);
    void (*closed)(void *arg); /* init is gone or broke the protocol */
};

/* Never called before bb_control_attest() has returned. document is empty unless err is BB_OK. */
typedef void bb_attest_cb(void *arg, enum bb_err err, struct bb_view document);

/* fd stays the caller's. events must outlive the link. */
BB_MUST_USE enum bb_err bb_control_new(struct event_base *base, int fd,
                                       const struct bb_control_events *events, void *arg,
                                       struct bb_control **out);
void bb_control_free(struct bb_control *control);
/*
 * Asks for a document with these contents (an empty view: null). BB_ERR_BUSY: too many are asked for already.
 * The callback gets BB_ERR_NSM when the broker refuses, BB_ERR_TIMEOUT when it does not answer.
 */
BB_MUST_USE enum bb_err bb_control_attest(struct bb_control *control, struct bb_view public_key,
                                          struct bb_view user_data, struct bb_view nonce, bb_attest_cb *done,
                                          void *arg);
BB_MUST_USE enum bb_err bb_control_say_ready(struct bb_control *control);

#endif
