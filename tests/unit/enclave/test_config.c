/* Tests of src/enclave/config.c: what a blindbox.yml may say, and the exact reason for each refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "enclave/config.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"
#define HEAD   "version: 1\nspeech:\n  model: sha256:" DIGEST "\n"

static enum bb_err parse(const char *text, struct bb_config *out, struct bb_buf *reason) {
    return bb_config_parse(bb_view_str(text), out, reason);
}

static void defaults_are_those_of_the_limits_header(void **state) {
    (void)state;
    struct bb_config config;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
    assert_int_equal(parse(HEAD, &config, &reason), BB_OK);
    assert_string_equal(bb_buf_str(&reason), "");
    assert_int_equal(config.speech_model_sha256[0], 0x01);
    assert_int_equal(config.speech_model_sha256[31], 0xef);
    assert_string_equal(config.speech_name, "speech");
    assert_string_equal(config.speech_language, "en");
    assert_int_equal(config.speech_states, 0);
    assert_int_equal(config.speech_threads, 1);
    assert_true(config.speech_fallback);
    assert_int_equal(config.evidence_renew_seconds, 1200);
#define CHECK(name, value, lowest, highest, meaning) assert_int_equal(config.limits.name, value);
    BB_LIMIT_LIST(CHECK)
#undef CHECK
}

static void every_setting_can_be_set(void **state) {
    (void)state;
    struct bb_config config;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
    const char *text =
        HEAD "  name: whisper-1.x_y\n  states: 3\n  threads: 2\n  language: auto\n  fallback: false\n"
             "evidence:\n  renew_seconds: 60\n"
             "limits: {body_bytes: 2000, queue: 1}\n";
    assert_int_equal(parse(text, &config, &reason), BB_OK);
    assert_string_equal(config.speech_name, "whisper-1.x_y");
    assert_string_equal(config.speech_language, "auto");
    assert_int_equal(config.speech_states, 3);
    assert_int_equal(config.speech_threads, 2);
    assert_false(config.speech_fallback);
    assert_int_equal(config.evidence_renew_seconds, 60);
    assert_int_equal(config.limits.body_bytes, 2000);
    assert_int_equal(config.limits.queue, 1);
    assert_int_equal(config.limits.connections, 1024);
}

static void limits_keep_their_bounds(void **state) {
    (void)state;
    struct bb_config config;
    char text[512];
#define CHECK(name, value, lowest, highest, meaning)                                                         \
    {                                                                                                        \
        const uint64_t good[] = {lowest, highest};                                                           \
        const uint64_t bad[] = {lowest - 1, highest + 1ull};                                                 \
        for (size_t i = 0; i < 2; i++) {                                                                     \
            struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);                                         \
            snprintf(text, sizeof text, HEAD "limits:\n  " #name ": %llu\n", (unsigned long long)good[i]);   \
            assert_int_equal(parse(text, &config, &reason), BB_OK);                                          \
            assert_int_equal(config.limits.name, good[i]);                                                   \
            snprintf(text, sizeof text, HEAD "limits:\n  " #name ": %llu\n", (unsigned long long)bad[i]);    \
            assert_int_equal(parse(text, &config, &reason), BB_ERR_CONFIG);                                  \
            assert_non_null(strstr(bb_buf_str(&reason), "limits." #name " is "));                            \
        }                                                                                                    \
    }
    BB_LIMIT_LIST(CHECK)
#undef CHECK
}

static const struct {
    const char *text, *reason;
} refused[] = {
    {"", "blindbox.yml: the file is empty"},
    {"# nothing\n", "blindbox.yml: the file has no content"},
    {"version: 1\n", "blindbox.yml: Missing required mapping field: speech in mapping field 'version' (line: "
                     "1, column: 10)"},
    {"version: 2\nspeech:\n  model: sha256:" DIGEST "\n", "blindbox.yml: version is 2, allowed: 1"},
    {HEAD "  modle: x\n", "blindbox.yml: Unexpected key: modle in mapping (line: 3, column: 10)"},
    {HEAD "limits:\n  bodybytes: 5\n",
     "blindbox.yml: Unexpected key: bodybytes in mapping (line: 5, column: 3)"},
    {HEAD "  model: sha256:" DIGEST "\n",
     "blindbox.yml: Mapping field already seen: model in mapping field 'model' (line: 3, column: 10)"},
    {HEAD "limits: {queue: 5, queue: 6}\n",
     "blindbox.yml: Mapping field already seen: queue in mapping field 'queue' (line: 4, column: 17)"},
    {HEAD "limits:\n  queue: -1\n", "blindbox.yml: limits.queue is -1, allowed: 1 to 4096"},
    {HEAD "limits:\n  queue: 0x10\n", "blindbox.yml: limits.queue is 0x10, allowed: 1 to 4096"},
    {HEAD "limits:\n  queue: 010\n", "blindbox.yml: limits.queue is 010, allowed: 1 to 4096"},
    {HEAD "limits:\n  queue: 1e2\n", "blindbox.yml: limits.queue is 1e2, allowed: 1 to 4096"},
    {HEAD "limits:\n  queue: ''\n", "blindbox.yml: limits.queue is , allowed: 1 to 4096"},
    {HEAD "limits:\n  queue: 18446744073709551617\n",
     "blindbox.yml: limits.queue is 18446744073709551617, allowed: 1 to 4096"},
    {HEAD "limits:\n  queue: \"1\\e[2J\"\n",
     "blindbox.yml: limits.queue is something unprintable, allowed: 1 to 4096"},
    {HEAD "  threads: 0\n", "blindbox.yml: speech.threads is 0, allowed: 1 to 256"},
    {HEAD "  fallback: 0\n", "blindbox.yml: speech.fallback is 0, allowed: true or false"},
    {HEAD "  states: 257\n", "blindbox.yml: speech.states is 257, allowed: 0 to 256"},
    {HEAD "  language: EN\n", "blindbox.yml: speech.language is EN, allowed: a code such as en, or auto"},
    {HEAD "  name: a/b\n", "blindbox.yml: speech.name is a/b, allowed: 1 to 64 letters, digits, dots, lines "
                           "(- and _)"},
    {"version: 1\nspeech:\n  model: sha256:0123\n",
     "blindbox.yml: speech.model is sha256:0123, allowed: sha256: and 64 hexadecimal digits"},
    {"version: 1\nspeech:\n  model: " DIGEST "\n",
     "blindbox.yml: speech.model is " DIGEST ", allowed: sha256: and 64 hexadecimal digits"},
    {"version: 1\nspeech:\n  model: &a x\n  name: *a\n",
     "blindbox.yml: YAML alias unsupported in mapping field 'name' (line: 4, column: 3)"},
    {HEAD "---\nversion: 1\n", "blindbox.yml: one document is allowed, without the marks --- and ..."},
};

static void refusals_name_field_and_what_is_allowed(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct bb_config config;
        struct bb_config before;
        struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
        memset(&config, 0x5a, sizeof config);
        memcpy(&before, &config, sizeof before);
        assert_int_equal(parse(refused[i].text, &config, &reason), BB_ERR_CONFIG);
        assert_string_equal(bb_buf_str(&reason), refused[i].reason);
        assert_memory_equal(&config, &before, sizeof config);
    }
}

static void shapes_that_are_not_ours_are_refused(void **state) {
    (void)state;
    const char *texts[] = {"- 1\n- 2\n",
                           "word",
                           "\t",
                           "a: [",
                           HEAD "limits:\n",
                           HEAD "limits: 5\n",
                           "version: [1]\nspeech:\n  model: x\n",
                           "\xff\xfe",
                           "version: 1\n\0",
                           "{{{{{{{{"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct bb_config config;
        struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
        assert_int_equal(parse(texts[i], &config, &reason), BB_ERR_CONFIG);
        assert_true(reason.len > 15);
    }
}

/* A file cut at any point is refused or is a shorter valid file; it never crashes. */
static void every_truncation_is_survived(void **state) {
    (void)state;
    const char *text = HEAD "  states: 3\nlimits:\n  queue: 12\n";
    size_t good = 0;
    for (size_t len = 0; len <= strlen(text); len++) {
        struct bb_config config;
        struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
        char *copy = malloc(len + 1); /* so that a sanitizer sees every byte read past the end */
        assert_non_null(copy);
        memcpy(copy, text, len);
        enum bb_err err = bb_config_parse(bb_view(copy, len), &config, &reason);
        free(copy);
        assert_true(err == BB_OK || err == BB_ERR_CONFIG);
        good += err == BB_OK;
    }
    assert_true(good >= 3 && good < 30);
}

static void sealed_files_are_read_and_others_refused(void **state) {
    (void)state;
    struct bb_config config;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(1000);
    int fd BB_CLEANUP_FD = -1;
    assert_int_equal(bb_memfd_new("test", &fd), BB_OK);
    assert_int_equal(bb_fd_write_all(fd, bb_view_str(HEAD), -1), BB_OK);
    assert_int_equal(bb_config_from_fd(fd, &config, &reason), BB_ERR_PROTOCOL);
    assert_int_equal(bb_memfd_seal(fd), BB_OK);
    for (int i = 0; i < 2; i++) /* the offset that all holders share does not matter */
        assert_int_equal(bb_config_from_fd(fd, &config, &reason), BB_OK);
    assert_int_equal(config.speech_model_sha256[1], 0x23);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_limits_header),
        cmocka_unit_test(every_setting_can_be_set),
        cmocka_unit_test(limits_keep_their_bounds),
        cmocka_unit_test(refusals_name_field_and_what_is_allowed),
        cmocka_unit_test(shapes_that_are_not_ours_are_refused),
        cmocka_unit_test(every_truncation_is_survived),
        cmocka_unit_test(sealed_files_are_read_and_others_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
