/*
 * bb_verify_fresh(): see blindbox/verify.h. The document is judged like any other; what makes it fresh is
 * that the NSM has signed the caller's nonce, and what makes it this connection's is that the enclave's own
 * TLS has put the exporter beside it, a value that no two connections share.
 */
#include "crypto/fresh.h"
#include "attest/judge.h"
#include "attest/text.h"
#include "crypto/cert.h"

/* What the document's user_data must say. */
static enum bb_err expect(const struct bb_binding *binding, const struct bb_cert *cert,
                          struct bb_fresh *expected) {
    struct bb_view spki = bb_cert_spki(cert);
    enum bb_err err = bb_sha256(spki, expected->spki_sha256);
    if (err == BB_OK)
        err =
            bb_sha256(bb_view(binding->certificate, binding->certificate_len), expected->certificate_sha256);
    for (size_t i = 0; i < BB_EXPORTER_LEN; i++)
        expected->exporter[i] = binding->exporter[i];
    return err;
}

struct bound_hash {
    const char *name, *noun;
    enum bb_err err;
    const uint8_t *actual, *expected;
};

static enum bb_err check_hash(const struct bound_hash *bound, struct bb_verdict *verdict) {
    char actual[BB_BYTES_TEXT_MAX], expected[BB_BYTES_TEXT_MAX];
    struct bb_view is = bb_view(bound->actual, BB_SHA256_LEN);
    struct bb_view wanted = bb_view(bound->expected, BB_SHA256_LEN);
    bb_text_bytes(is, actual);
    bb_text_bytes(wanted, expected);
    if (!bb_view_equal_consttime(is, wanted))
        return bb_verdict_fail(verdict, bound->err, bound->name, "%s: its %s is %s, expected %s",
                               bb_err_sentence(bound->err), bound->noun, actual, expected);
    bb_verdict_pass(verdict, bound->name, "%s %s, as expected", bound->noun, actual);
    return BB_OK;
}

static enum bb_err check_binding(const struct bb_document *document, const struct bb_fresh *expected,
                                 struct bb_verdict *verdict) {
    struct bb_fresh actual;
    enum bb_err first = bb_fresh_read(document->user_data, &actual);
    if (first != BB_OK)
        return bb_verdict_fail(verdict, first, "User data",
                               "the document's user data is not that of fresh evidence: %zu bytes, expected "
                               "%u that begin with BBEVID01",
                               document->user_data.len, BB_FRESH_USER_DATA_LEN);
    const struct bound_hash bounds[] = {
        {"Channel binding", "TLS exporter", BB_ERR_CHANNEL_BINDING, actual.exporter, expected->exporter},
        {"Key binding", "key's SHA-256", BB_ERR_KEY_BINDING, actual.spki_sha256, expected->spki_sha256},
        {"Certificate binding", "certificate's SHA-256", BB_ERR_CERTIFICATE_BINDING,
         actual.certificate_sha256, expected->certificate_sha256},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        enum bb_err err = check_hash(&bounds[i], verdict);
        if (first == BB_OK)
            first = err;
    }
    return first;
}

static void judge(const struct bb_judging_input *input, const struct bb_fresh *expected,
                  struct bb_verdict *verdict, struct bb_document **judged) {
    bb_judge_document(input, verdict, judged);
    /* Without an expectation stage there is no document whose fields could be looked at. */
    if (*judged != NULL && (verdict->passed & BB_STAGE_DOCUMENT) != 0)
        bb_verdict_end_stage(verdict, BB_STAGE_BINDING, check_binding(*judged, expected, verdict));
}

static bool complete(const struct bb_binding *binding) {
    return binding != NULL && binding->nonce != NULL && binding->nonce_len >= BB_NONCE_MIN &&
           binding->nonce_len <= BB_NONCE_MAX && binding->exporter != NULL && binding->certificate != NULL;
}

enum bb_err bb_verify_fresh(const uint8_t *bytes, size_t len, const struct bb_policy *policy,
                            const struct bb_binding *binding, int64_t now_ms, struct bb_report *report,
                            struct bb_document **document) {
    struct bb_verdict verdict;
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_document *judged = NULL;
    struct bb_fresh expected;
    bb_verdict_init(&verdict, report);
    if (policy == NULL || document == NULL || (bytes == NULL && len > 0) || !complete(binding) ||
        !bb_judge_time_is_sane(now_ms))
        return bb_verdict_fail(&verdict, BB_ERR_ARGUMENT, "Arguments", "%s",
                               bb_err_sentence(BB_ERR_ARGUMENT));
    enum bb_err err = bb_cert_parse(bb_view(binding->certificate, binding->certificate_len), &cert);
    if (err == BB_OK)
        err = expect(binding, cert, &expected);
    if (err != BB_OK)
        return bb_verdict_fail(&verdict, err == BB_ERR_CHAIN_PARSE ? BB_ERR_CERTIFICATE : err,
                               "Server certificate", "the server's certificate cannot be used: %s",
                               bb_err_sentence(err));
    struct bb_view spki = bb_cert_spki(cert);
    const struct bb_expectation expectation = {.public_key = spki.data,
                                               .public_key_len = spki.len,
                                               .nonce = binding->nonce,
                                               .nonce_len = binding->nonce_len};
    const struct bb_judging_input input = {
        .bytes = bb_view(bytes, len), .policy = policy, .expectation = &expectation, .now_ms = now_ms};
    judge(&input, &expected, &verdict, &judged);
    return bb_judge_finish(&verdict, BB_STAGES_OF_FRESH, judged, document);
}
