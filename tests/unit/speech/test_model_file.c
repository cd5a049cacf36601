/* The structure of a model file: the whole demonstration model passes, every cut and every lie is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "enclave/speech/model_file.h"
#include "sounds.h"

static struct bb_buf model;

static enum bb_err check(struct bb_view file) {
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(512);
    enum bb_err err = bb_model_file_check(file, &reason);
    assert_int_equal(err == BB_OK, reason.len == 0);
    return err;
}

static void the_whole_model_passes(void **state) {
    (void)state;
    assert_int_equal(check(bb_buf_view(&model)), BB_OK);
}

static void every_kind_of_cut_is_refused(void **state) {
    (void)state;
    static const size_t short_by[] = {1, 20, 1000, 4096, 100000, 5000000};
    for (size_t i = 0; i < sizeof short_by / sizeof *short_by; i++)
        assert_int_equal(check(bb_view(model.data, model.len - short_by[i])), BB_ERR_MODEL);
    for (size_t len = 0; len < 70000; len += len < 64400 ? 331 : 1)
        assert_int_equal(check(bb_view(model.data, len)), BB_ERR_MODEL);
}

/* The whole last tensor gone: the file ends where a tensor does. */
static void a_missing_tensor_is_noticed(void **state) {
    (void)state;
    static const char last[] = "decoder.token_embedding.weight";
    uint8_t *at = memmem(model.data, model.len, last, strlen(last));
    assert_non_null(at);
    size_t header = 3 * 4 + 2 * 4;
    assert_int_equal(check(bb_view(model.data, (size_t)(at - model.data) - header)), BB_ERR_MODEL);
}

static void lies_in_the_header_are_refused(void **state) {
    (void)state;
    static const uint32_t values[] = {0, 0x7fffffff, 0xffffffff, 77};
    for (size_t field = 0; field < 10; field++) { /* 77 layers or mels do not match the rest either */
        for (size_t i = 0; i < (field == 4 || field == 8 || field == 9 ? 4 : 3); i++) {
            uint32_t kept;
            uint8_t *at = model.data + 4 + 4 * field;
            memcpy(&kept, at, 4);
            memcpy(at, &values[i], 4);
            assert_int_equal(check(bb_buf_view(&model)), BB_ERR_MODEL);
            memcpy(at, &kept, 4);
        }
    }
    model.data[0] ^= 1;
    assert_int_equal(check(bb_buf_view(&model)), BB_ERR_MODEL);
    model.data[0] ^= 1;
}

static void bytes_to_spare_are_refused(void **state) {
    (void)state;
    struct bb_buf longer BB_CLEANUP_BUF = BB_BUF_INIT(SOUND_MAX);
    assert_int_equal(bb_buf_append(&longer, model.data, model.len), BB_OK);
    assert_int_equal(bb_buf_append(&longer, "x", 1), BB_OK);
    assert_int_equal(check(bb_buf_view(&longer)), BB_ERR_MODEL);
}

static int load(void **state) {
    (void)state;
    model = file_bytes(BB_MODELS "/demo-speech.bin");
    return 0;
}

static int unload(void **state) {
    (void)state;
    bb_buf_done(&model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_model_passes),      cmocka_unit_test(every_kind_of_cut_is_refused),
        cmocka_unit_test(a_missing_tensor_is_noticed), cmocka_unit_test(lies_in_the_header_are_refused),
        cmocka_unit_test(bytes_to_spare_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, load, unload);
}
