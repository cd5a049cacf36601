/*
 * bb_verify_certificate(): see blindbox/verify.h. The certificate vouches for nothing by itself, anybody can
 * make one; it carries the document, and the document names the certificate's key.
 */
#include "attest/judge.h"
#include "attest/policy_internal.h"
#include "attest/text.h"
#include "crypto/cert.h"

#define NAME "Server certificate"

static enum bb_err refuse(struct bb_verdict *verdict, const char *reason) {
    return bb_verdict_fail(verdict, BB_ERR_CERTIFICATE, NAME, "the server's certificate %s", reason);
}

static enum bb_err check_form(const struct bb_cert *cert, struct bb_verdict *verdict) {
    if (!bb_cert_on_curve(cert, BB_CURVE_P256))
        return refuse(verdict, "has a key that is not on the curve P-256");
    if (!bb_view_equal(bb_cert_issuer_der(cert), bb_cert_subject_der(cert)))
        return refuse(verdict, "is not issued by itself");
    enum bb_err err = bb_cert_check_signature(cert, cert);
    if (err == BB_ERR_CHAIN_SIGNATURE)
        return refuse(verdict, "is not signed by its own key");
    if (err != BB_OK)
        return bb_verdict_fail(verdict, err, NAME, "%s", bb_err_sentence(err));
    if (bb_cert_has_unknown_critical(cert))
        return refuse(verdict, "has a critical extension that is not known here");
    if (!bb_cert_may_sign_data(cert))
        return refuse(verdict, "has a key usage that does not permit signing data");
    bb_verdict_pass(verdict, NAME, "P-256, signed by its own key");
    return BB_OK;
}

static enum bb_err check_validity(const struct bb_cert *cert, const struct bb_policy *policy, int64_t now_ms,
                                  struct bb_verdict *verdict) {
    static const char name[] = "Validity of the server certificate";
    char from[BB_TIME_TEXT_MAX], to[BB_TIME_TEXT_MAX], now[BB_TIME_TEXT_MAX];
    bb_text_time(bb_cert_not_before_ms(cert), from);
    bb_text_time(bb_cert_not_after_ms(cert), to);
    bb_text_time(now_ms, now);
    if (now_ms / 1000 > bb_cert_not_after_ms(cert) / 1000)
        return bb_verdict_fail(verdict, BB_ERR_CERTIFICATE_EXPIRED, name,
                               "the server's certificate expired at %s, and it is %s", to, now);
    if (now_ms + policy->skew_ms < bb_cert_not_before_ms(cert))
        return bb_verdict_fail(verdict, BB_ERR_CERTIFICATE_NOT_YET_VALID, name,
                               "the server's certificate is not valid before %s, and it is %s", from, now);
    bb_verdict_pass(verdict, name, "valid from %s to %s", from, to);
    return BB_OK;
}

static enum bb_err find_evidence(const struct bb_cert *cert, struct bb_verdict *verdict,
                                 struct bb_view *document) {
    static const char name[] = "Evidence";
    enum bb_err err = bb_cert_extension(cert, BB_OID_EVIDENCE, document);
    if (err == BB_OK) {
        bb_verdict_pass(verdict, name, "the certificate carries a document of %zu bytes", document->len);
        return BB_OK;
    }
    if (err == BB_ERR_NOT_FOUND)
        err = BB_ERR_EVIDENCE_MISSING;
    else if (err == BB_ERR_CHAIN_PARSE)
        err = BB_ERR_EVIDENCE_FORM;
    return bb_verdict_fail(verdict, err, name, "%s", bb_err_sentence(err));
}

static void judge(const struct bb_cert *cert, const struct bb_policy *policy, int64_t now_ms,
                  struct bb_verdict *verdict, struct bb_document **judged) {
    enum bb_err err = check_form(cert, verdict);
    enum bb_err validity = check_validity(cert, policy, now_ms, verdict);
    struct bb_judging_input input = {.policy = policy, .now_ms = now_ms};
    enum bb_err found = find_evidence(cert, verdict, &input.bytes);
    if (err == BB_OK)
        err = validity != BB_OK ? validity : found;
    bb_verdict_end_stage(verdict, BB_STAGE_CERTIFICATE, err);
    if (found != BB_OK)
        return;
    struct bb_view spki = bb_cert_spki(cert);
    const struct bb_expectation expectation = {.public_key = spki.data, .public_key_len = spki.len};
    input.expectation = &expectation;
    bb_judge_document(&input, verdict, judged);
}

enum bb_err bb_verify_certificate(const uint8_t *der, size_t len, const struct bb_policy *policy,
                                  int64_t now_ms, struct bb_report *report, struct bb_document **document) {
    struct bb_verdict verdict;
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_document *judged = NULL;
    bb_verdict_init(&verdict, report);
    if (policy == NULL || document == NULL || (der == NULL && len > 0) || !bb_judge_time_is_sane(now_ms))
        return bb_verdict_fail(&verdict, BB_ERR_ARGUMENT, "Arguments", "%s",
                               bb_err_sentence(BB_ERR_ARGUMENT));
    enum bb_err err = bb_cert_parse(bb_view(der, len), &cert);
    if (err == BB_ERR_CHAIN_PARSE)
        return refuse(&verdict, "cannot be parsed");
    if (err != BB_OK)
        return bb_verdict_fail(&verdict, err, NAME, "%s", bb_err_sentence(err));
    judge(cert, policy, now_ms, &verdict, &judged);
    return bb_judge_finish(&verdict, BB_STAGES_OF_CERTIFICATE, judged, document);
}
