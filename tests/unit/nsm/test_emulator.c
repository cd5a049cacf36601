/* The NSM emulator: registers and locks, limits, frames, and documents that the verifier accepts for as long
 * as it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "cbor/cbor.h"
#include "support.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HOUR_MS      (INT64_C(60) * 60 * 1000)

static const uint8_t zeros[BB_NSM_PCR_LEN];

static struct bb_nsm_request on_pcr(enum bb_nsm_operation operation, uint16_t index) {
    struct bb_nsm_request request = {.operation = operation};
    switch (operation) {
    case BB_NSM_EXTEND_PCR:
        request.of.extend_pcr.index = index;
        request.of.extend_pcr.data = bb_view_str("data");
        break;
    case BB_NSM_LOCK_PCRS:
        request.of.lock_pcrs.range = index;
        break;
    case BB_NSM_LOCK_PCR:
        request.of.lock_pcr.index = index;
        break;
    default:
        request.of.describe_pcr.index = index;
        break;
    }
    return request;
}

static void assert_refused(struct module *module, struct bb_nsm_request request, enum bb_nsm_error error) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_response response = module_ask(module, &request, &answer);
    assert_int_equal(response.operation, BB_NSM_ERROR);
    assert_string_equal(bb_nsm_error_name(response.of.error), bb_nsm_error_name(error));
}

static void assert_done(struct module *module, struct bb_nsm_request request) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    assert_int_equal(module_ask(module, &request, &answer).operation, request.operation);
}

static void assert_pcr(struct module *module, uint16_t index, bool lock,
                       const uint8_t value[BB_NSM_PCR_LEN]) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_request request = on_pcr(BB_NSM_DESCRIBE_PCR, index);
    struct bb_nsm_response response = module_ask(module, &request, &answer);
    assert_int_equal(response.operation, BB_NSM_DESCRIBE_PCR);
    assert_int_equal(response.of.describe_pcr.lock, lock);
    assert_true(bb_view_equal(response.of.describe_pcr.data, bb_view(value, BB_NSM_PCR_LEN)));
}

static void registers_start_as_measured(void **state) {
    (void)state;
    struct module module;
    module_init(&module);
    for (uint16_t i = 0; i < BB_NSM_PCR_COUNT; i++) {
        uint8_t expected[BB_NSM_PCR_LEN] = {0};
        if (i < 3)
            memset(expected, 0xa0 + i, sizeof expected);
        if (i == 4)
            assert_int_equal(bb_pcr_extend(expected, bb_view(bb_emulator_module_id(module.emulator), 19)),
                             BB_OK);
        assert_pcr(&module, i, i < 16, expected);
    }
    assert_refused(&module, on_pcr(BB_NSM_DESCRIBE_PCR, 32), BB_NSM_INVALID_INDEX);
    module_done(&module);
}

static void extending_and_locking(void **state) {
    (void)state;
    struct module module;
    uint8_t expected[BB_NSM_PCR_LEN] = {0};
    module_init(&module);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(bb_pcr_extend(expected, bb_view_str("data")), BB_OK);
        assert_done(&module, on_pcr(BB_NSM_EXTEND_PCR, 16));
        assert_pcr(&module, 16, false, expected);
    }
    assert_done(&module, on_pcr(BB_NSM_LOCK_PCR, 16));
    assert_refused(&module, on_pcr(BB_NSM_LOCK_PCR, 16), BB_NSM_READ_ONLY_INDEX);
    assert_refused(&module, on_pcr(BB_NSM_EXTEND_PCR, 16), BB_NSM_READ_ONLY_INDEX);
    assert_pcr(&module, 16, true, expected);
    for (uint16_t i = 0; i < 16; i++) {
        assert_refused(&module, on_pcr(BB_NSM_EXTEND_PCR, i), BB_NSM_READ_ONLY_INDEX);
        assert_refused(&module, on_pcr(BB_NSM_LOCK_PCR, i), BB_NSM_READ_ONLY_INDEX);
    }
    assert_refused(&module, on_pcr(BB_NSM_EXTEND_PCR, 32), BB_NSM_INVALID_INDEX);
    assert_refused(&module, on_pcr(BB_NSM_LOCK_PCR, 65535), BB_NSM_INVALID_INDEX);
    assert_refused(&module, on_pcr(BB_NSM_LOCK_PCRS, 33), BB_NSM_INVALID_INDEX);
    assert_pcr(&module, 17, false, zeros);
    assert_done(&module, on_pcr(BB_NSM_LOCK_PCRS, 18));
    assert_pcr(&module, 17, true, zeros);
    assert_pcr(&module, 18, false, zeros);
    assert_done(&module, on_pcr(BB_NSM_LOCK_PCRS, 32));
    assert_pcr(&module, 31, true, zeros);
    module_done(&module);
}

static void description_names_the_locked(void **state) {
    (void)state;
    struct module module;
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_request request = {.operation = BB_NSM_DESCRIBE_NSM};
    module_init(&module);
    assert_done(&module, on_pcr(BB_NSM_LOCK_PCR, 20));
    struct bb_nsm_response response = module_ask(&module, &request, &answer);
    assert_int_equal(response.of.describe_nsm.locked_pcrs, 0x0010ffff);
    assert_int_equal(response.of.describe_nsm.max_pcrs, 32);
    assert_true(bb_view_equal(response.of.describe_nsm.digest, bb_view_str("SHA384")));
    struct bb_view id = response.of.describe_nsm.module_id;
    assert_true(bb_view_equal(id, bb_view_str(bb_emulator_module_id(module.emulator))));
    assert_int_equal(id.len, 39);
    assert_memory_equal(id.data, "i-", 2);
    assert_memory_equal(id.data + 19, "-enc", 4);
    module_done(&module);
}

static void random_bytes_differ(void **state) {
    (void)state;
    struct module module;
    struct bb_buf first BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_buf second BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_request request = {.operation = BB_NSM_GET_RANDOM};
    module_init(&module);
    struct bb_nsm_response a = module_ask(&module, &request, &first);
    struct bb_nsm_response b = module_ask(&module, &request, &second);
    assert_int_equal(a.of.get_random.random.len, 256);
    assert_int_equal(b.of.get_random.random.len, 256);
    assert_false(bb_view_equal(a.of.get_random.random, b.of.get_random.random));
    module_done(&module);
}

static void attestation_has_limits(void **state) {
    (void)state;
    struct module module;
    static const uint8_t bytes[2048];
    struct bb_nsm_request request = {.operation = BB_NSM_ATTESTATION};
    module_init(&module);
    request.of.attestation.user_data = bb_view(bytes, 512);
    request.of.attestation.nonce = bb_view(bytes, 512);
    request.of.attestation.public_key = bb_view(bytes, 1024);
    assert_done(&module, on_pcr(BB_NSM_LOCK_PCRS, 32)); /* the largest document there is */
    assert_done(&module, request);
    request.of.attestation.user_data.len = 513;
    assert_refused(&module, request, BB_NSM_INPUT_TOO_LARGE);
    request.of.attestation.user_data.len = 0;
    request.of.attestation.nonce.len = 513;
    assert_refused(&module, request, BB_NSM_INPUT_TOO_LARGE);
    request.of.attestation.nonce.len = 0;
    request.of.attestation.public_key.len = 1025;
    assert_refused(&module, request, BB_NSM_INPUT_TOO_LARGE);
    module_done(&module);
}

static void bad_requests_are_answered(void **state) {
    (void)state;
    struct module module;
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_response response;
    static const uint8_t large[BB_NSM_REQUEST_MAX + 1];
    module_init(&module);
    assert_int_equal(bb_emulator_handle(module.emulator, bb_view("\xff", 1), &answer), BB_OK);
    assert_int_equal(bb_nsm_response_read(bb_buf_view(&answer), &response), BB_OK);
    assert_int_equal(response.of.error, BB_NSM_INVALID_OPERATION);
    assert_int_equal(bb_emulator_handle(module.emulator, bb_view(NULL, 0), &answer), BB_OK);
    assert_int_equal(bb_nsm_response_read(bb_buf_view(&answer), &response), BB_OK);
    assert_int_equal(response.of.error, BB_NSM_INVALID_OPERATION);
    assert_int_equal(bb_emulator_handle(module.emulator, bb_view(large, sizeof large), &answer), BB_OK);
    assert_int_equal(bb_nsm_response_read(bb_buf_view(&answer), &response), BB_OK);
    assert_int_equal(response.of.error, BB_NSM_INPUT_TOO_LARGE);
    /* An answer that does not fit becomes an error; when not even that fits, the caller learns it. */
    struct bb_view random = bb_view("\x69GetRandom", 10);
    struct bb_buf small BB_CLEANUP_BUF = BB_BUF_INIT(100);
    assert_int_equal(bb_emulator_handle(module.emulator, random, &small), BB_OK);
    assert_int_equal(bb_nsm_response_read(bb_buf_view(&small), &response), BB_OK);
    assert_int_equal(response.of.error, BB_NSM_INPUT_TOO_LARGE);
    struct bb_buf tiny BB_CLEANUP_BUF = BB_BUF_INIT(8);
    assert_int_equal(bb_emulator_handle(module.emulator, random, &tiny), BB_ERR_TOO_LARGE);
    module_done(&module);
}

/* The payload of the document that the module gives out now, in `answer`. */
static struct bb_view payload_now(struct module *module, struct bb_buf *answer, struct bb_view *document) {
    struct bb_nsm_request request = {.operation = BB_NSM_ATTESTATION,
                                     .of.attestation.nonce = bb_view_str("nonce")};
    struct bb_nsm_response response = module_ask(module, &request, answer);
    struct bb_cbor reader;
    struct bb_cbor_items items;
    struct bb_view header, payload;
    bool more;
    assert_int_equal(response.operation, BB_NSM_ATTESTATION);
    *document = response.of.attestation.document;
    bb_cbor_init(&reader, *document);
    assert_int_equal(bb_cbor_enter_array(&reader, &items), BB_OK);
    assert_int_equal(bb_cbor_next(&reader, &items, &more), BB_OK);
    assert_int_equal(bb_cbor_read_bytes(&reader, &header), BB_OK);
    assert_int_equal(bb_cbor_next(&reader, &items, &more), BB_OK);
    assert_int_equal(bb_cbor_skip(&reader), BB_OK);
    assert_int_equal(bb_cbor_next(&reader, &items, &more), BB_OK);
    assert_int_equal(bb_cbor_read_bytes(&reader, &payload), BB_OK);
    return payload;
}

static void documents_have_the_modules_form(void **state) {
    (void)state;
    static const char *const keys[] = {"module_id", "digest",     "timestamp", "pcrs", "certificate",
                                       "cabundle",  "public_key", "user_data", "nonce"};
    struct module module;
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_view document;
    struct bb_cbor reader;
    struct bb_cbor_items items;
    bool more;
    module_init(&module);
    assert_done(&module, on_pcr(BB_NSM_LOCK_PCR, 17));
    bb_cbor_init(&reader, payload_now(&module, &answer, &document));
    assert_memory_equal(document.data, "\x84\x44\xa1\x01\x38\x22\xa0", 7);
    assert_int_equal(bb_cbor_enter_map(&reader, &items), BB_OK);
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct bb_view key;
        assert_int_equal(bb_cbor_next(&reader, &items, &more), BB_OK);
        assert_true(more);
        assert_int_equal(bb_cbor_read_text(&reader, &key), BB_OK);
        assert_true(bb_view_equal(key, bb_view_str(keys[i])));
        enum bb_cbor_type type;
        assert_int_equal(bb_cbor_peek(&reader, &type), BB_OK);
        if (i == 6 || i == 7)
            assert_int_equal(type, BB_CBOR_NULL);
        if (i == 8)
            assert_int_equal(type, BB_CBOR_BYTES);
        if (i == 3) { /* all locked registers and no other: 0..15 and 17 */
            struct bb_cbor pcrs = reader;
            struct bb_cbor_items pairs;
            assert_int_equal(bb_cbor_enter_map(&pcrs, &pairs), BB_OK);
            assert_int_equal(pairs.left, 17);
        }
        assert_int_equal(bb_cbor_skip(&reader), BB_OK);
    }
    assert_int_equal(bb_cbor_next(&reader, &items, &more), BB_OK);
    assert_false(more);
    assert_int_equal(bb_cbor_finish(&reader), BB_OK);
    module_done(&module);
}

/* A copy of the leaf certificate under which the module signs now. */
static struct bb_cert *leaf_now(struct module *module) {
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_view document, der = {0};
    struct bb_cbor reader;
    struct bb_cbor_field fields[] = {{"certificate", BB_CBOR_BYTES, &der, true, false}};
    struct bb_cert *cert = NULL;
    bb_cbor_init(&reader, payload_now(module, &answer, &document));
    assert_int_equal(bb_cbor_read_fields(&reader, fields, COUNT(fields), true), BB_OK);
    assert_int_equal(bb_cert_parse(der, &cert), BB_OK);
    return cert;
}

static void leaves_are_renewed_in_time(void **state) {
    (void)state;
    struct module module;
    module_init(&module);
    int64_t start_ms = module.clock.now_ms;
    struct bb_cert *first BB_CLEANUP_CERT = leaf_now(&module);
    int64_t life_ms = bb_cert_not_after_ms(first) - bb_cert_not_before_ms(first);
    assert_true(life_ms >= 3 * HOUR_MS && life_ms <= 3 * HOUR_MS + 4000);
    assert_false(bb_cert_is_ca(first));
    assert_true(bb_cert_may_sign_data(first));
    assert_false(bb_cert_may_sign_certificates(first));
    module.clock.now_ms = start_ms + HOUR_MS;
    struct bb_cert *same BB_CLEANUP_CERT = leaf_now(&module);
    assert_true(bb_view_equal(bb_cert_der(first), bb_cert_der(same)));
    /* From day to day for 4 weeks and then back: at any time at least an hour is left. */
    for (int64_t hours = 2; hours < INT64_C(28) * 24; hours += 7) {
        module.clock.now_ms = start_ms + hours * HOUR_MS;
        struct bb_cert *leaf BB_CLEANUP_CERT = leaf_now(&module);
        assert_true(bb_cert_not_before_ms(leaf) <= module.clock.now_ms);
        assert_true(bb_cert_not_after_ms(leaf) > module.clock.now_ms + HOUR_MS);
        assert_false(bb_view_equal(bb_cert_der(first), bb_cert_der(leaf)));
    }
    module.clock.now_ms = start_ms - 24 * HOUR_MS;
    struct bb_cert *earlier BB_CLEANUP_CERT = leaf_now(&module);
    assert_true(bb_cert_not_before_ms(earlier) <= module.clock.now_ms);
    assert_true(bb_cert_not_after_ms(earlier) < start_ms);
    module_done(&module);
}

static void frames_are_served(void **state) {
    (void)state;
    struct module module;
    int pair[2];
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_response response;
    module_init(&module);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bb_frame_write(pair[0], bb_view("\x69GetRandom", 10), 1000), BB_OK);
        assert_int_equal(bb_emulator_serve_one(module.emulator, pair[1]), BB_OK);
        assert_int_equal(bb_frame_read(pair[0], &answer, 1000), BB_OK);
        assert_int_equal(bb_nsm_response_read(bb_buf_view(&answer), &response), BB_OK);
        assert_int_equal(response.operation, BB_NSM_GET_RANDOM);
    }
    assert_int_equal(write(pair[0], "\0\0\x10\x01", 4), 4); /* announces a byte more than the module takes */
    assert_int_equal(bb_emulator_serve_one(module.emulator, pair[1]), BB_ERR_TOO_LARGE);
    assert_int_equal(write(pair[0], "\0\0\0\4ab", 6), 6);
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    assert_int_equal(bb_emulator_serve_one(module.emulator, pair[1]), BB_ERR_TRUNCATED);
    assert_int_equal(bb_emulator_serve_one(module.emulator, pair[1]), BB_ERR_CLOSED);
    close(pair[0]);
    close(pair[1]);
    module_done(&module);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_start_as_measured),
        cmocka_unit_test(extending_and_locking),
        cmocka_unit_test(description_names_the_locked),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(attestation_has_limits),
        cmocka_unit_test(bad_requests_are_answered),
        cmocka_unit_test(documents_have_the_modules_form),
        cmocka_unit_test(leaves_are_renewed_in_time),
        cmocka_unit_test(frames_are_served),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
