/* Tests of policies: measurement files, roots, getters; and of a document's getters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define ok(call) assert_int_equal((call), BB_OK)
#define PCR_A                                                                                                \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PCR_B                                                                                                \
    "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

static enum bb_err load(struct bb_policy *policy, const char *json) {
    return bb_policy_load_measurements(policy, json, strlen(json));
}

static void assert_pcr(const struct bb_policy *policy, unsigned index, int fill) {
    const uint8_t *value = bb_policy_expected_pcr(policy, index);
    uint8_t expected[BB_PCR_LEN];
    if (fill < 0) {
        assert_null(value);
        return;
    }
    memset(expected, fill, sizeof expected);
    assert_non_null(value);
    assert_memory_equal(value, expected, sizeof expected);
}

static void measurement_files_are_read(void **state) {
    (void)state;
    const char *const good[] = {
        "{\"Measurements\":{\"HashAlgorithm\":\"Sha384 { ... }\",\"PCR0\":\"" PCR_A "\",\"PCR31\":\"" PCR_B
        "\"}}",
        "{\"PCR31\":\"" PCR_B "\",\"PCR0\":\"" PCR_A "\"}",
        " {\n \"Measurements\" : { \"PCR0\": \"" PCR_A "\", \"PCR31\": \"" PCR_B "\" } }\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct bb_policy *policy = bb_policy_new();
        ok(load(policy, good[i]));
        assert_pcr(policy, 0, 0xaa);
        assert_pcr(policy, 31, 0xbb);
        assert_pcr(policy, 1, -1);
        assert_pcr(policy, 32, -1);
        bb_policy_free(policy);
    }
}

static void other_measurement_files_are_refused(void **state) {
    (void)state;
    const char *const bad[] = {
        "",
        "[]",
        "\"PCR0\"",
        "{\"Measurements\":[]}",
        "{\"Measurements\":null}",
        "{\"PCR0\":\"" PCR_A "\"",
        "{\"PCR0\":\"" PCR_A "\"} {}",
        "{\"PCR0\":\"" PCR_A "\",\"PCR0\":\"" PCR_A "\"}",
        "{\"PCR0\":\"" PCR_A "a\"}",
        "{\"PCR0\":\"" PCR_A "aa\"}",
        "{\"PCR0\":\"0x" PCR_A "\"}",
        "{\"PCR0\":\"\"}",
        "{\"PCR0\":null}",
        "{\"PCR0\":0}",
        "{\"PCR32\":\"" PCR_A "\"}",
        "{\"PCR00\":\"" PCR_A "\"}",
        "{\"PCR\":\"" PCR_A "\"}",
        "{\"pcr0\":\"" PCR_A "\"}",
        "{\"PCR0 \":\"" PCR_A "\"}",
        "{\"PCR0\":\"" PCR_A "\",\"PRC8\":\"" PCR_A "\"}",
        "{\"HashAlgorithm\":\"Sha256\",\"PCR0\":\"" PCR_A "\"}",
        "{\"HashAlgorithm\":384,\"PCR0\":\"" PCR_A "\"}",
        "{\"Measurements\":{\"PCR0\":\"" PCR_A "\"},\"PCR1\":\"" PCR_A "\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bb_policy *policy = bb_policy_new();
        if (load(policy, bad[i]) != BB_ERR_JSON)
            fail_msg("%s: %s", bad[i], bb_err_name(load(policy, bad[i])));
        for (unsigned pcr = 0; pcr < BB_PCR_COUNT; pcr++)
            assert_pcr(policy, pcr, -1);
        bb_policy_free(policy);
    }
    const char *const empty[] = {"{}", "{\"Measurements\":{}}", "{\"HashAlgorithm\":\"Sha384 { ... }\"}"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct bb_policy *policy = bb_policy_new();
        assert_int_equal(load(policy, empty[i]), BB_ERR_POLICY_EMPTY);
        bb_policy_free(policy);
    }
    static char huge[64 * 1024 + 1];
    struct bb_policy *policy = bb_policy_new();
    memset(huge, ' ', sizeof huge);
    assert_int_equal(bb_policy_load_measurements(policy, huge, sizeof huge), BB_ERR_TOO_LARGE);
    bb_policy_free(policy);
}

static void a_pcr_is_given_once(void **state) {
    (void)state;
    struct bb_policy *policy = bb_policy_new();
    ok(load(policy, "{\"PCR1\":\"" PCR_A "\"}"));
    assert_int_equal(load(policy, "{\"PCR0\":\"" PCR_A "\",\"PCR1\":\"" PCR_A "\"}"), BB_ERR_ARGUMENT);
    assert_pcr(policy, 0, -1);
    ok(load(policy, "{\"PCR0\":\"" PCR_B "\"}"));
    uint8_t value[BB_PCR_LEN] = {0};
    assert_int_equal(bb_policy_expect_pcr(policy, 0, value), BB_ERR_ARGUMENT);
    assert_int_equal(bb_policy_expect_pcr(policy, 32, value), BB_ERR_ARGUMENT);
    assert_int_equal(bb_policy_expect_pcr(policy, 2, NULL), BB_ERR_ARGUMENT);
    assert_pcr(policy, 0, 0xbb);
    assert_pcr(policy, 1, 0xaa);
    bb_policy_free(policy);
}

static void put_root(struct bb_buf *pem) {
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    ok(bb_key_generate(BB_CURVE_P384, &key));
    const struct bb_cert_request request = {.common_name = "root",
                                            .subject_key = key,
                                            .issuer_key = key,
                                            .not_after_ms = FIXTURE_NOW_MS,
                                            .ca = true,
                                            .path_length = -1};
    ok(bb_cert_make(&request, &der));
    ok(bb_cert_der_to_pem(bb_buf_view(&der), pem));
}

static enum bb_err trust(struct bb_policy *policy, const struct bb_buf *pem) {
    return bb_policy_trust_root_pem(policy, bb_buf_str(pem), pem->len);
}

static void roots_are_limited(void **state) {
    (void)state;
    struct bb_policy *policy = bb_policy_new();
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    for (int i = 0; i < 8; i++)
        put_root(&pem);
    ok(trust(policy, &pem));
    ok(trust(policy, &pem)); /* the same ones take no room */
    bb_buf_clear(&pem);
    put_root(&pem);
    assert_int_equal(trust(policy, &pem), BB_ERR_TOO_LARGE);
    assert_int_equal(bb_policy_trust_aws(policy), BB_ERR_TOO_LARGE);
    bb_policy_free(policy);
}

static void only_aws_is_noticed(void **state) {
    (void)state;
    struct bb_policy *policy = bb_policy_new();
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    assert_false(bb_policy_trusts_only_aws(policy));
    ok(bb_policy_trust_aws(policy));
    ok(bb_policy_trust_aws(policy));
    assert_true(bb_policy_trusts_only_aws(policy));
    put_root(&pem);
    ok(trust(policy, &pem));
    assert_false(bb_policy_trusts_only_aws(policy));
    bb_policy_free(policy);
}

static void files_without_roots_are_refused(void **state) {
    (void)state;
    struct bb_policy *policy = bb_policy_new();
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    assert_int_equal(bb_policy_trust_root_pem(policy, NULL, 0), BB_ERR_PEM);
    assert_int_equal(bb_policy_trust_root_pem(policy, "text", 4), BB_ERR_PEM);
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    ok(bb_key_generate(BB_CURVE_P384, &key));
    ok(bb_key_to_pem(key, &pem));
    assert_int_equal(trust(policy, &pem), BB_ERR_PEM);
    bb_buf_clear(&pem);
    put_root(&pem);
    size_t whole = pem.len;
    ok(bb_buf_append_str(&pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    assert_int_equal(trust(policy, &pem), BB_ERR_PEM);
    for (size_t len = 28; len < whole - 1; len += 16)
        assert_int_equal(bb_policy_trust_root_pem(policy, bb_buf_str(&pem), len), BB_ERR_PEM);
    assert_false(bb_policy_trusts_only_aws(policy));
    ok(bb_policy_trust_aws(policy));
    assert_true(bb_policy_trusts_only_aws(policy)); /* nothing of the refused files is in */
    bb_policy_free(policy);
}

static void a_document_tells_its_fields(void **state) {
    (void)state;
    struct forge forge FORGE_CLEANUP;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    forge_init(&forge, FIXTURE_NOW_MS);
    forge_field_set_bytes(&forge, "nonce", bb_view_str("nonce"));
    forge_field_set_bytes(&forge, "user_data", bb_view("", 0));
    forge_build(&forge, &bytes);
    struct bb_policy *policy = fixture_policy(&forge);
    struct bb_document *document = NULL;
    ok(bb_verify_document(bytes.data, bytes.len, policy, NULL, FIXTURE_NOW_MS, NULL, &document));
    bb_buf_done(&bytes); /* the document keeps what it needs */
    assert_string_equal(bb_document_module_id(document), "i-0123456789abcdef0-enc0123456789abcdef");
    assert_int_equal(bb_document_timestamp_ms(document), FIXTURE_NOW_MS);
    assert_int_equal(bb_document_pcr(document, 8)[47], 0x18);
    assert_null(bb_document_pcr(document, 16));
    assert_null(bb_document_pcr(document, 32));
    size_t len = 9;
    assert_null(bb_document_public_key(document, &len));
    assert_int_equal(len, 0);
    assert_non_null(bb_document_user_data(document, &len));
    assert_int_equal(len, 0);
    assert_memory_equal(bb_document_nonce(document, &len), "nonce", 5);
    assert_int_equal(len, 5);
    assert_int_equal(bb_document_certificate_count(document), FORGE_CERTS);
    for (size_t i = 0; i < FORGE_CERTS; i++) {
        const uint8_t *der = bb_document_certificate(document, i, &len);
        assert_true(bb_view_equal(bb_view(der, len), bb_buf_view(&forge.certs[i].der)));
    }
    assert_null(bb_document_certificate(document, FORGE_CERTS, &len));
    bb_document_free(document);
    bb_policy_free(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measurement_files_are_read),  cmocka_unit_test(other_measurement_files_are_refused),
        cmocka_unit_test(a_pcr_is_given_once),         cmocka_unit_test(roots_are_limited),
        cmocka_unit_test(only_aws_is_noticed),         cmocka_unit_test(files_without_roots_are_refused),
        cmocka_unit_test(a_document_tells_its_fields),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
