/*
 * The verifier of documents: nothing in the corpus chains to AWS's root, so nothing may pass; the report and
 * the code agree; what the verifier read can also be shown.
 */
#include <blindbox/verify.h>

#include "target.h"

static struct bb_policy *policy;
static struct bb_report *report;

static void prepare(void) {
    static const uint8_t pcr[BB_PCR_LEN] = {1};
    policy = bb_policy_new();
    report = bb_report_new();
    PROMISE(policy != NULL && report != NULL);
    PROMISE(bb_policy_trust_aws(policy) == BB_OK && bb_policy_expect_pcr(policy, 0, pcr) == BB_OK);
}

static void touch(const uint8_t *data, size_t len) {
    volatile uint8_t last;
    if (len > 0) {
        last = data[len - 1];
        (void)last;
    }
}

/* Returns the document's time. */
static int64_t show(const struct bb_document *document) {
    size_t len;
    for (unsigned i = 0; i < BB_PCR_COUNT; i++)
        if (bb_document_pcr(document, i) != NULL)
            touch(bb_document_pcr(document, i), BB_PCR_LEN);
    for (size_t i = 0; i < bb_document_certificate_count(document); i++) {
        const uint8_t *der = bb_document_certificate(document, i, &len);
        touch(der, len);
    }
    const uint8_t *data = bb_document_public_key(document, &len);
    touch(data, len);
    data = bb_document_user_data(document, &len);
    touch(data, len);
    data = bb_document_nonce(document, &len);
    touch(data, len);
    return bb_document_timestamp_ms(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct bb_expectation expectation = {.nonce = (const uint8_t *)"n", .nonce_len = 1};
    struct bb_document *shown = NULL, *judged = NULL;
    int64_t now_ms = INT64_C(1800000000000);
    if (policy == NULL)
        prepare();
    enum bb_err read = bb_document_parse_unverified(data, size, &shown);
    PROMISE((read == BB_OK) == (shown != NULL));
    if (shown != NULL && show(shown) > 0)
        now_ms = show(shown);
    PROMISE(bb_verify_document(data, size, policy, &expectation, now_ms, report, &judged) != BB_OK);
    PROMISE(judged == NULL && bb_report_failure(report) != NULL && bb_report_count(report) > 0);
    for (size_t i = 0; i < bb_report_count(report); i++)
        PROMISE(bb_report_sentence(report, i) != NULL);
    bb_document_free(shown);
    return 0;
}
