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
#define PCR            "\130\060" PCR_CONTENT
#define PCR_CONTENT    "0123456789abcdef0123456789abcdef0123456789abcdef"

struct refusal {
    struct bb_view bytes;
    enum bb_err err;
};

struct sample {
    const char *name;
    struct bb_view bytes;
};

/* Written down by hand after the module's source, not made by the code under test. In octal, whose escapes
 * end after three digits: \241 is a map of one pair, \140 + n a text of n bytes, \100 + n a byte string. */
static const struct sample requests[] = {
    {"DescribeNSM", BYTES("\153DescribeNSM")},
    {"GetRandom", BYTES("\151GetRandom")},
    {"DescribePCR", BYTES("\241\153DescribePCR\241\145index\030\037")},
    {"ExtendPCR", BYTES("\241\151ExtendPCR\242\145index\020\144data\103abc")},
    {"LockPCR", BYTES("\241\147LockPCR\241\145index\031\377\377")},
    {"LockPCRs", BYTES("\241\150LockPCRs\241\145range\030\040")},
    {"Attestation", BYTES("\241\153Attestation\243\151user_data\100\145nonce\366\152public_key\101k")},
};

static const struct sample responses[] = {
    {"LockPCR", BYTES("\147LockPCR")},
    {"LockPCRs", BYTES("\150LockPCRs")},
    {"DescribePCR", BYTES("\241\153DescribePCR\242\144lock\365\144data" PCR)},
    {"ExtendPCR", BYTES("\241\151ExtendPCR\241\144data" PCR)},
    {"DescribeNSM",
     BYTES("\241\153DescribeNSM\247\155version_major\001\155version_minor\002\155version_patch\003\151module_"
           "id\143i-1\150max_pcrs\030\040\153locked_pcrs\203\000\001\030\037\146digest\146SHA384")},
    {"Attestation", BYTES("\241\153Attestation\241\150document\102dd")},
    {"GetRandom", BYTES("\241\151GetRandom\241\146random\102rr")},
    {"Error", BYTES("\241\145Error\155ReadOnlyIndex")},
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

/* Whatever one changed bit makes of a message: if it still is one, writing it gives a message that says the
 * same. */
static void changed_bits_are_refused_or_understood(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        for (size_t bit = 0; bit < 8 * requests[i].bytes.len; bit++) {
            struct bb_nsm_request request, again;
            struct bb_buf written BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_REQUEST_MAX);
            uint8_t *copy = exactly(requests[i].bytes, requests[i].bytes.len);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (bb_nsm_request_read(bb_view(copy, requests[i].bytes.len), &request) == BB_OK) {
                assert_int_equal(bb_nsm_request_write(&request, &written), BB_OK);
                assert_int_equal(bb_nsm_request_read(bb_buf_view(&written), &again), BB_OK);
                assert_int_equal(again.operation, request.operation);
            }
            free(copy);
        }
    }
    for (size_t i = 0; i < COUNT(responses); i++) {
        for (size_t bit = 0; bit < 8 * responses[i].bytes.len; bit++) {
            struct bb_nsm_response response, again;
            struct bb_buf written BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
            uint8_t *copy = exactly(responses[i].bytes, responses[i].bytes.len);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (bb_nsm_response_read(bb_view(copy, responses[i].bytes.len), &response) == BB_OK) {
                assert_int_equal(bb_nsm_response_write(&response, &written), BB_OK);
                assert_int_equal(bb_nsm_response_read(bb_buf_view(&written), &again), BB_OK);
                assert_int_equal(again.operation, response.operation);
            }
            free(copy);
        }
    }
}

static void trailing_bytes_are_refused(void **state) {
    (void)state;
    struct bb_nsm_request request;
    struct bb_nsm_response response;
    for (size_t i = 0; i < COUNT(requests); i++) {
        struct bb_buf longer BB_CLEANUP_BUF = BB_BUF_INIT(256);
        assert_int_equal(bb_buf_append(&longer, requests[i].bytes.data, requests[i].bytes.len), BB_OK);
        assert_int_equal(bb_buf_append(&longer, "\366", 1), BB_OK);
        assert_int_equal(bb_nsm_request_read(bb_buf_view(&longer), &request), BB_ERR_TRAILING);
    }
    for (size_t i = 0; i < COUNT(responses); i++) {
        struct bb_buf longer BB_CLEANUP_BUF = BB_BUF_INIT(256);
        assert_int_equal(bb_buf_append(&longer, responses[i].bytes.data, responses[i].bytes.len), BB_OK);
        assert_int_equal(bb_buf_append(&longer, "\366", 1), BB_OK);
        assert_int_equal(bb_nsm_response_read(bb_buf_view(&longer), &response), BB_ERR_TRAILING);
    }
}

static const struct refusal bad_requests[] = {
    {BYTES("\143Foo"), BB_ERR_PROTOCOL},
    {BYTES("\241\143Foo\240"), BB_ERR_PROTOCOL},
    {BYTES("\005"), BB_ERR_CBOR_TYPE},
    {BYTES("\240"), BB_ERR_PROTOCOL},
    {BYTES("\147LockPCR"), BB_ERR_PROTOCOL},           /* needs its index */
    {BYTES("\241\151GetRandom\240"), BB_ERR_PROTOCOL}, /* takes nothing */
    {BYTES("\241\145Error\140"), BB_ERR_PROTOCOL},
    {BYTES("\241\147LockPCR\240"), BB_ERR_CBOR_KEY},
    {BYTES("\241\147LockPCR\241\145indes\001"), BB_ERR_CBOR_KEY},
    {BYTES("\241\147LockPCR\242\145index\001\145index\001"), BB_ERR_CBOR_DUPLICATE},
    {BYTES("\241\147LockPCR\241\145index\040"), BB_ERR_CBOR_TYPE},
    {BYTES("\241\147LockPCR\241\145index\032\000\001\000\000"), BB_ERR_PROTOCOL},
    {BYTES("\242\147LockPCR\241\145index\001\151GetRandom\366"), BB_ERR_PROTOCOL},
    {BYTES("\241\151ExtendPCR\241\145index\020"), BB_ERR_CBOR_KEY},
    {BYTES("\241\153Attestation\241\145nonce\141n"), BB_ERR_CBOR_TYPE},
    {BYTES("\241\153Attestation\241\145other\101n"), BB_ERR_CBOR_KEY},
};

static void bad_requests_have_a_reason(void **state) {
    (void)state;
    struct bb_nsm_request request;
    for (size_t i = 0; i < COUNT(bad_requests); i++)
        assert_int_equal(bb_nsm_request_read(bad_requests[i].bytes, &request), bad_requests[i].err);
}

static const struct refusal bad_responses[] = {
    {BYTES("\151GetRandom"), BB_ERR_PROTOCOL},
    {BYTES("\241\147LockPCR\366"), BB_ERR_PROTOCOL},
    {BYTES("\241\145Error\147Success"), BB_ERR_PROTOCOL},
    {BYTES("\241\145Error\001"), BB_ERR_CBOR_TYPE},
    {BYTES("\241\153DescribePCR\241\144lock\365"), BB_ERR_CBOR_KEY},
    {BYTES("\241\153Attestation\241\150document\366"), BB_ERR_CBOR_KEY},
    {BYTES("\241\153Attestation\242\150document\100\141x\366"), BB_ERR_CBOR_KEY},
};

static void bad_responses_have_a_reason(void **state) {
    (void)state;
    struct bb_nsm_response response;
    for (size_t i = 0; i < COUNT(bad_responses); i++)
        assert_int_equal(bb_nsm_response_read(bad_responses[i].bytes, &response), bad_responses[i].err);
}

/* The bytes of a description whose list of locked registers, count of registers and extra field are given. */
static enum bb_err read_description(struct bb_view max_pcrs, struct bb_view locked, bool extra) {
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(512);
    struct bb_nsm_response response;
    struct bb_view start = VIEW("\155version_major\001\155version_minor\000\155version_patch\000\151module_"
                                "id\141m\146digest\146SHA384\150max_pcrs");
    int err = (int)bb_buf_append_str(&bytes, "\241\153DescribeNSM");
    err |= (int)bb_buf_append(&bytes, extra ? "\250\143new\202\001\002" : "\247", extra ? 8 : 1);
    err |= (int)bb_buf_append(&bytes, start.data, start.len);
    err |= (int)bb_buf_append(&bytes, max_pcrs.data, max_pcrs.len);
    err |= (int)bb_buf_append_str(&bytes, "\153locked_pcrs");
    err |= (int)bb_buf_append(&bytes, locked.data, locked.len);
    assert_int_equal(err, BB_OK);
    return bb_nsm_response_read(bb_buf_view(&bytes), &response);
}

static void descriptions_are_bounded(void **state) {
    (void)state;
    struct bb_view good_count = VIEW("\030\040");
    assert_int_equal(read_description(good_count, VIEW("\201\000"), false), BB_OK);
    assert_int_equal(read_description(good_count, VIEW("\237\000\005\377"), false), BB_OK);
    assert_int_equal(read_description(good_count, VIEW("\200"), true),
                     BB_OK); /* a later version may say more */
    assert_int_equal(read_description(VIEW("\030\041"), VIEW("\200"), false), BB_ERR_PROTOCOL);
    assert_int_equal(read_description(good_count, VIEW("\201\030\040"), false), BB_ERR_PROTOCOL);
    assert_int_equal(read_description(good_count, VIEW("\202\001\001"), false), BB_ERR_PROTOCOL);
    assert_int_equal(read_description(good_count, VIEW("\201\040"), false), BB_ERR_CBOR_TYPE);
    assert_int_equal(read_description(good_count, VIEW("\001"), false), BB_ERR_CBOR_TYPE);
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
        cmocka_unit_test(changed_bits_are_refused_or_understood),
        cmocka_unit_test(trailing_bytes_are_refused),
        cmocka_unit_test(bad_requests_have_a_reason),
        cmocka_unit_test(bad_responses_have_a_reason),
        cmocka_unit_test(descriptions_are_bounded),
        cmocka_unit_test(writing_keeps_the_ceiling),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
