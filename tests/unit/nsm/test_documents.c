/* What the emulator signs, judged by the verifier that clients use: accepted under the development root,
 * refused otherwise and when its time is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <blindbox/verify.h>
#include <cmocka.h>

#include "base/fd.h"
#include "support.h"

#define MINUTE_MS (INT64_C(60) * 1000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

struct judge {
    struct module module;
    struct bb_policy *policy;
    struct bb_buf document;
};

/* A policy that trusts the module's root and demands PCR0, 1, 2 and 16, and a document with PCR16 extended.
 */
static void judge_init(struct judge *judge) {
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    uint8_t expected[BB_NSM_PCR_LEN];
    module_init(&judge->module);
    judge->document = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    judge->policy = bb_policy_new();
    assert_non_null(judge->policy);
    assert_int_equal(bb_file_read(in_folder(judge->module.folder, "dev-root.pem"), &pem), BB_OK);
    assert_int_equal(bb_policy_trust_root_pem(judge->policy, bb_buf_str(&pem), pem.len), BB_OK);
    for (unsigned i = 0; i < 3; i++) {
        memset(expected, (int)(0xa0 + i), sizeof expected);
        assert_int_equal(bb_policy_expect_pcr(judge->policy, i, expected), BB_OK);
    }
    memset(expected, 0, sizeof expected);
    assert_int_equal(bb_pcr_extend(expected, bb_view_str("model")), BB_OK);
    assert_int_equal(bb_policy_expect_pcr(judge->policy, 16, expected), BB_OK);
    struct bb_nsm_request extend = {.operation = BB_NSM_EXTEND_PCR,
                                    .of.extend_pcr = {.index = 16, .data = bb_view_str("model")}};
    struct bb_nsm_request lock = {.operation = BB_NSM_LOCK_PCR, .of.lock_pcr.index = 16};
    assert_int_equal(module_ask(&judge->module, &extend, &answer).operation, BB_NSM_EXTEND_PCR);
    assert_int_equal(module_ask(&judge->module, &lock, &answer).operation, BB_NSM_LOCK_PCR);
}

static void judge_done(struct judge *judge) {
    bb_policy_free(judge->policy);
    bb_buf_done(&judge->document);
    module_done(&judge->module);
}

static void fetch(struct judge *judge) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_request request = {.operation = BB_NSM_ATTESTATION,
                                     .of.attestation = {.user_data = bb_view_str("user data"),
                                                        .nonce = bb_view_str("nonce"),
                                                        .public_key = bb_view_str("key")}};
    struct bb_nsm_response response = module_ask(&judge->module, &request, &answer);
    struct bb_view document = response.of.attestation.document;
    assert_int_equal(response.operation, BB_NSM_ATTESTATION);
    bb_buf_clear(&judge->document);
    assert_int_equal(bb_buf_append(&judge->document, document.data, document.len), BB_OK);
}

static enum bb_err verdict(struct judge *judge, int64_t now_ms) {
    struct bb_document *document = NULL;
    struct bb_expectation expectation = {.public_key = (const uint8_t *)"key",
                                         .public_key_len = 3,
                                         .nonce = (const uint8_t *)"nonce",
                                         .nonce_len = 5,
                                         .user_data = (const uint8_t *)"user data",
                                         .user_data_len = 9};
    enum bb_err err = bb_verify_document(judge->document.data, judge->document.len, judge->policy,
                                         &expectation, now_ms, NULL, &document);
    if (err == BB_OK)
        assert_string_equal(bb_document_module_id(document), bb_emulator_module_id(judge->module.emulator));
    bb_document_free(document);
    return err;
}

static void documents_are_accepted_in_their_time(void **state) {
    (void)state;
    struct judge judge;
    judge_init(&judge);
    fetch(&judge);
    int64_t now_ms = judge.module.clock.now_ms;
    assert_int_equal(verdict(&judge, now_ms), BB_OK);
    assert_int_equal(verdict(&judge, now_ms + 59 * MINUTE_MS), BB_OK);
    assert_int_equal(verdict(&judge, now_ms + 2 * HOUR_MS), BB_ERR_DOCUMENT_OLD);
    assert_int_equal(verdict(&judge, now_ms + 4 * HOUR_MS), BB_ERR_CHAIN_EXPIRED);
    assert_int_equal(verdict(&judge, now_ms - 4 * MINUTE_MS), BB_OK); /* clocks differ */
    assert_int_equal(verdict(&judge, now_ms - 10 * MINUTE_MS), BB_ERR_CHAIN_NOT_YET_VALID);
    judge_done(&judge);
}

static void documents_are_good_for_weeks_of_running(void **state) {
    (void)state;
    struct judge judge;
    judge_init(&judge);
    int64_t start_ms = judge.module.clock.now_ms;
    for (int64_t day = 0; day < 30; day++) {
        judge.module.clock.now_ms = start_ms + day * DAY_MS + day * 47 * MINUTE_MS;
        fetch(&judge);
        assert_int_equal(verdict(&judge, judge.module.clock.now_ms), BB_OK);
        assert_int_equal(verdict(&judge, judge.module.clock.now_ms + 59 * MINUTE_MS), BB_OK);
    }
    judge_done(&judge);
}

static void a_clock_set_off_shows(void **state) {
    (void)state;
    struct judge judge;
    judge_init(&judge);
    int64_t now_ms = judge.module.clock.now_ms;
    judge.module.clock.now_ms = now_ms - 4 * HOUR_MS;
    fetch(&judge);
    assert_int_equal(verdict(&judge, now_ms), BB_ERR_CHAIN_EXPIRED);
    judge.module.clock.now_ms = now_ms - 70 * MINUTE_MS;
    fetch(&judge);
    assert_int_equal(verdict(&judge, now_ms), BB_ERR_DOCUMENT_OLD);
    judge.module.clock.now_ms = now_ms + HOUR_MS;
    fetch(&judge);
    assert_int_equal(verdict(&judge, now_ms), BB_ERR_CHAIN_NOT_YET_VALID);
    judge_done(&judge);
}

static void another_root_is_refused(void **state) {
    (void)state;
    struct judge judge;
    struct module other;
    judge_init(&judge);
    module_init(&other);
    struct module mine = judge.module;
    judge.module = other;
    fetch(&judge);
    judge.module = mine;
    assert_int_equal(verdict(&judge, mine.clock.now_ms), BB_ERR_CHAIN_ROOT);
    module_done(&other);
    judge_done(&judge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_accepted_in_their_time),
        cmocka_unit_test(documents_are_good_for_weeks_of_running),
        cmocka_unit_test(a_clock_set_off_shows),
        cmocka_unit_test(another_root_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
