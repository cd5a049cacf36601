/* See attestation.h. */
#include "enclave/gate/attestation.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"

struct bb_attestation_wait {
    LIST_ENTRY(bb_attestation_wait) entry;
    bb_attest_cb *done;
    void *arg;
};

struct job {
    bool used;
    uint8_t user_data[BB_ATTESTATION_USER_DATA_MAX];
    size_t user_data_len;
    uint8_t nonce[BB_ATTESTATION_NONCE_MAX];
    size_t nonce_len;
    LIST_HEAD(, bb_attestation_wait) waits;
};

struct bb_attestation {
    struct bb_control *control;
    struct bb_view public_key;
    int64_t filled_ms; /* the token bucket: thousandths of a document, at this time */
    int64_t thousandths;
    struct job jobs[BB_ATTESTATIONS_MAX];
};

enum bb_err bb_attestation_new(struct bb_control *control, struct bb_view public_key,
                               struct bb_attestation **out) {
    struct bb_attestation *attestation = calloc(1, sizeof *attestation);
    if (attestation == NULL)
        return BB_ERR_NO_MEMORY;
    attestation->control = control;
    attestation->public_key = public_key;
    attestation->filled_ms = bb_clock_monotonic_ms();
    attestation->thousandths = BB_ATTESTATIONS_BURST * INT64_C(1000);
    *out = attestation;
    return BB_OK;
}

void bb_attestation_cancel(struct bb_attestation_wait *wait) {
    LIST_REMOVE(wait, entry);
    free(wait);
}

void bb_attestation_free(struct bb_attestation *attestation) {
    if (attestation == NULL)
        return;
    for (size_t i = 0; i < BB_ATTESTATIONS_MAX; i++)
        while (!LIST_EMPTY(&attestation->jobs[i].waits))
            bb_attestation_cancel(LIST_FIRST(&attestation->jobs[i].waits));
    free(attestation);
}

static void on_document(void *arg, enum bb_err err, struct bb_view document) {
    struct job *job = arg;
    while (!LIST_EMPTY(&job->waits)) {
        struct bb_attestation_wait *wait = LIST_FIRST(&job->waits);
        bb_attest_cb *done = wait->done;
        void *done_arg = wait->arg;
        bb_attestation_cancel(wait);
        done(done_arg, err, document);
    }
    job->used = false;
}

static bool take_token(struct bb_attestation *attestation) {
    const int64_t most = BB_ATTESTATIONS_BURST * INT64_C(1000);
    int64_t now = bb_clock_monotonic_ms();
    int64_t filled = attestation->thousandths + (now - attestation->filled_ms) * BB_ATTESTATIONS_PER_SECOND;
    attestation->filled_ms = now;
    attestation->thousandths = filled < most ? filled : most;
    if (attestation->thousandths < 1000)
        return false;
    attestation->thousandths -= 1000;
    return true;
}

static enum bb_err start(struct bb_attestation *attestation, struct bb_view user_data, struct bb_view nonce,
                         struct job **out) {
    struct job *job = NULL;
    for (size_t i = 0; i < BB_ATTESTATIONS_MAX && job == NULL; i++)
        if (!attestation->jobs[i].used)
            job = &attestation->jobs[i];
    if (job == NULL || !take_token(attestation))
        return BB_ERR_BUSY;
    enum bb_err err =
        bb_control_attest(attestation->control, attestation->public_key, user_data, nonce, on_document, job);
    if (err != BB_OK)
        return err;
    job->used = true;
    if (user_data.len > 0)
        memcpy(job->user_data, user_data.data, user_data.len);
    job->user_data_len = user_data.len;
    if (nonce.len > 0)
        memcpy(job->nonce, nonce.data, nonce.len);
    job->nonce_len = nonce.len;
    *out = job;
    return BB_OK;
}

static struct job *find_same(struct bb_attestation *attestation, struct bb_view user_data,
                             struct bb_view nonce) {
    for (size_t i = 0; i < BB_ATTESTATIONS_MAX; i++) {
        struct job *job = &attestation->jobs[i];
        if (job->used && bb_view_equal(bb_view(job->nonce, job->nonce_len), nonce) &&
            bb_view_equal(bb_view(job->user_data, job->user_data_len), user_data))
            return job;
    }
    return NULL;
}

enum bb_err bb_attestation_request(struct bb_attestation *attestation, struct bb_view user_data,
                                   struct bb_view nonce, bb_attest_cb *done, void *arg,
                                   struct bb_attestation_wait **wait) {
    if (user_data.len > BB_ATTESTATION_USER_DATA_MAX || nonce.len > BB_ATTESTATION_NONCE_MAX)
        return BB_ERR_TOO_LARGE;
    struct bb_attestation_wait *made = calloc(1, sizeof *made);
    if (made == NULL)
        return BB_ERR_NO_MEMORY;
    struct job *job = find_same(attestation, user_data, nonce);
    enum bb_err err = job != NULL ? BB_OK : start(attestation, user_data, nonce, &job);
    if (err != BB_OK) {
        free(made);
        return err;
    }
    made->done = done;
    made->arg = arg;
    LIST_INSERT_HEAD(&job->waits, made, entry);
    *wait = made;
    return BB_OK;
}
