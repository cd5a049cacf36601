/*
 * See chain.h. The chain is as the document gives it and is not searched for: the first certificate must be a
 * root that the policy pins by its SHA-256, each further one must be issued by the one before it, and the
 * last one is the leaf that signed the document. Times are judged by the verifier's clock.
 */
#include "attest/chain.h"

#include <stdio.h>

#include "attest/text.h"

struct judging {
    const struct bb_chain *chain;
    size_t index;
    const struct bb_cert *cert, *issuer; /* issuer: NULL for the root */
    const struct bb_policy *policy;
    int64_t now_ms;
    struct bb_verdict *verdict;
    char name[48];
};

void bb_chain_done(struct bb_chain *chain) {
    for (size_t i = 0; i < chain->count; i++)
        bb_cert_free(chain->certs[i]);
    chain->count = 0;
}

enum bb_err bb_chain_load(struct bb_chain *chain, const struct bb_document *document,
                          struct bb_verdict *verdict) {
    enum bb_err first = BB_OK;
    *chain = (struct bb_chain){.count = bb_document_certificate_count(document)};
    for (size_t i = 0; i < chain->count; i++) {
        size_t len;
        const uint8_t *der = bb_document_certificate(document, i, &len);
        enum bb_err err = bb_cert_parse(bb_view(der, len), &chain->certs[i]);
        if (err != BB_OK)
            bb_verdict_fail(verdict, err, "Chain", "certificate %zu of %zu cannot be parsed", i + 1,
                            chain->count);
        if (first == BB_OK)
            first = err;
    }
    return first;
}

const struct bb_cert *bb_chain_leaf(const struct bb_chain *chain) {
    return chain->count > 0 ? chain->certs[chain->count - 1] : NULL;
}

static bool is_leaf(const struct judging *j) {
    return j->index + 1 == j->chain->count;
}

static const char *subject(const struct bb_cert *cert) {
    return bb_cert_common_name(cert);
}

static enum bb_err check_curve(struct judging *j) {
    if (bb_cert_on_curve(j->cert, BB_CURVE_P384))
        return BB_OK;
    return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_CURVE, j->name, "the key of %s is not on the curve P-384",
                           subject(j->cert));
}

static enum bb_err check_critical(struct judging *j) {
    if (!bb_cert_has_unknown_critical(j->cert))
        return BB_OK;
    return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_CRITICAL, j->name,
                           "%s has a critical extension that is not known here", subject(j->cert));
}

static enum bb_err check_ca(struct judging *j) {
    if (is_leaf(j) && bb_cert_is_ca(j->cert))
        return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_LEAF_IS_CA, j->name,
                               "the leaf certificate %s is a CA certificate", subject(j->cert));
    if (!is_leaf(j) && !bb_cert_is_ca(j->cert))
        return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_NOT_CA, j->name,
                               "%s issues certificates and is not a CA certificate", subject(j->cert));
    return BB_OK;
}

/* Self-issued certificates count like any other here: AWS has none, so the stricter reading costs nothing. */
static enum bb_err check_path_length(struct judging *j) {
    int allowed = bb_cert_path_length(j->cert);
    if (is_leaf(j) || allowed < 0)
        return BB_OK;
    size_t below = j->chain->count - j->index - 2;
    if (below <= (size_t)allowed)
        return BB_OK;
    return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_PATH_LENGTH, j->name,
                           "%s allows %d CA certificates below it, and there are %zu", subject(j->cert),
                           allowed, below);
}

static enum bb_err check_key_usage(struct judging *j) {
    bool permitted = is_leaf(j) ? bb_cert_may_sign_data(j->cert) : bb_cert_may_sign_certificates(j->cert);
    if (permitted)
        return BB_OK;
    return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_KEY_USAGE, j->name,
                           "the key usage of %s does not permit signing %s", subject(j->cert),
                           is_leaf(j) ? "data" : "certificates");
}

static enum bb_err check_issuer(struct judging *j) {
    if (j->index == 0 || j->issuer == NULL)
        return BB_OK;
    if (bb_view_equal(bb_cert_issuer_der(j->cert), bb_cert_subject_der(j->issuer)))
        return BB_OK;
    return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_ISSUER, j->name, "the issuer of %s is not %s",
                           subject(j->cert), subject(j->issuer));
}

static enum bb_err check_signature(struct judging *j) {
    if (j->index == 0 || j->issuer == NULL)
        return BB_OK;
    enum bb_err err = bb_cert_check_signature(j->cert, j->issuer);
    if (err == BB_OK)
        return BB_OK;
    return bb_verdict_fail(j->verdict, err, j->name, "%s is not signed by %s", subject(j->cert),
                           subject(j->issuer));
}

/* Whole seconds, both ends included (RFC 5280 section 4.1.2.5). Only the start has a tolerance: AWS's leaf is
 * as young as the document, and a clock that is a little slow must not find it unborn. */
static enum bb_err check_validity(struct judging *j) {
    char name[64], from[BB_TIME_TEXT_MAX], to[BB_TIME_TEXT_MAX], now[BB_TIME_TEXT_MAX];
    snprintf(name, sizeof name, "Validity of certificate %zu", j->index + 1);
    bb_text_time(bb_cert_not_before_ms(j->cert), from);
    bb_text_time(bb_cert_not_after_ms(j->cert), to);
    bb_text_time(j->now_ms, now);
    if (j->now_ms / 1000 > bb_cert_not_after_ms(j->cert) / 1000)
        return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_EXPIRED, name, "%s expired at %s, and it is %s",
                               subject(j->cert), to, now);
    if (j->now_ms + j->policy->skew_ms < bb_cert_not_before_ms(j->cert))
        return bb_verdict_fail(j->verdict, BB_ERR_CHAIN_NOT_YET_VALID, name,
                               "%s is not valid before %s, and it is %s", subject(j->cert), from, now);
    bb_verdict_pass(j->verdict, name, "valid from %s to %s", from, to);
    return BB_OK;
}

static enum bb_err (*const form_checks[])(struct judging *) = {
    check_issuer, check_signature, check_curve, check_critical, check_ca, check_key_usage, check_path_length,
};

static enum bb_err check_certificate(struct judging *j) {
    enum bb_err first = BB_OK;
    snprintf(j->name, sizeof j->name, "Certificate %zu of %zu", j->index + 1, j->chain->count);
    for (size_t i = 0; i < sizeof form_checks / sizeof *form_checks; i++) {
        enum bb_err err = form_checks[i](j);
        if (first == BB_OK)
            first = err;
    }
    if (first == BB_OK)
        bb_verdict_pass(j->verdict, j->name, "%s is %s%s", subject(j->cert),
                        j->index == 0 ? "the root" : "signed by ",
                        j->issuer == NULL ? "" : subject(j->issuer));
    enum bb_err err = check_validity(j);
    return first == BB_OK ? err : first;
}

static enum bb_err check_root(const struct bb_chain *chain, const struct bb_policy *policy,
                              struct bb_verdict *verdict) {
    static const char name[] = "Chain root";
    uint8_t digest[BB_SHA256_LEN];
    char hex[BB_BYTES_TEXT_MAX];
    const struct bb_cert *root = chain->certs[0];
    if (root == NULL)
        return BB_ERR_CHAIN_PARSE;
    enum bb_err err = bb_sha256(bb_cert_der(root), digest);
    if (err != BB_OK)
        return bb_verdict_fail(verdict, err, name, "the root cannot be hashed");
    bb_text_bytes(bb_view(digest, sizeof digest), hex);
    if (!bb_policy_trusts(policy, digest))
        return bb_verdict_fail(verdict, BB_ERR_CHAIN_ROOT, name,
                               "the chain starts at %s with SHA-256 %s, which is none of the policy's roots",
                               bb_cert_subject_text(root), hex);
    bb_verdict_pass(verdict, name, "%s with SHA-256 %s is a root of the policy", bb_cert_subject_text(root),
                    hex);
    return BB_OK;
}

enum bb_err bb_chain_check(const struct bb_chain *chain, const struct bb_policy *policy, int64_t now_ms,
                           struct bb_verdict *verdict) {
    enum bb_err first = check_root(chain, policy, verdict);
    for (size_t i = 0; i < chain->count; i++) {
        struct judging j = {.chain = chain,
                            .index = i,
                            .cert = chain->certs[i],
                            .policy = policy,
                            .now_ms = now_ms,
                            .verdict = verdict};
        enum bb_err err = BB_ERR_CHAIN_PARSE;
        j.issuer = i > 0 ? chain->certs[i - 1] : NULL;
        if (j.cert != NULL)
            err = check_certificate(&j);
        if (first == BB_OK)
            first = err;
    }
    return first;
}
