/* See evidence.h. A renewal is two documents in a row: the one inside the certificate, then the one that
 * names the certificate. */
#include "enclave/gate/evidence.h"

#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "crypto/key.h"
#include "enclave/gate/document.h"
#include "tls/evidence_cert.h"

#define DOCUMENT_MAX 16384u /* NSM responses end at 12288 bytes */

struct bb_evidence_keeper {
    struct bb_control *control;
    struct bb_metrics *metrics;
    unsigned renew_seconds;
    void (*renewed)(void *arg);
    void *arg;
    struct bb_key *key;
    struct bb_buf spki;
    struct event *timer;
    struct bb_evidence *current;
    struct bb_evidence *next; /* being made */
};

struct bb_evidence *bb_evidence_ref(struct bb_evidence *evidence) {
    evidence->references++;
    return evidence;
}

void bb_evidence_unref(struct bb_evidence *evidence) {
    if (evidence == NULL || --evidence->references > 0)
        return;
    bb_tls_server_free(evidence->tls);
    bb_buf_done(&evidence->certificate);
    bb_buf_done(&evidence->attestation);
    free(evidence);
}

bool bb_evidence_is_fresh(const struct bb_evidence *evidence, int64_t now_ms) {
    return now_ms - evidence->made_ms < evidence->life_ms;
}

static void wake_in(struct bb_evidence_keeper *keeper, int64_t ms) {
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    (void)evtimer_add(keeper->timer, &delay);
}

static void failed(struct bb_evidence_keeper *keeper) {
    bb_evidence_unref(keeper->next);
    keeper->next = NULL;
    keeper->metrics->evidence_failures++;
    wake_in(keeper, BB_EVIDENCE_RETRY_MS);
}

/* Half of the signer's remaining life, when that is sooner than the configured interval. */
static int64_t renew_after_ms(const struct bb_evidence_keeper *keeper) {
    int64_t interval = (int64_t)keeper->renew_seconds * 1000;
    int64_t half_life = keeper->current->life_ms / 2;
    if (half_life < BB_EVIDENCE_RETRY_MS)
        half_life = BB_EVIDENCE_RETRY_MS;
    return half_life < interval ? half_life : interval;
}

/* The second document has come: the new evidence is complete. */
static void on_attestation(void *arg, enum bb_err err, struct bb_view document) {
    struct bb_evidence_keeper *keeper = arg;
    struct bb_evidence *next = keeper->next;
    if (err == BB_OK)
        err = bb_buf_append(&next->attestation, document.data, document.len);
    if (err != BB_OK) {
        failed(keeper);
        return;
    }
    bb_evidence_unref(keeper->current);
    keeper->current = next;
    keeper->next = NULL;
    keeper->metrics->evidence_renewals++;
    wake_in(keeper, renew_after_ms(keeper));
    keeper->renewed(keeper->arg);
}

static enum bb_err make_certificate(struct bb_evidence_keeper *keeper, struct bb_view document) {
    struct bb_evidence *next = keeper->next;
    struct bb_document_facts facts;
    enum bb_err err = bb_document_read_facts(document, &facts);
    if (err == BB_OK)
        err = bb_evidence_cert_make(keeper->key, document, facts.timestamp_ms, &next->certificate);
    if (err == BB_OK)
        err = bb_sha256(bb_buf_view(&next->certificate), next->certificate_sha256);
    if (err == BB_OK)
        err = bb_tls_server_new(keeper->key, bb_buf_view(&next->certificate), &next->tls);
    if (err != BB_OK)
        return err;
    next->made_ms = bb_clock_monotonic_ms();
    next->life_ms = facts.leaf_not_after_ms - facts.timestamp_ms;
    return BB_OK;
}

static void on_document(void *arg, enum bb_err err, struct bb_view document) {
    struct bb_evidence_keeper *keeper = arg;
    uint8_t user_data[BB_USER_DATA_NAMED_LEN];
    if (err == BB_OK)
        err = make_certificate(keeper, document);
    if (err == BB_OK) {
        bb_user_data_named(keeper->next->certificate_sha256, user_data);
        err =
            bb_control_attest(keeper->control, bb_buf_view(&keeper->spki),
                              bb_view(user_data, sizeof user_data), bb_view(NULL, 0), on_attestation, keeper);
    }
    if (err != BB_OK)
        failed(keeper);
}

static void renew(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    struct bb_evidence_keeper *keeper = arg;
    keeper->next = calloc(1, sizeof *keeper->next);
    enum bb_err err = BB_ERR_NO_MEMORY;
    if (keeper->next != NULL) {
        *keeper->next = (struct bb_evidence){.references = 1,
                                             .certificate = BB_BUF_INIT(DOCUMENT_MAX + 4096),
                                             .attestation = BB_BUF_INIT(DOCUMENT_MAX)};
        err = bb_control_attest(keeper->control, bb_buf_view(&keeper->spki), bb_view(NULL, 0),
                                bb_view(NULL, 0), on_document, keeper);
    }
    if (err != BB_OK)
        failed(keeper);
}

enum bb_err bb_evidence_keeper_new(struct event_base *base, struct bb_control *control,
                                   struct bb_metrics *metrics, unsigned renew_seconds,
                                   void (*renewed)(void *arg), void *arg, struct bb_evidence_keeper **out) {
    struct bb_evidence_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL)
        return BB_ERR_NO_MEMORY;
    *keeper = (struct bb_evidence_keeper){.control = control,
                                          .metrics = metrics,
                                          .renew_seconds = renew_seconds,
                                          .renewed = renewed,
                                          .arg = arg,
                                          .spki = BB_BUF_INIT(256)};
    enum bb_err err = bb_key_generate(BB_CURVE_P256, &keeper->key);
    if (err == BB_OK)
        err = bb_key_spki(keeper->key, &keeper->spki);
    if (err == BB_OK) {
        keeper->timer = evtimer_new(base, renew, keeper);
        err = keeper->timer != NULL ? BB_OK : BB_ERR_NO_MEMORY;
    }
    if (err != BB_OK) {
        bb_evidence_keeper_free(keeper);
        return err;
    }
    wake_in(keeper, 0);
    *out = keeper;
    return BB_OK;
}

void bb_evidence_keeper_free(struct bb_evidence_keeper *keeper) {
    if (keeper == NULL)
        return;
    if (keeper->timer != NULL)
        event_free(keeper->timer);
    bb_evidence_unref(keeper->current);
    bb_evidence_unref(keeper->next);
    bb_key_free(keeper->key);
    bb_buf_done(&keeper->spki);
    free(keeper);
}

struct bb_evidence *bb_evidence_current(const struct bb_evidence_keeper *keeper) {
    return keeper->current;
}

struct bb_view bb_evidence_public_key(const struct bb_evidence_keeper *keeper) {
    return bb_buf_view(&keeper->spki);
}
