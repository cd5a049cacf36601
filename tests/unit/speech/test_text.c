/* Repairing UTF-8 that arrives in pieces, and cutting valid text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cbor/utf8.h"
#include "enclave/speech/utf8_repair.h"

#define MARK "\xef\xbf\xbd"

/* Feeds text in pieces of `piece` bytes; the result must be valid and is compared. */
static void repairs(const char *text, size_t len, size_t piece, const char *wanted) {
    struct bb_utf8_repair repair = {0};
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        assert_int_equal(bb_utf8_repair_feed(&repair, bb_view(text + at, n), &out), BB_OK);
        assert_true(bb_utf8_valid(bb_buf_view(&out)));
    }
    assert_int_equal(bb_utf8_repair_finish(&repair, &out), BB_OK);
    assert_string_equal(bb_buf_str(&out), wanted);
}

static void characters_survive_any_cut(void **state) {
    (void)state;
    const char *text = " na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8e\xa4 \xea\xb0\x80.";
    for (size_t piece = 1; piece <= strlen(text); piece++)
        repairs(text, strlen(text), piece, text);
}

static void what_is_no_character_is_replaced(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"a\x80z", "a" MARK "z"},                          /* a later byte alone */
        {"a\xffz", "a" MARK "z"},                          /* never a byte of UTF-8 */
        {"\xc0\xaf", MARK MARK},                           /* overlong */
        {"\xe0\x80\xaf", MARK MARK MARK},                  /* overlong */
        {"\xed\xa0\x80", MARK MARK MARK},                  /* surrogate */
        {"\xf4\x90\x80\x80", MARK MARK MARK MARK},         /* past U+10FFFF */
        {"\xe2\x82", MARK},                                /* ends early */
        {"\xe2\x82 x", MARK " x"},                         /* breaks off */
        {"\xf0\x9f\x8e\xe2\x82\xac", MARK "\xe2\x82\xac"}, /* a new character instead */
        {"\xf0", MARK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece <= strlen(cases[i].in); piece++)
            repairs(cases[i].in, strlen(cases[i].in), piece, cases[i].out);
}

static void any_bytes_become_valid(void **state) {
    (void)state;
    uint64_t random = 1;
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[64];
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(random >> 40 | (random >> 62 == 0 ? 0x80 : 0));
        }
        struct bb_utf8_repair repair = {0};
        struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        assert_int_equal(bb_utf8_repair_feed(&repair, bb_view(bytes, 30), &out), BB_OK);
        assert_int_equal(bb_utf8_repair_feed(&repair, bb_view(bytes + 30, 34), &out), BB_OK);
        assert_int_equal(bb_utf8_repair_finish(&repair, &out), BB_OK);
        assert_true(bb_utf8_valid(bb_buf_view(&out)));
    }
}

static void cuts_fall_between_characters(void **state) {
    (void)state;
    struct bb_view text = bb_view_str("ab\xe2\x82\xac"
                                      "c");
    static const size_t wanted[] = {0, 1, 2, 2, 2, 5, 6, 6};
    for (size_t max = 0; max < 8; max++)
        assert_int_equal(bb_utf8_head(text, max).len, wanted[max]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_survive_any_cut),
        cmocka_unit_test(what_is_no_character_is_replaced),
        cmocka_unit_test(any_bytes_become_valid),
        cmocka_unit_test(cuts_fall_between_characters),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
