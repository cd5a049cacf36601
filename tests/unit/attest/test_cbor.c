/* Tests of src/cbor: what the reader accepts and refuses, the table reader, and that nothing is read past the
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cbor/cbor.h"
#include "cbor/utf8.h"

#define TEXT(literal) bb_view((literal), sizeof(literal) - 1)

static enum bb_err skip_whole(struct bb_view bytes) {
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = bb_cbor_skip(&reader);
    return err == BB_OK ? bb_cbor_finish(&reader) : err;
}

/* One of each kind, as RFC 8949 appendix A writes them. */
static void every_kind_is_read_and_no_truncation(void **state) {
    (void)state;
    const struct {
        struct bb_view bytes;
        enum bb_cbor_type type;
    } accepted[] = {
        {TEXT("\x00"), BB_CBOR_UINT},
        {TEXT("\x18\x00"), BB_CBOR_UINT}, /* not minimal */
        {TEXT("\x1b\xff\xff\xff\xff\xff\xff\xff\xff"), BB_CBOR_UINT},
        {TEXT("\x3b\xff\xff\xff\xff\xff\xff\xff\xff"), BB_CBOR_NEGATIVE},
        {TEXT("\x40"), BB_CBOR_BYTES},
        {TEXT("\x44\x01\x02\x03\x04"), BB_CBOR_BYTES},
        {TEXT("\x59\x00\x01\x61"), BB_CBOR_BYTES},
        {TEXT("\x60"), BB_CBOR_TEXT},
        {TEXT("\x64\xf0\x90\x85\x91"), BB_CBOR_TEXT},
        {TEXT("\x80"), BB_CBOR_ARRAY},
        {TEXT("\x9f\xff"), BB_CBOR_ARRAY},
        {TEXT("\x83\x01\x82\x02\x03\x9f\x04\x05\xff"), BB_CBOR_ARRAY},
        {TEXT("\xa0"), BB_CBOR_MAP},
        {TEXT("\xbf\x61\x61\x01\x61\x62\x9f\x02\x03\xff\xff"), BB_CBOR_MAP},
        {TEXT("\xc1\x1a\x51\x4b\x67\xb0"), BB_CBOR_TAG},
        {TEXT("\xf4"), BB_CBOR_BOOL},
        {TEXT("\xf6"), BB_CBOR_NULL},
        {TEXT("\xf7"), BB_CBOR_UNDEFINED},
        {TEXT("\xf9\x3c\x00"), BB_CBOR_DOUBLE},
        {TEXT("\xfa\x47\xc3\x50\x00"), BB_CBOR_DOUBLE},
        {TEXT("\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a"), BB_CBOR_DOUBLE},
    };
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        struct bb_cbor reader;
        enum bb_cbor_type type;
        bb_cbor_init(&reader, accepted[i].bytes);
        assert_int_equal(bb_cbor_peek(&reader, &type), BB_OK);
        assert_int_equal(type, accepted[i].type);
        assert_int_equal(skip_whole(accepted[i].bytes), BB_OK);
        for (size_t len = 0; len < accepted[i].bytes.len; len++)
            assert_int_equal(skip_whole(bb_view(accepted[i].bytes.data, len)), BB_ERR_TRUNCATED);
    }
}

static void malformed_is_refused(void **state) {
    (void)state;
    const struct {
        struct bb_view bytes;
        enum bb_err err;
    } refused[] = {
        {TEXT("\x1c"), BB_ERR_CBOR},                 /* reserved */
        {TEXT("\x1f"), BB_ERR_CBOR},                 /* indefinite integer */
        {TEXT("\x5f\x41\x61\xff"), BB_ERR_CBOR},     /* indefinite byte string */
        {TEXT("\x7f\x61\x61\xff"), BB_ERR_CBOR},     /* indefinite text */
        {TEXT("\xe0"), BB_ERR_CBOR},                 /* unassigned simple value */
        {TEXT("\xf8\x00"), BB_ERR_CBOR},             /* simple value in two bytes */
        {TEXT("\xfc"), BB_ERR_CBOR},                 /* reserved */
        {TEXT("\xff"), BB_ERR_CBOR},                 /* break outside of anything */
        {TEXT("\x82\x01\xff"), BB_ERR_CBOR},         /* break in a counted array */
        {TEXT("\xbf\x61\x61\xff"), BB_ERR_CBOR},     /* break in place of a value */
        {TEXT("\xc1\xff"), BB_ERR_CBOR},             /* break in place of a tag's item */
        {TEXT("\x61\x80"), BB_ERR_CBOR},             /* not UTF-8 */
        {TEXT("\x62\xc0\x80"), BB_ERR_CBOR},         /* overlong */
        {TEXT("\x63\xed\xa0\x80"), BB_ERR_CBOR},     /* surrogate */
        {TEXT("\x64\xf4\x90\x80\x80"), BB_ERR_CBOR}, /* past U+10FFFF */
        {TEXT("\x61\xc3"), BB_ERR_CBOR},             /* half a character */
        {TEXT("\x01\x02"), BB_ERR_TRAILING},
        {TEXT("\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), BB_ERR_TRUNCATED},
        {TEXT("\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x00"), BB_ERR_TRUNCATED},
        {TEXT("\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"), BB_ERR_TRUNCATED},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (skip_whole(refused[i].bytes) != refused[i].err)
            fail_msg("entry %zu: %s", i, bb_err_name(skip_whole(refused[i].bytes)));
}

static void every_short_tag_is_read(void **state) {
    (void)state;
    for (unsigned tag = 0; tag < 24; tag++) {
        const uint8_t bytes[] = {(uint8_t)(0xc0 + tag), 0x00};
        struct bb_cbor reader;
        uint64_t read = 99;
        bb_cbor_init(&reader, bb_view(bytes, sizeof bytes));
        assert_int_equal(bb_cbor_read_tag(&reader, &read), BB_OK);
        assert_int_equal(read, tag);
        assert_int_equal(bb_cbor_read_uint(&reader, &read), BB_OK);
        assert_int_equal(bb_cbor_finish(&reader), BB_OK);
    }
}

static void depth_is_limited(void **state) {
    (void)state;
    const uint8_t openers[] = {0x81, 0x9f, 0xc1};
    for (size_t i = 0; i < sizeof openers; i++) {
        uint8_t nested[100000];
        memset(nested, openers[i], sizeof nested);
        assert_int_equal(skip_whole(bb_view(nested, sizeof nested)), BB_ERR_CBOR_DEPTH);
    }
    uint8_t deepest[BB_CBOR_MAX_DEPTH + 1];
    memset(deepest, 0x81, BB_CBOR_MAX_DEPTH);
    deepest[BB_CBOR_MAX_DEPTH] = 0x01;
    assert_int_equal(skip_whole(bb_view(deepest, sizeof deepest)), BB_OK);
    uint8_t too_deep[BB_CBOR_MAX_DEPTH + 2];
    memset(too_deep, 0x81, BB_CBOR_MAX_DEPTH + 1);
    too_deep[BB_CBOR_MAX_DEPTH + 1] = 0x01;
    assert_int_equal(skip_whole(bb_view(too_deep, sizeof too_deep)), BB_ERR_CBOR_DEPTH);
}

static void values_are_read_by_type(void **state) {
    (void)state;
    struct bb_cbor reader;
    uint64_t u = 7;
    int64_t i = 7;
    bool truth = true;
    double real = 0;
    struct bb_view view = {0};
    bb_cbor_init(&reader, TEXT("\x18\x64\x38\x63\xf4\xf9\x3e\x00\x42\x01\x02\xf6"));
    assert_int_equal(bb_cbor_read_text(&reader, &view), BB_ERR_CBOR_TYPE);
    assert_null(view.data);
    assert_int_equal(bb_cbor_read_uint(&reader, &u), BB_OK);
    assert_int_equal(u, 100);
    assert_int_equal(bb_cbor_read_uint(&reader, &u), BB_ERR_CBOR_TYPE);
    assert_int_equal(bb_cbor_read_int(&reader, &i), BB_OK);
    assert_int_equal(i, -100);
    assert_int_equal(bb_cbor_read_bool(&reader, &truth), BB_OK);
    assert_false(truth);
    assert_int_equal(bb_cbor_read_double(&reader, &real), BB_OK);
    assert_true(fabs(real - 1.5) < 1e-9);
    assert_int_equal(bb_cbor_read_bytes(&reader, &view), BB_OK);
    assert_int_equal(view.len, 2);
    assert_int_equal(bb_cbor_finish(&reader), BB_ERR_TRAILING);
    assert_int_equal(bb_cbor_read_null(&reader), BB_OK);
    assert_int_equal(bb_cbor_finish(&reader), BB_OK);
    bb_cbor_init(&reader, TEXT("\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"));
    assert_int_equal(bb_cbor_read_int(&reader, &i), BB_OK);
    assert_true(i == INT64_MIN);
    bb_cbor_init(&reader, TEXT("\x3b\x80\x00\x00\x00\x00\x00\x00\x00"));
    assert_int_equal(bb_cbor_read_int(&reader, &i), BB_ERR_TOO_LARGE);
    assert_true(i == INT64_MIN);
}

struct message {
    uint64_t number;
    int64_t integer;
    struct bb_view bytes, text;
    bool truth;
    double real;
    struct bb_cbor list;
};

#define FIELDS(m)                                                                                            \
    {                                                                                                        \
        {"number", BB_CBOR_UINT, &(m).number, true}, {"integer", BB_CBOR_NEGATIVE, &(m).integer, false},     \
            {"bytes", BB_CBOR_BYTES, &(m).bytes, false}, {"text", BB_CBOR_TEXT, &(m).text, false},           \
            {"truth", BB_CBOR_BOOL, &(m).truth, false}, {"real", BB_CBOR_DOUBLE, &(m).real, false}, {        \
            "list", BB_CBOR_ARRAY, &(m).list, false                                                          \
        }                                                                                                    \
    }
#define FIELD_COUNT 7

static enum bb_err read_message(struct bb_view bytes, struct message *m, bool ignore_unknown) {
    struct bb_cbor_field fields[FIELD_COUNT] = FIELDS(*m);
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = bb_cbor_read_fields(&reader, fields, FIELD_COUNT, ignore_unknown);
    return err == BB_OK ? bb_cbor_finish(&reader) : err;
}

static void write_message(struct bb_buf *out) {
    assert_int_equal(bb_cbor_put_map(out, 7), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "list"), BB_OK);
    assert_int_equal(bb_cbor_put_array(out, 2), BB_OK);
    assert_int_equal(bb_cbor_put_null(out), BB_OK);
    assert_int_equal(bb_cbor_put_tag(out, 70000), BB_OK);
    assert_int_equal(bb_cbor_put_uint(out, UINT64_MAX), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "number"), BB_OK);
    assert_int_equal(bb_cbor_put_uint(out, 24), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "integer"), BB_OK);
    assert_int_equal(bb_cbor_put_int(out, INT64_MIN), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "bytes"), BB_OK);
    assert_int_equal(bb_cbor_put_bytes(out, bb_view("\0\1", 2)), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "text"), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "grün"), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "truth"), BB_OK);
    assert_int_equal(bb_cbor_put_bool(out, true), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "real"), BB_OK);
    assert_int_equal(bb_cbor_put_double(out, 0.25), BB_OK);
}

static void messages_survive_the_round_trip(void **state) {
    (void)state;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    struct message m = {0};
    write_message(&bytes);
    assert_int_equal(read_message(bb_buf_view(&bytes), &m, false), BB_OK);
    assert_int_equal(m.number, 24);
    assert_true(m.integer == INT64_MIN);
    assert_true(bb_view_equal(m.bytes, bb_view("\0\1", 2)));
    assert_true(bb_view_equal(m.text, bb_view_str("grün")));
    assert_true(m.truth);
    assert_true(fabs(m.real - 0.25) < 1e-9);
    struct bb_cbor_items items;
    bool more = false;
    assert_int_equal(bb_cbor_enter_array(&m.list, &items), BB_OK);
    assert_int_equal(bb_cbor_next(&m.list, &items, &more), BB_OK);
    assert_true(more);
    assert_int_equal(bb_cbor_read_null(&m.list), BB_OK);
    assert_int_equal(bb_cbor_next(&m.list, &items, &more), BB_OK);
    assert_int_equal(bb_cbor_skip(&m.list), BB_OK);
    assert_int_equal(bb_cbor_next(&m.list, &items, &more), BB_OK);
    assert_false(more);
    assert_int_equal(bb_cbor_finish(&m.list), BB_OK);
    for (size_t len = 0; len < bytes.len; len++) {
        struct message untouched = {0};
        const struct message zero = {0};
        assert_int_equal(read_message(bb_view(bytes.data, len), &untouched, false), BB_ERR_TRUNCATED);
        assert_memory_equal(&untouched, &zero, sizeof zero);
    }
}

static void messages_are_read_strictly(void **state) {
    (void)state;
    const struct {
        struct bb_view bytes;
        enum bb_err err;
    } cases[] = {
        {TEXT("\xa1\x66number\x05"), BB_OK},
        {TEXT("\xbf\x66number\x05\xff"), BB_OK},
        {TEXT("\xa2\x66number\x05\x64text\xf6"), BB_OK},
        {TEXT("\xa0"), BB_ERR_CBOR_KEY},
        {TEXT("\xa1\x66number\xf6"), BB_ERR_CBOR_KEY}, /* null is absent */
        {TEXT("\xa1\x66number\x25"), BB_ERR_CBOR_TYPE},
        {TEXT("\xa2\x66number\x05\x64text\x41\x61"), BB_ERR_CBOR_TYPE},
        {TEXT("\xa2\x66number\x05\x67integer\x1b\xff\xff\xff\xff\xff\xff\xff\xff"), BB_ERR_TOO_LARGE},
        {TEXT("\xa2\x66number\x05\x66number\x05"), BB_ERR_CBOR_DUPLICATE},
        {TEXT("\xa2\x66number\x05\x66number\xf6"), BB_ERR_CBOR_DUPLICATE},
        {TEXT("\xa2\x66number\x05\x65other\x05"), BB_ERR_CBOR_KEY},
        {TEXT("\xa2\x66number\x05\x01\x05"), BB_ERR_CBOR_TYPE},
        {TEXT("\xa1\x66number\x05\x00"), BB_ERR_TRAILING},
        {TEXT("\x81\x01"), BB_ERR_CBOR_TYPE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct message m = {.number = 99};
        enum bb_err err = read_message(cases[i].bytes, &m, false);
        if (err != cases[i].err)
            fail_msg("entry %zu: %s", i, bb_err_name(err));
        if (err != BB_ERR_TRAILING)
            assert_int_equal(m.number, err == BB_OK ? 5 : 99);
    }
    struct message m = {0};
    assert_int_equal(read_message(TEXT("\xa2\x66number\x05\x65other\x05"), &m, true), BB_OK);
    assert_int_equal(read_message(TEXT("\xa3\x66number\x05\x65other\x05\x65other\x05"), &m, true),
                     BB_ERR_CBOR_DUPLICATE);
}

static void a_message_has_at_most_32_keys(void **state) {
    (void)state;
    for (size_t count = 32; count <= 33; count++) {
        struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        struct message m = {0};
        assert_int_equal(bb_cbor_put_map(&bytes, count), BB_OK);
        assert_int_equal(bb_cbor_put_text(&bytes, "number"), BB_OK);
        assert_int_equal(bb_cbor_put_uint(&bytes, 1), BB_OK);
        for (size_t i = 1; i < count; i++) {
            char key[2] = {(char)('A' + (int)i), '\0'};
            assert_int_equal(bb_cbor_put_text(&bytes, key), BB_OK);
            assert_int_equal(bb_cbor_put_null(&bytes), BB_OK);
        }
        assert_int_equal(read_message(bb_buf_view(&bytes), &m, true), count == 32 ? BB_OK : BB_ERR_TOO_LARGE);
    }
}

static void writers_keep_the_ceiling_and_utf8(void **state) {
    (void)state;
    struct bb_buf out BB_CLEANUP_BUF = BB_BUF_INIT(4);
    assert_int_equal(bb_cbor_put_text(&out, "\xc3"), BB_ERR_ARGUMENT);
    assert_int_equal(bb_cbor_put_text(&out, "abcd"), BB_ERR_TOO_LARGE);
    assert_int_equal(out.len, 0);
    assert_int_equal(bb_cbor_put_text(&out, "abc"), BB_OK);
    assert_int_equal(bb_cbor_put_null(&out), BB_ERR_TOO_LARGE);
    assert_memory_equal(out.data,
                        "\x63"
                        "abc",
                        4);
}

static void utf8_is_checked(void **state) {
    (void)state;
    assert_true(bb_utf8_valid(TEXT("")));
    assert_true(
        bb_utf8_valid(TEXT("a\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")));
    const struct bb_view bad[] = {
        TEXT("\x80"),        TEXT("\xc1\xbf"),         TEXT("\xe0\x9f\xbf"),     TEXT("\xed\xbf\xbf"),
        TEXT("\xe2\x82"),    TEXT("\xf0\x8f\xbf\xbf"), TEXT("\xf5\x80\x80\x80"), TEXT("\xff"),
        TEXT("\xe2\x28\xa1")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(bb_utf8_valid(bad[i]));
}

/* The input ends where a page begins that may not be touched: reading past the end would be a crash. */
static void nothing_is_read_past_the_end(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    write_message(&bytes);
    for (size_t len = 0; len <= bytes.len; len++) {
        uint8_t *at = memory + page - len;
        struct message m = {0};
        if (len > 0)
            memcpy(at, bytes.data, len);
        assert_int_equal(read_message(bb_view(at, len), &m, false),
                         len == bytes.len ? BB_OK : BB_ERR_TRUNCATED);
    }
    for (unsigned first = 0; first < 256; first++)
        for (size_t len = 1; len <= 9; len++) {
            uint8_t *at = memory + page - len;
            memset(at, 0xff, len);
            *at = (uint8_t)first;
            enum bb_err err = skip_whole(bb_view(at, len));
            assert_true(err == BB_OK || err == BB_ERR_CBOR || err == BB_ERR_TRUNCATED ||
                        err == BB_ERR_TRAILING);
        }
    assert_int_equal(munmap(memory, 2 * page), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_read_and_no_truncation),
        cmocka_unit_test(malformed_is_refused),
        cmocka_unit_test(every_short_tag_is_read),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(values_are_read_by_type),
        cmocka_unit_test(messages_survive_the_round_trip),
        cmocka_unit_test(messages_are_read_strictly),
        cmocka_unit_test(a_message_has_at_most_32_keys),
        cmocka_unit_test(writers_keep_the_ceiling_and_utf8),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(nothing_is_read_past_the_end),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
