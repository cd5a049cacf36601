/* Tests of the multipart parser and the form over it: every split, every truncation, each refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "enclave/gate/form.h"
#include "enclave/gate/multipart.h"

#define BODY(...)  "--b\r\n" __VA_ARGS__ "\r\n--b--\r\n"
#define PART(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"

/* Writes what the parser says as text: "[name]data;". */
static enum bb_err on_part(void *arg, struct bb_view name) {
    return bb_buf_printf(arg, "[%.*s]", (int)name.len, (const char *)name.data);
}

static enum bb_err on_data(void *arg, struct bb_view bytes) {
    return bb_buf_append(arg, bytes.data, bytes.len);
}

static enum bb_err on_end(void *arg) {
    return bb_buf_append_str(arg, ";");
}

static const struct bb_multipart_events events = {.part = on_part, .data = on_data, .end = on_end};

/* Parses body in pieces of `first` bytes, then the rest. */
static enum bb_err parse(struct bb_view body, size_t first, struct bb_buf *said, const char **reason) {
    struct bb_multipart parser;
    bb_multipart_init(&parser, "b", &events, said);
    enum bb_err err = bb_multipart_feed(&parser, bb_view(body.data, first));
    if (err == BB_OK)
        err = bb_multipart_feed(&parser, bb_view(body.data + first, body.len - first));
    if (err == BB_OK)
        err = bb_multipart_finish(&parser);
    *reason = parser.reason;
    bb_multipart_done(&parser);
    return err;
}

static const struct {
    const char *body;
    const char *said;
} good[] = {
    {BODY(PART("a") "hello"), "[a]hello;"},
    {BODY(PART("a") ""), "[a];"},
    {"--b\r\n" PART("a") "--b--", "[a];"},
    {BODY(PART("a") "x\r\n--b\r\n" PART("b") "y"), "[a]x;[b]y;"},
    {"preamble\r\n--b\r\n" PART("a") "x\r\n--b--epilogue\r\n--b\r\n", "[a]x;"},
    {"\r\n--b\r\n" PART("a") "x\r\n--b--", "[a]x;"},
    {BODY(PART("a") "\r\n"), "[a]\r\n;"},
    {BODY(PART("a") "\r"), "[a]\r;"},
    {BODY(PART("a") "\r\r\n-\r\n--\r\n--c\r\n--\n--b\n"), "[a]\r\r\n-\r\n--\r\n--c\r\n--\n--b\n;"},
    {BODY(PART("a") "--c"), "[a]--c;"},
    {BODY(PART("a") "--"), "[a]--;"},
    {"--b  \t\r\n" PART("a") "x\r\n--b--", "[a]x;"},
    {BODY("content-disposition:form-data;name=a;filename=\"x; name=y\"\r\nContent-Type: audio/wav\r\n\r\nz"),
     "[a]z;"},
    {BODY("Content-Disposition: form-data; filename=\"C:\\f.wav\"; name=\"q\\\"q\"\r\n\r\nz"), "[q\"q]z;"},
    {BODY("Content-Transfer-Encoding: binary\r\nContent-Disposition: form-data; name=a\r\n\r\nz"), "[a]z;"},
};

static void whole_at_every_split(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct bb_view body = bb_view_str(good[i].body);
        for (size_t split = 0; split <= body.len; split++) {
            struct bb_buf said BB_CLEANUP_BUF = BB_BUF_INIT(4096);
            const char *reason;
            assert_int_equal(parse(body, split, &said, &reason), BB_OK);
            assert_string_equal(bb_buf_str(&said), good[i].said);
        }
    }
}

static void byte_by_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct bb_buf said BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        struct bb_multipart parser;
        bb_multipart_init(&parser, "b", &events, &said);
        for (const char *at = good[i].body; *at != '\0'; at++)
            assert_int_equal(bb_multipart_feed(&parser, bb_view(at, 1)), BB_OK);
        assert_int_equal(bb_multipart_finish(&parser), BB_OK);
        assert_string_equal(bb_buf_str(&said), good[i].said);
    }
}

/* The byte after the input is not readable. */
static void every_truncation_is_noticed(void **state) {
    (void)state;
    static const char body[] = "--b\r\n" PART("a") "hello\r\n--b\r\n" PART("b") "x\r\n--b--";
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(mprotect(memory + page, page, PROT_NONE), 0);
    for (size_t len = 0; len < sizeof body - 1; len++) {
        struct bb_buf said BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        const char *reason;
        memcpy(memory + page - len, body, len);
        assert_int_equal(parse(bb_view(memory + page - len, len), len, &said, &reason), BB_ERR_TRUNCATED);
        assert_non_null(reason);
    }
    (void)munmap(memory, 2 * page);
}

static void malformed_forms_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *body;
        enum bb_err err;
        const char *reason;
    } bad[] = {
        {"--bx\r\n", BB_ERR_PROTOCOL, "A boundary of the form is followed by other text"},
        {"--b-x", BB_ERR_PROTOCOL, "A boundary of the form is followed by other text"},
        {"--b\n", BB_ERR_PROTOCOL, "A boundary of the form is followed by other text"},
        {BODY("Content-Type: a/b\r\n\r\nx"), BB_ERR_PROTOCOL, "A part of the form has no name"},
        {BODY("Content-Disposition: form-data\r\n\r\nx"), BB_ERR_PROTOCOL, "A part of the form has no name"},
        {BODY("Content-Disposition: form-data; name=\"a\r\n\r\nx"), BB_ERR_PROTOCOL,
         "A part of the form has no name"},
        {BODY("Content-Disposition: form-data; name=a; name=b\r\n\r\nx"), BB_ERR_PROTOCOL,
         "A part of the form has no name"},
        {BODY("Content-Disposition: attachment; name=a\r\n\r\nx"), BB_ERR_PROTOCOL,
         "A part of the form is not marked as form-data"},
        {BODY(PART("a") "x") "", BB_OK, NULL},
        {"--b\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\n",
         BB_ERR_PROTOCOL, "A part of the form has two names"},
        {"--b\r\nX: y;\r\n name=a: b\r\n\r\n", BB_ERR_PROTOCOL, "A part of the form has a malformed header"},
        {"--b\r\nno colon\r\n\r\n", BB_ERR_PROTOCOL, "A part of the form has a malformed header"},
        {"--b\r\nA: b\n\r\n", BB_ERR_PROTOCOL, "A part of the form has a malformed header"},
        {"--b\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=a\r\n\r\n",
         BB_ERR_PROTOCOL, "Parts of the form must not be transfer-encoded"},
        {"no boundary at all", BB_ERR_TRUNCATED, "The form does not contain its boundary"},
        {"--b", BB_ERR_TRUNCATED, "The form ends before its closing boundary"},
        {"--b\r\n" PART("a") "x", BB_ERR_TRUNCATED, "The form ends in the middle of a part"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bb_buf said BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        const char *reason;
        assert_int_equal(parse(bb_view_str(bad[i].body), 0, &said, &reason), bad[i].err);
        if (bad[i].reason != NULL)
            assert_string_equal(reason, bad[i].reason);
    }
}

static void limits_hold(void **state) {
    (void)state;
    struct bb_buf body BB_CLEANUP_BUF = BB_BUF_INIT(1 << 20);
    struct bb_buf said BB_CLEANUP_BUF = BB_BUF_INIT(1 << 20);
    const char *reason;
    assert_int_equal(bb_buf_append_str(&body, "--b\r\nX: "), BB_OK);
    for (unsigned i = 0; i < BB_MULTIPART_HEADER_MAX; i++)
        assert_int_equal(bb_buf_append_str(&body, "x"), BB_OK);
    assert_int_equal(parse(bb_buf_view(&body), 0, &said, &reason), BB_ERR_TOO_LARGE);
    assert_string_equal(reason, "A part of the form has a header over 8192 bytes");

    bb_buf_clear(&body);
    assert_int_equal(bb_buf_append_str(&body, "--b"), BB_OK);
    for (unsigned i = 0; i < BB_MULTIPART_PARTS_MAX; i++)
        assert_int_equal(bb_buf_append_str(&body, "\r\n" PART("a") "\r\n--b"), BB_OK);
    size_t len = body.len;
    assert_int_equal(bb_buf_append_str(&body, "--"), BB_OK);
    assert_int_equal(parse(bb_buf_view(&body), 0, &said, &reason), BB_OK);
    body.len = len;
    assert_int_equal(bb_buf_append_str(&body, "\r\n" PART("a") "\r\n--b--"), BB_OK);
    assert_int_equal(parse(bb_buf_view(&body), 0, &said, &reason), BB_ERR_TOO_LARGE);
    assert_string_equal(reason, "The form has more than 64 parts");

    bb_buf_clear(&body);
    assert_int_equal(bb_buf_printf(&body, "--b\r\nContent-Disposition: form-data; name=%0300d\r\n\r\n", 0),
                     BB_OK);
    assert_int_equal(parse(bb_buf_view(&body), 0, &said, &reason), BB_ERR_TOO_LARGE);
    assert_string_equal(reason, "The name of a form field is longer than 256 bytes");
}

static enum bb_err refuse_data(void *arg, struct bb_view bytes) {
    (void)arg;
    (void)bytes;
    return BB_ERR_NO_MEMORY;
}

static void a_callbacks_error_ends_the_parse(void **state) {
    (void)state;
    static const struct bb_multipart_events failing = {.part = on_part, .data = refuse_data, .end = on_end};
    struct bb_buf said BB_CLEANUP_BUF = BB_BUF_INIT(64);
    struct bb_multipart parser;
    bb_multipart_init(&parser, "b", &failing, &said);
    assert_int_equal(bb_multipart_feed(&parser, bb_view_str(BODY(PART("a") "x"))), BB_ERR_NO_MEMORY);
    assert_int_equal(bb_multipart_feed(&parser, bb_view_str("x")), BB_ERR_PROTOCOL);
    assert_int_equal(bb_multipart_finish(&parser), BB_ERR_TRUNCATED);
}

static void boundaries_are_read(void **state) {
    (void)state;
    static const char seventy[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    char boundary[BB_MULTIPART_BOUNDARY_MAX + 1];
    char type[512];
    static const struct {
        const char *type;
        enum bb_err err;
        const char *boundary;
    } cases[] = {
        {"multipart/form-data; boundary=abc", BB_OK, "abc"},
        {"Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a b\"", BB_OK, "a b"},
        {"multipart/form-data ; boundary=abc ;", BB_OK, "abc"},
        {"multipart/form-data", BB_ERR_NOT_FOUND, NULL},
        {"multipart/form-data; boundary", BB_ERR_ARGUMENT, NULL},
        {"multipart/form-data; boundary=", BB_ERR_ARGUMENT, NULL},
        {"multipart/form-data; boundary=\"\"", BB_ERR_ARGUMENT, NULL},
        {"multipart/form-data; boundary=\"a ", BB_ERR_ARGUMENT, NULL},
        {"multipart/form-data; boundary=\"a \"", BB_ERR_ARGUMENT, NULL},
        {"multipart/form-data; boundary=a\x80", BB_ERR_ARGUMENT, NULL},
        {"multipart/form-data; boundary=a; boundary=b", BB_ERR_ARGUMENT, NULL},
        {"multipart/mixed; boundary=a", BB_ERR_UNSUPPORTED, NULL},
        {"application/json", BB_ERR_UNSUPPORTED, NULL},
        {"", BB_ERR_UNSUPPORTED, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(bb_multipart_boundary(bb_view_str(cases[i].type), boundary), cases[i].err);
        if (cases[i].err == BB_OK)
            assert_string_equal(boundary, cases[i].boundary);
    }
    (void)snprintf(type, sizeof type, "multipart/form-data; boundary=%s", seventy);
    assert_int_equal(bb_multipart_boundary(bb_view_str(type), boundary), BB_OK);
    assert_string_equal(boundary, seventy);
    (void)snprintf(type, sizeof type, "multipart/form-data; boundary=%sx", seventy);
    assert_int_equal(bb_multipart_boundary(bb_view_str(type), boundary), BB_ERR_TOO_LARGE);
}

static const struct bb_limits limits = {.form_field_bytes = 8, .memory_bytes = 32};
static const char *const names[] = {"model", "prompt", NULL};

static bool read_form(struct bb_form *form, const char *body, uint64_t *memory_used) {
    if (!bb_form_init(form, bb_view_str("multipart/form-data; boundary=b"), "file", names, &limits,
                      memory_used))
        return false;
    return bb_form_feed(form, bb_view_str(body)) && bb_form_finish(form);
}

static void a_form_gives_its_file_and_fields(void **state) {
    (void)state;
    struct bb_form form;
    uint64_t used = 0, len;
    assert_true(read_form(&form,
                          BODY(PART("model") "m\r\n--b\r\n" PART(
                              "other") "a long value that nobody wants\r\n--b\r\n" PART("file") "12345"),
                          &used));
    assert_string_equal(bb_buf_str(bb_form_value(&form, "model")), "m");
    assert_null(bb_form_value(&form, "prompt"));
    assert_int_equal(bb_memfd_check_sealed(form.file_fd, 100, &len), BB_OK);
    assert_int_equal(len, 5);
    assert_int_equal(used, 5);
    char content[6] = "";
    assert_int_equal(pread(form.file_fd, content, 5, 0), 5);
    assert_string_equal(content, "12345");
    bb_form_done(&form);
    assert_int_equal(used, 0);
}

static void bad_forms_say_why(void **state) {
    (void)state;
    static const struct {
        const char *body;
        int status;
        const char *message;
    } cases[] = {
        {BODY(PART("audio") "x"), 400, "The form has no file in the field file"},
        {BODY(PART("file") "x\r\n--b\r\n" PART("file") "y"), 400, "The form has the file field file twice"},
        {BODY(PART("model") "x\r\n--b\r\n" PART("model") "y"), 400, "The form has the field model twice"},
        {BODY(PART("prompt") "123456789"), 413,
         "The form field prompt exceeds the limit form_field_bytes (8)"},
        {BODY(PART("file") "123456789012345678901234567890123"), 503,
         "Uploads fill the memory that they may have: the limit memory_bytes (32) is reached"},
        {"--b\r\n" PART("file") "x", 400, "The form ends in the middle of a part"},
        {"", 400, "The form does not contain its boundary"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bb_form form;
        uint64_t used = 0;
        assert_false(read_form(&form, cases[i].body, &used));
        assert_int_equal(form.fault.status, cases[i].status);
        assert_string_equal(form.fault.message, cases[i].message);
        bb_form_done(&form);
        assert_int_equal(used, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_at_every_split),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(malformed_forms_are_refused),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_callbacks_error_ends_the_parse),
        cmocka_unit_test(boundaries_are_read),
        cmocka_unit_test(a_form_gives_its_file_and_fields),
        cmocka_unit_test(bad_forms_say_why),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
