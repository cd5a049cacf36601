/* Measurements of the place `process`: the very values, what they depend on, and their JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/hex.h"
#include "support.h"

static char folder[256];

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s", make_folder());
    write_file(in_folder(folder, "abc"), bb_view_str("abc"));
    write_file(in_folder(folder, "empty"), bb_view_str(""));
    write_file(in_folder(folder, "yml"), bb_view_str("version: 1\n"));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

static struct bb_measurements measure(const char *first, const char *second, const char *service) {
    const char *runtime[] = {in_folder(folder, first), in_folder(folder, second)};
    const char *services[] = {in_folder(folder, service)};
    struct bb_measurements out = {0};
    assert_int_equal(bb_measure_process(runtime, 2, services, 1, &out), BB_OK);
    return out;
}

static void assert_pcr(const struct bb_measurements *measurements, unsigned index, const char *hex) {
    char found[2 * BB_SHA384_LEN + 1];
    bb_hex_encode(bb_view(measurements->pcr[index], BB_SHA384_LEN), found);
    assert_string_equal(found, hex);
}

/* Computed with Python's hashlib from docs/ARCHITECTURE.md section 5. */
static void values_are_as_documented(void **state) {
    (void)state;
    struct bb_measurements m = measure("abc", "empty", "yml");
    assert_int_equal(m.present, 7);
    assert_pcr(
        &m, 0,
        "e05996942169db8148ffb273d7d48ed094d89a7d9edd6a33031758077202c3071ef6c72a09898070e4d055047a3e7877");
    assert_pcr(
        &m, 1,
        "53b0ae12494df5a9f76c83e0e7b0ab863b6adc77f8f20d4e9078441a8f7b45918d4e30c10e09089b4f870d1aa84bbae4");
    assert_pcr(
        &m, 2,
        "b9d7eb2125573c12147a01a20ec9e9d4808189f9ea3542d9a53d8d55f34eb9ab34847d790e31666218bd06221f03bc36");
    assert_int_equal(bb_measure_register(&m, 16, bb_view_str("model")), BB_OK);
    assert_pcr(
        &m, 16,
        "e245d3104168b53f890c83bb06c71749bb2f668468915a22553ade31a680cd6b1f748bcbfe25d6c2e56d126b23543874");
    assert_int_equal(m.present, 0x10007);
    assert_int_equal(bb_measure_register(&m, 32, bb_view_str("model")), BB_ERR_ARGUMENT);
}

static void order_and_content_count(void **state) {
    (void)state;
    struct bb_measurements a = measure("abc", "empty", "yml");
    struct bb_measurements swapped = measure("empty", "abc", "yml");
    struct bb_measurements same = measure("abc", "empty", "yml");
    assert_memory_equal(&a, &same, sizeof a);
    assert_memory_not_equal(a.pcr[1], swapped.pcr[1], BB_SHA384_LEN);
    assert_memory_equal(a.pcr[2], swapped.pcr[2], BB_SHA384_LEN);
    write_file(in_folder(folder, "yml"), bb_view_str("version: 2\n"));
    struct bb_measurements changed = measure("abc", "empty", "yml");
    assert_memory_not_equal(a.pcr[0], changed.pcr[0], BB_SHA384_LEN);
    assert_memory_equal(a.pcr[1], changed.pcr[1], BB_SHA384_LEN);
    assert_memory_not_equal(a.pcr[2], changed.pcr[2], BB_SHA384_LEN);
}

static void large_files_are_read_in_pieces(void **state) {
    (void)state;
    size_t len = 1000003;
    uint8_t *data = malloc(len + 8);
    assert_non_null(data);
    memset(data, 0x5a, len + 8);
    static const uint8_t length[8] = {0, 0, 0, 0, 0, 0x0f, 0x42, 0x43};
    memcpy(data, length, sizeof length);
    write_file(in_folder(folder, "large"), bb_view(data + 8, len));
    const char *runtime[] = {in_folder(folder, "large")};
    struct bb_measurements out = {0};
    assert_int_equal(bb_measure_process(runtime, 1, NULL, 0, &out), BB_OK);
    uint8_t digest[BB_SHA384_LEN], expected[BB_SHA384_LEN] = {0};
    assert_int_equal(bb_sha384(bb_view(data, len + 8), digest), BB_OK);
    assert_int_equal(bb_pcr_extend(expected, bb_view(digest, sizeof digest)), BB_OK);
    assert_memory_equal(out.pcr[1], expected, sizeof expected);
    assert_memory_equal(out.pcr[0], expected, sizeof expected);
    free(data);
}

static void what_cannot_be_read_is_an_error(void **state) {
    (void)state;
    const char *missing[] = {in_folder(folder, "abc"), in_folder(folder, "missing")};
    const char *directory[] = {folder};
    struct bb_measurements out = {.present = 1};
    assert_int_equal(bb_measure_process(missing, 2, NULL, 0, &out), BB_ERR_NOT_FOUND);
    assert_int_equal(bb_measure_process(directory, 1, NULL, 0, &out), BB_ERR_IO);
    assert_int_equal(out.present, 1);
}

static void json_is_nitro_clis(void **state) {
    (void)state;
    struct bb_measurements m = {.present = 1u << 0 | 1u << 18};
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    memset(m.pcr[18], 0xab, sizeof m.pcr[18]);
    assert_int_equal(bb_measurements_to_json(&m, &text), BB_OK);
    json_t *root = json_loads(bb_buf_str(&text), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    json_t *inner = json_object_get(root, "Measurements");
    assert_int_equal(json_object_size(root), 1);
    assert_int_equal(json_object_size(inner), 3);
    assert_string_equal(json_string_value(json_object_get(inner, "HashAlgorithm")), "Sha384 { ... }");
    assert_int_equal(json_string_length(json_object_get(inner, "PCR0")), 96);
    assert_int_equal(strspn(json_string_value(json_object_get(inner, "PCR18")), "ab"), 96);
    json_decref(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_as_documented),
        cmocka_unit_test(order_and_content_count),
        cmocka_unit_test(large_files_are_read_in_pieces),
        cmocka_unit_test(what_cannot_be_read_is_an_error),
        cmocka_unit_test(json_is_nitro_clis),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
