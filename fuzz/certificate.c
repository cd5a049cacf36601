/* Certificates: parsed, put into words, and judged as evidence, which nothing in the corpus may pass. */
#include "crypto/cert.h"

#include <blindbox/verify.h>
#include <string.h>

#include "target.h"

#define WORDS_MAX 16384u

static void promise_printable(const char *text) {
    for (; *text != '\0'; text++)
        PROMISE(*text >= ' ' && *text <= '~');
}

static void describe(const struct bb_cert *cert) {
    struct bb_buf words BB_CLEANUP_BUF = BB_BUF_INIT(WORDS_MAX);
    struct bb_view evidence;
    promise_printable(bb_cert_subject_text(cert));
    promise_printable(bb_cert_common_name(cert));
    PROMISE(bb_cert_issuer_text(cert, &words) == BB_OK && bb_cert_key_text(cert, &words) == BB_OK);
    promise_printable(bb_buf_str(&words));
    PROMISE(bb_cert_path_length(cert) >= -1);
    if (bb_cert_extension(cert, BB_OID_EVIDENCE, &evidence) == BB_OK)
        PROMISE(evidence.len <= bb_cert_der(cert).len);
    if (bb_cert_check_signature(cert, cert) == BB_OK)
        PROMISE(bb_cert_spki(cert).len > 0);
}

static void judge(const uint8_t *data, size_t size) {
    static const uint8_t pcr[BB_PCR_LEN] = {1};
    static struct bb_policy *policy;
    struct bb_document *document = NULL;
    if (policy == NULL) {
        policy = bb_policy_new();
        PROMISE(policy != NULL && bb_policy_trust_aws(policy) == BB_OK);
        PROMISE(bb_policy_expect_pcr(policy, 0, pcr) == BB_OK);
    }
    PROMISE(bb_verify_certificate(data, size, policy, INT64_C(1800000000000), NULL, &document) != BB_OK);
    PROMISE(document == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bb_cert *cert BB_CLEANUP_CERT = NULL, *from_pem BB_CLEANUP_CERT = NULL;
    struct bb_view rest;
    if (bb_cert_parse(bb_view(data, size), &cert) == BB_OK) {
        PROMISE(bb_view_equal(bb_cert_der(cert), bb_view(data, size)));
        describe(cert);
    }
    if (bb_cert_parse_pem(bb_view(data, size), &from_pem, &rest) == BB_OK)
        describe(from_pem);
    judge(data, size);
    return 0;
}
