/*
 * Tests of bb_document_parse_unverified(): it shows what a document says, also of one that the verifier
 * refuses, as far as it can be read; and the words for a certificate's issuer and key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fixture.h"

#define ok(call)      assert_int_equal((call), BB_OK)
#define TEXT(literal) bb_view((literal), sizeof(literal) - 1)

/* Fails the test unless the verifier refuses the forge's document with err; returns what can be shown of it.
 */
static struct bb_document *shown(struct forge *forge, enum bb_err err) {
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_DOCUMENT_MAX);
    struct bb_document *judged = NULL, *document = NULL;
    forge_build(forge, &bytes);
    struct bb_policy *policy = fixture_policy(forge);
    assert_int_equal(bb_verify_document(bytes.data, bytes.len, policy, NULL, FIXTURE_NOW_MS, NULL, &judged),
                     err);
    bb_document_free(judged);
    bb_policy_free(policy);
    ok(bb_document_parse_unverified(bytes.data, bytes.len, &document));
    return document;
}

static void assert_bytes(const uint8_t *data, size_t len, const char *expected) {
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(data, expected, len);
}

static void a_broken_signature_hides_nothing(void **state) {
    (void)state;
    struct forge forge FORGE_CLEANUP;
    size_t len;
    forge_init(&forge, FIXTURE_NOW_MS);
    forge.break_signature = true;
    forge_field_set_bytes(&forge, "nonce", TEXT("once"));
    forge_field_set_bytes(&forge, "user_data", TEXT("data"));
    forge_field_set_bytes(&forge, "public_key", TEXT("key"));
    struct bb_document *document = shown(&forge, BB_ERR_COSE_SIGNATURE);
    assert_non_null(bb_document_module_id(document));
    assert_string_equal(bb_document_digest(document), "SHA384");
    assert_true(bb_document_timestamp_ms(document) > 0);
    assert_non_null(bb_document_pcr(document, 0));
    assert_int_equal(bb_document_certificate_count(document), FORGE_CERTS);
    const uint8_t *data = bb_document_nonce(document, &len);
    assert_bytes(data, len, "once");
    data = bb_document_user_data(document, &len);
    assert_bytes(data, len, "data");
    data = bb_document_public_key(document, &len);
    assert_bytes(data, len, "key");
    bb_document_free(document);
}

/* One field is missing or of another type: the others are there. */
static void a_bad_field_hides_itself_alone(void **state) {
    (void)state;
    static const char *const names[] = {"module_id", "digest",      "timestamp",
                                        "pcrs",      "certificate", "cabundle"};
    for (size_t i = 0; i < 2 * (sizeof names / sizeof *names); i++) {
        const char *name = names[i / 2];
        struct forge forge FORGE_CLEANUP;
        size_t len;
        forge_init(&forge, FIXTURE_NOW_MS);
        if (i % 2 == 0)
            forge_field_remove(&forge, name);
        else
            forge_field_set(&forge, name, "\xf5", 1); /* true */
        struct bb_document *document = shown(&forge, BB_ERR_DOCUMENT_FIELD);
        size_t last = bb_document_certificate_count(document) - 1;
        assert_true((bb_document_module_id(document) == NULL) == (strcmp(name, "module_id") == 0));
        assert_true((bb_document_digest(document)[0] == '\0') == (strcmp(name, "digest") == 0));
        assert_true((bb_document_timestamp_ms(document) == 0) == (strcmp(name, "timestamp") == 0));
        assert_true((bb_document_pcr(document, 0) == NULL) == (strcmp(name, "pcrs") == 0));
        assert_true((bb_document_certificate(document, last, &len) == NULL) ==
                    (strcmp(name, "certificate") == 0));
        assert_true((last == 0) == (strcmp(name, "cabundle") == 0));
        bb_document_free(document);
    }
}

static void another_digest_is_shown(void **state) {
    (void)state;
    struct forge forge FORGE_CLEANUP;
    forge_init(&forge, FIXTURE_NOW_MS);
    forge_field_set(&forge, "digest", "\x64MD5\x1b", 5);
    struct bb_document *document = shown(&forge, BB_ERR_DOCUMENT_DIGEST);
    assert_string_equal(bb_document_digest(document), "MD5?");
    assert_non_null(bb_document_module_id(document));
    bb_document_free(document);
}

static void what_is_no_message_is_not_shown(void **state) {
    (void)state;
    struct forge forge FORGE_CLEANUP;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_DOCUMENT_MAX);
    static uint8_t large[BB_DOCUMENT_MAX + 1];
    struct bb_document *document = NULL;
    forge_init(&forge, FIXTURE_NOW_MS);
    forge_build(&forge, &bytes);
    for (size_t len = 0; len < bytes.len; len += 7)
        assert_int_equal(bb_document_parse_unverified(bytes.data, len, &document), BB_ERR_TRUNCATED);
    ok(bb_buf_append(&bytes, "x", 1));
    assert_int_equal(bb_document_parse_unverified(bytes.data, bytes.len, &document), BB_ERR_TRAILING);
    assert_int_equal(bb_document_parse_unverified((const uint8_t *)"\xa0", 1, &document), BB_ERR_COSE_FORM);
    assert_int_equal(bb_document_parse_unverified(large, sizeof large, &document), BB_ERR_TOO_LARGE);
    assert_int_equal(bb_document_parse_unverified(NULL, 1, &document), BB_ERR_ARGUMENT);
    assert_int_equal(bb_document_parse_unverified(large, 1, NULL), BB_ERR_ARGUMENT);
    assert_null(document);
}

/* Every byte of a document inverted, at the end of a page behind which nothing may be read. */
static void any_byte_may_be_wrong(void **state) {
    (void)state;
    struct forge forge FORGE_CLEANUP;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_DOCUMENT_MAX);
    forge_init(&forge, FIXTURE_NOW_MS);
    forge_build(&forge, &bytes);
    size_t pages = 5 * 4096, at_end = pages - bytes.len;
    uint8_t *memory = mmap(NULL, pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return fail();
    assert_int_equal(mprotect(memory + pages, 4096, PROT_NONE), 0);
    memcpy(memory + at_end, bytes.data, bytes.len);
    size_t parsed = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        struct bb_document *document = NULL;
        memory[at_end + i] ^= 0xff;
        parsed += bb_document_parse_unverified(memory + at_end, bytes.len, &document) == BB_OK;
        bb_document_free(document);
        memory[at_end + i] ^= 0xff;
    }
    assert_true(parsed > bytes.len / 2);
    munmap(memory, pages + 4096);
}

static void certificates_in_words(void **state) {
    (void)state;
    struct forge forge FORGE_CLEANUP;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_DOCUMENT_MAX);
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    struct bb_cert *root BB_CLEANUP_CERT = NULL, *regional BB_CLEANUP_CERT = NULL;
    forge_init(&forge, FIXTURE_NOW_MS);
    forge_key_replace(&forge, FORGE_REGIONAL, BB_CURVE_P256);
    forge_build(&forge, &bytes);
    ok(bb_cert_parse(bb_buf_view(&forge.certs[FORGE_ROOT].der), &root));
    ok(bb_cert_parse(bb_buf_view(&forge.certs[FORGE_REGIONAL].der), &regional));
    ok(bb_cert_issuer_text(regional, &text));
    assert_string_equal(bb_buf_str(&text), bb_cert_subject_text(root));
    bb_buf_clear(&text);
    ok(bb_cert_key_text(root, &text));
    assert_string_equal(bb_buf_str(&text), "P-384");
    bb_buf_clear(&text);
    ok(bb_cert_key_text(regional, &text));
    assert_string_equal(bb_buf_str(&text), "P-256");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_signature_hides_nothing),
        cmocka_unit_test(a_bad_field_hides_itself_alone),
        cmocka_unit_test(another_digest_is_shown),
        cmocka_unit_test(what_is_no_message_is_not_shown),
        cmocka_unit_test(any_byte_may_be_wrong),
        cmocka_unit_test(certificates_in_words),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
