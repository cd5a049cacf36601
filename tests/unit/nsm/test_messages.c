/* The NSM's messages: exact bytes, round trips, every truncation, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nsm/messages.h"

#define COUNT(array)   (sizeof(array) / sizeof *(array))
#define VIEW(literal)  bb_view(literal, sizeof(literal) - 1)
#define BYTES(literal) {(const uint8_t *)(literal), sizeof(literal) - 1}
#define PCR            "\x58\x30" PCR_CONTENT
#define PCR_CONTENT    "0123456789abcdef0123456789abcdef0123456789abcdef"

struct sample {
    const char *name;
    struct bb_view bytes;
};

/* Written down by hand after the module's source, not made by the code under test. */
static const struct sample requests[] = {
    {"DescribeNSM", BYTES("\x6b"
                          "DescribeNSM")},
    {"GetRandom", BYTES("\x69"
                        "GetRandom")},
    {"DescribePCR", BYTES("\xa1\x6b"
                          "DescribePCR"
                          "\xa1\x65"
                          "index"
                          "\x18\x1f")},
    {"ExtendPCR", BYTES("\xa1\x69"
                        "ExtendPCR"
                        "\xa2\x65"
                        "index"
                        "\x10\x64"
                        "data"
                        "\x43"
                        "abc")},
    {"LockPCR", BYTES("\xa1\x67"
                      "LockPCR"
                      "\xa1\x65"
                      "index"
                      "\x19\xff\xff")},
    {"LockPCRs", BYTES("\xa1\x68"
                       "LockPCRs"
                       "\xa1\x65"
                       "range"
                       "\x18\x20")},
    {"Attestation", BYTES("\xa1\x6b"
                          "Attestation"
                          "\xa3\x69"
                          "user_data"
                          "\x40\x65"
                          "nonce"
                          "\xf6\x6a"
                          "public_key"
                          "\x41k")},
};

static const struct sample responses[] = {
    {"LockPCR", BYTES("\x67"
                      "LockPCR")},
    {"LockPCRs", BYTES("\x68"
                       "LockPCRs")},
    {"DescribePCR", BYTES("\xa1\x6b"
                          "DescribePCR"
                          "\xa2\x64"
                          "lock"
                          "\xf5\x64"
                          "data" PCR)},
    {"ExtendPCR", BYTES("\xa1\x69"
                        "ExtendPCR"
                        "\xa1\x64"
                        "data" PCR)},
    {"DescribeNSM", BYTES("\xa1\x6b"
                          "DescribeNSM"
                          "\xa7"
                          "\x6d"
                          "version_major"
                          "\x01"
                          "\x6d"
                          "version_minor"
                          "\x02"
                          "\x6d"
                          "version_patch"
                          "\x03"
                          "\x69"
                          "module_id"
                          "\x63"
                          "i-1"
                          "\x68"
                          "max_pcrs"
                          "\x18\x20"
                          "\x6b"
                          "locked_pcrs"
                          "\x83\x00\x01\x18\x1f"
                          "\x66"
                          "digest"
                          "\x66"
                          "SHA384")},
    {"Attestation", BYTES("\xa1\x6b"
                          "Attestation"
                          "\xa1\x68"
                          "document"
                          "\x42"
                          "dd")},
    {"GetRandom", BYTES("\xa1\x69"
                        "GetRandom"
                        "\xa1\x66"
                        "random"
                        "\x42"
                        "rr")},
    {"Error", BYTES("\xa1\x65"
                    "Error"
                    "\x6d"
                    "ReadOnlyIndex")},
};

static void requests_round_trip(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct bb_nsm_request request;
        struct bb_buf again BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_REQUEST_MAX);
        assert_int_equal(bb_nsm_request_read(requests[i].bytes, &request), BB_OK);
        assert_string_equal(bb_nsm_operation_name(request.operation), requests[i].name);
        assert_int_equal(bb_nsm_request_write(&request, &again), BB_OK);
        assert_true(bb_view_equal(bb_buf_view(&again), requests[i].bytes));
    }
}

static void responses_round_trip(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(responses); i++) {
        struct bb_nsm_response response;
        struct bb_buf again BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
        assert_int_equal(bb_nsm_response_read(responses[i].bytes, &response), BB_OK);
        assert_string_equal(bb_nsm_operation_name(response.operation), responses[i].name);
        assert_int_equal(bb_nsm_response_write(&response, &again), BB_OK);
        assert_true(bb_view_equal(bb_buf_view(&again), responses[i].bytes));
    }
}

static void fields_arrive(void **state) {
    (void)state;
    struct bb_nsm_request request;
    assert_int_equal(bb_nsm_request_read(requests[3].bytes, &request), BB_OK);
    assert_int_equal(request.of.extend_pcr.index, 16);
    assert_true(bb_view_equal(request.of.extend_pcr.data, VIEW("abc")));
    assert_int_equal(bb_nsm_request_read(requests[6].bytes, &request), BB_OK);
    assert_non_null(request.of.attestation.user_data.data); /* empty, but there */
    assert_int_equal(request.of.attestation.user_data.len, 0);
    assert_null(request.of.attestation.nonce.data);
    assert_true(bb_view_equal(request.of.attestation.public_key, VIEW("k")));

    struct bb_nsm_response response;
    assert_int_equal(bb_nsm_response_read(responses[2].bytes, &response), BB_OK);
    assert_true(response.of.describe_pcr.lock);
    assert_true(bb_view_equal(response.of.describe_pcr.data, VIEW(PCR_CONTENT)));
    assert_int_equal(bb_nsm_response_read(responses[4].bytes, &response), BB_OK);
    assert_int_equal(response.of.describe_nsm.version_major, 1);
    assert_int_equal(response.of.describe_nsm.version_minor, 2);
    assert_int_equal(response.of.describe_nsm.version_patch, 3);
    assert_int_equal(response.of.describe_nsm.max_pcrs, 32);
    assert_int_equal(response.of.describe_nsm.locked_pcrs, 0x80000003);
    assert_true(bb_view_equal(response.of.describe_nsm.module_id, VIEW("i-1")));
    assert_int_equal(bb_nsm_response_read(responses[7].bytes, &response), BB_OK);
    assert_string_equal(bb_nsm_error_name(response.of.error), "ReadOnlyIndex");
}

/* Copies to memory of exactly that size, so that the sanitizer sees a read past the end. */
static uint8_t *exactly(struct bb_view bytes, size_t len) {
    uint8_t *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.data, len);
    return copy;
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    struct bb_nsm_request request = {.operation = BB_NSM_ERROR};
    struct bb_nsm_response response = {.operation = BB_NSM_ERROR, .of.error = BB_NSM_INTERNAL_ERROR};
    for (size_t i = 0; i < COUNT(requests); i++) {
        for (size_t len = 0; len < requests[i].bytes.len; len++) {
            uint8_t *copy = exactly(requests[i].bytes, len);
            assert_int_not_equal(bb_nsm_request_read(bb_view(copy, len), &request), BB_OK);
            free(copy);
        }
    }
    for (size_t i = 0; i < COUNT(responses); i++) {
        for (size_t len = 0; len < responses[i].bytes.len; len++) {
            uint8_t *copy = exactly(responses[i].bytes, len);
            assert_int_not_equal(bb_nsm_response_read(bb_view(copy, len), &response), BB_OK);
            free(copy);
        }
    }
    assert_int_equal(request.operation, BB_NSM_ERROR); /* untouched */
    assert_int_equal(response.operation, BB_NSM_ERROR);
    assert_int_equal(response.of.error, BB_NSM_INTERNAL_ERROR);
}

static void trailing_bytes_are_refused(void **state) {
    (void)state;
    struct bb_nsm_request request;
    struct bb_nsm_response response;
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct bb_buf longer BB_CLEANUP_BUF = BB_BUF_INIT(256);
        assert_int_equal(bb_buf_append(&longer, requests[i].bytes.data, requests[i].bytes.len), BB_OK);
        assert_int_equal(bb_buf_append(&longer, "\xf6", 1), BB_OK);
        assert_int_equal(bb_nsm_request_read(bb_buf_view(&longer), &request), BB_ERR_TRAILING);
    }
    for (size_t i = 0; i < COUNT(responses); i++) {
        struct bb_buf longer BB_CLEANUP_BUF = BB_BUF_INIT(256);
        assert_int_equal(bb_buf_append(&longer, responses[i].bytes.data, responses[i].bytes.len), BB_OK);
        assert_int_equal(bb_buf_append(&longer, "\xf6", 1), BB_OK);
        assert_int_equal(bb_nsm_response_read(bb_buf_view(&longer), &response), BB_ERR_TRAILING);
    }
}

static void bad_requests_have_a_reason(void **state) {
    (void)state;
    const struct {
        struct bb_view bytes;
        enum bb_err err;
    } bad[] = {
        {VIEW("\x63"
              "Foo"),
         BB_ERR_PROTOCOL},
        {VIEW("\xa1\x63"
              "Foo"
              "\xa0"),
         BB_ERR_PROTOCOL},
        {VIEW("\x05"), BB_ERR_CBOR_TYPE},
        {VIEW("\xa0"), BB_ERR_PROTOCOL},
        {VIEW("\x67"
              "LockPCR"),
         BB_ERR_PROTOCOL}, /* needs its index */
        {VIEW("\xa1\x69"
              "GetRandom"
              "\xa0"),
         BB_ERR_PROTOCOL}, /* takes nothing */
        {VIEW("\xa1\x65"
              "Error"
              "\x60"),
         BB_ERR_PROTOCOL},
        {VIEW("\xa1\x67"
              "LockPCR"
              "\xa0"),
         BB_ERR_CBOR_KEY},
        {VIEW("\xa1\x67"
              "LockPCR"
              "\xa1\x65"
              "indes"
              "\x01"),
         BB_ERR_CBOR_KEY},
        {VIEW("\xa1\x67"
              "LockPCR"
              "\xa2\x65"
              "index"
              "\x01\x65"
              "index"
              "\x01"),
         BB_ERR_CBOR_DUPLICATE},
        {VIEW("\xa1\x67"
              "LockPCR"
              "\xa1\x65"
              "index"
              "\x20"),
         BB_ERR_CBOR_TYPE},
        {VIEW("\xa1\x67"
              "LockPCR"
              "\xa1\x65"
              "index"
              "\x1a\x00\x01\x00\x00"),
         BB_ERR_PROTOCOL},
        {VIEW("\xa2\x67"
              "LockPCR"
              "\xa1\x65"
              "index"
              "\x01\x69"
              "GetRandom"
              "\xf6"),
         BB_ERR_PROTOCOL},
        {VIEW("\xa1\x69"
              "ExtendPCR"
              "\xa1\x65"
              "index"
              "\x10"),
         BB_ERR_CBOR_KEY},
        {VIEW("\xa1\x6b"
              "Attestation"
              "\xa1\x65"
              "nonce"
              "\x61n"),
         BB_ERR_CBOR_TYPE},
        {VIEW("\xa1\x6b"
              "Attestation"
              "\xa1\x65"
              "other"
              "\x41n"),
         BB_ERR_CBOR_KEY},
    };
    struct bb_nsm_request request;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(bb_nsm_request_read(bad[i].bytes, &request), bad[i].err);
}

static void bad_responses_have_a_reason(void **state) {
    (void)state;
    const struct {
        struct bb_view bytes;
        enum bb_err err;
    } bad[] = {
        {VIEW("\x69"
              "GetRandom"),
         BB_ERR_PROTOCOL},
        {VIEW("\xa1\x67"
              "LockPCR"
              "\xf6"),
         BB_ERR_PROTOCOL},
        {VIEW("\xa1\x65"
              "Error"
              "\x67"
              "Success"),
         BB_ERR_PROTOCOL},
        {VIEW("\xa1\x65"
              "Error"
              "\x01"),
         BB_ERR_CBOR_TYPE},
        {VIEW("\xa1\x6b"
              "DescribePCR"
              "\xa1\x64"
              "lock"
              "\xf5"),
         BB_ERR_CBOR_KEY},
        {VIEW("\xa1\x6b"
              "Attestation"
              "\xa1\x68"
              "document"
              "\xf6"),
         BB_ERR_CBOR_KEY},
        {VIEW("\xa1\x6b"
              "Attestation"
              "\xa2\x68"
              "document"
              "\x40\x61"
              "x"
              "\xf6"),
         BB_ERR_CBOR_KEY},
    };
    struct bb_nsm_response response;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(bb_nsm_response_read(bad[i].bytes, &response), bad[i].err);
}

/* The bytes of a description whose list of locked registers, count of registers and extra field are given. */
static enum bb_err read_description(struct bb_view max_pcrs, struct bb_view locked, bool extra) {
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(512);
    struct bb_nsm_response response;
    struct bb_view start = VIEW("\x6d"
                                "version_major"
                                "\x01"
                                "\x6d"
                                "version_minor"
                                "\x00"
                                "\x6d"
                                "version_patch"
                                "\x00"
                                "\x69"
                                "module_id"
                                "\x61"
                                "m"
                                "\x66"
                                "digest"
                                "\x66"
                                "SHA384"
                                "\x68"
                                "max_pcrs");
    int err = (int)bb_buf_append_str(&bytes, "\xa1\x6b"
                                             "DescribeNSM");
    err |= (int)bb_buf_append(&bytes,
                              extra ? "\xa8\x63"
                                      "new"
                                      "\x82\x01\x02"
                                    : "\xa7",
                              extra ? 8 : 1);
    err |= (int)bb_buf_append(&bytes, start.data, start.len);
    err |= (int)bb_buf_append(&bytes, max_pcrs.data, max_pcrs.len);
    err |= (int)bb_buf_append_str(&bytes, "\x6b"
                                          "locked_pcrs");
    err |= (int)bb_buf_append(&bytes, locked.data, locked.len);
    assert_int_equal(err, BB_OK);
    return bb_nsm_response_read(bb_buf_view(&bytes), &response);
}

static void descriptions_are_bounded(void **state) {
    (void)state;
    struct bb_view good_count = VIEW("\x18\x20");
    assert_int_equal(read_description(good_count, VIEW("\x81\x00"), false), BB_OK);
    assert_int_equal(read_description(good_count, VIEW("\x9f\x00\x05\xff"), false), BB_OK);
    assert_int_equal(read_description(good_count, VIEW("\x80"), true),
                     BB_OK); /* a later version may say more */
    assert_int_equal(read_description(VIEW("\x18\x21"), VIEW("\x80"), false), BB_ERR_PROTOCOL);
    assert_int_equal(read_description(good_count, VIEW("\x81\x18\x20"), false), BB_ERR_PROTOCOL);
    assert_int_equal(read_description(good_count, VIEW("\x82\x01\x01"), false), BB_ERR_PROTOCOL);
    assert_int_equal(read_description(good_count, VIEW("\x81\x20"), false), BB_ERR_CBOR_TYPE);
    assert_int_equal(read_description(good_count, VIEW("\x01"), false), BB_ERR_CBOR_TYPE);
}

static void writing_keeps_the_ceiling(void **state) {
    (void)state;
    uint8_t data[BB_NSM_REQUEST_MAX] = {0};
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_REQUEST_MAX);
    struct bb_nsm_request request = {.operation = BB_NSM_EXTEND_PCR,
                                     .of.extend_pcr = {.index = 16, .data = bb_view(data, sizeof data)}};
    assert_int_equal(bb_nsm_request_write(&request, &out), BB_ERR_TOO_LARGE);
    request.operation = BB_NSM_ERROR;
    assert_int_equal(bb_nsm_request_write(&request, &out), BB_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_round_trip),
        cmocka_unit_test(responses_round_trip),
        cmocka_unit_test(fields_arrive),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(trailing_bytes_are_refused),
        cmocka_unit_test(bad_requests_have_a_reason),
        cmocka_unit_test(bad_responses_have_a_reason),
        cmocka_unit_test(descriptions_are_bounded),
        cmocka_unit_test(writing_keeps_the_ceiling),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
