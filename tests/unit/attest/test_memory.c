/*
 * Memory that runs out at any point of a verification: a refusal, never a pass, never a crash or a leak. Our
 * own calls of malloc() and its like come through the linker's --wrap, OpenSSL's and jansson's through the
 * hooks they have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "cbor/cbor.h"
#include "fixture.h"

#define ok(call) assert_int_equal((call), BB_OK)

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strndup(const char *text, size_t len);

/* Allocations left until they fail; negative: they do not. */
static long left = -1;
static bool failed;

static bool fails(void) {
    if (left < 0)
        return false;
    if (left > 0) {
        left--;
        return false;
    }
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strndup(const char *text, size_t len) {
    return fails() ? NULL : __real_strndup(text, len);
}

static void *openssl_malloc(size_t size, const char *file, int line) {
    (void)file;
    (void)line;
    return fails() ? NULL : __real_malloc(size);
}

static void *openssl_realloc(void *memory, size_t size, const char *file, int line) {
    (void)file;
    (void)line;
    return fails() ? NULL : __real_realloc(memory, size);
}

static void openssl_free(void *memory, const char *file, int line) {
    (void)file;
    (void)line;
    free(memory);
}

static struct forge forge;
static struct bb_buf document_bytes, certificate_bytes, broken_bytes;

static int make_all(void **state) {
    (void)state;
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    document_bytes = broken_bytes = BB_BUF_INIT(BB_DOCUMENT_MAX);
    certificate_bytes = BB_BUF_INIT(BB_CERT_MAX);
    forge_init(&forge, FIXTURE_NOW_MS);
    forge.first_cert = FORGE_INSTANCE;
    forge_field_set_bytes(&forge, "nonce", bb_view_str("nonce"));
    ok(bb_key_generate(BB_CURVE_P256, &key));
    fixture_evidence_cert(&forge, key, &certificate_bytes);
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_view evidence;
    ok(bb_cert_parse(bb_buf_view(&certificate_bytes), &cert));
    ok(bb_cert_extension(cert, BB_OID_EVIDENCE, &evidence));
    ok(bb_buf_append(&document_bytes, evidence.data, evidence.len));
    ok(bb_buf_append(&broken_bytes, evidence.data, evidence.len));
    broken_bytes.data[broken_bytes.len - 1] ^= 1;
    return 0;
}

static int free_all(void **state) {
    (void)state;
    bb_buf_done(&document_bytes);
    bb_buf_done(&certificate_bytes);
    bb_buf_done(&broken_bytes);
    forge_done(&forge);
    return 0;
}

typedef enum bb_err (*operation)(const struct bb_policy *policy);

static enum bb_err verify_document(struct bb_view bytes, const struct bb_policy *policy) {
    static const struct bb_expectation expectation = {.nonce = (const uint8_t *)"nonce", .nonce_len = 5};
    struct bb_document *document = NULL;
    struct bb_report *report = bb_report_new();
    if (report == NULL)
        return BB_ERR_NO_MEMORY;
    enum bb_err err =
        bb_verify_document(bytes.data, bytes.len, policy, &expectation, FIXTURE_NOW_MS, report, &document);
    assert_true((err == BB_OK) == (document != NULL));
    if (err == BB_OK)
        assert_null(bb_report_failure(report));
    bb_document_free(document);
    bb_report_free(report);
    return err;
}

static enum bb_err good_document(const struct bb_policy *policy) {
    return verify_document(bb_buf_view(&document_bytes), policy);
}

static enum bb_err broken_document(const struct bb_policy *policy) {
    return verify_document(bb_buf_view(&broken_bytes), policy);
}

static enum bb_err good_certificate(const struct bb_policy *policy) {
    struct bb_document *document = NULL;
    enum bb_err err = bb_verify_certificate(certificate_bytes.data, certificate_bytes.len, policy,
                                            FIXTURE_NOW_MS, NULL, &document);
    bb_document_free(document);
    return err;
}

static enum bb_err unverified_document(const struct bb_policy *policy) {
    struct bb_document *document = NULL;
    (void)policy;
    enum bb_err err = bb_document_parse_unverified(document_bytes.data, document_bytes.len, &document);
    bb_document_free(document);
    return err;
}

static enum bb_err make_policy(const struct bb_policy *policy) {
    static const char json[] = "{\"PCR0\":\""
                               "101010101010101010101010101010101010101010101010"
                               "101010101010101010101010101010101010101010101010\"}";
    static char pem[8192];
    (void)policy;
    if (pem[0] == '\0') {
        struct bb_buf buf BB_CLEANUP_BUF = BB_BUF_INIT(sizeof pem - 1);
        forge_root_pem(&forge, &buf);
        memcpy(pem, bb_buf_str(&buf), buf.len + 1);
    }
    struct bb_policy *made = bb_policy_new();
    if (made == NULL)
        return BB_ERR_NO_MEMORY;
    enum bb_err err = bb_policy_trust_root_pem(made, pem, strlen(pem));
    if (err == BB_OK)
        err = bb_policy_load_measurements(made, json, sizeof json - 1);
    bb_policy_free(made);
    return err;
}

static enum bb_err make_key_and_certificate(const struct bb_policy *policy) {
    static const char *const names[] = {"localhost", NULL}, *const addresses[] = {"::1", NULL};
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(4096), pem BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    uint8_t signature[BB_ES384_SIGNATURE_LEN];
    (void)policy;
    enum bb_err err = bb_key_generate(BB_CURVE_P384, &key);
    if (err != BB_OK)
        return err;
    const struct bb_cert_request request = {.common_name = "a",
                                            .organization = "b",
                                            .subject_key = key,
                                            .issuer_key = key,
                                            .not_after_ms = FIXTURE_NOW_MS,
                                            .path_length = 2,
                                            .ca = true,
                                            .dns_names = names,
                                            .ip_addresses = addresses,
                                            .evidence = bb_view_str("evidence")};
    err = bb_cert_make(&request, &der);
    if (err == BB_OK)
        err = bb_key_to_pem(key, &pem);
    if (err == BB_OK)
        err = bb_key_sign_es384(key, bb_view_str("message"), signature);
    return err;
}

/* Fails every allocation from the nth on, for each n until the operation does without any failing. */
static void exhaust(operation operate, enum bb_err in_the_end, bool passes_are_an_error) {
    struct bb_policy *policy = fixture_policy(&forge);
    assert_int_equal(operate(policy), in_the_end); /* and OpenSSL has initialised itself */
    long n = 0;
    do {
        failed = false;
        left = n++;
        enum bb_err err = operate(policy);
        left = -1;
        if (failed && err == BB_OK && passes_are_an_error)
            fail_msg("allocation %ld failed, and it passes", n);
        if (!failed)
            assert_int_equal(err, in_the_end);
    } while (failed);
    assert_true(n > 3);
    print_message("# %ld allocations\n", n - 1);
    assert_int_equal(operate(policy), in_the_end);
    bb_policy_free(policy);
}

static void a_good_document(void **state) {
    (void)state;
    exhaust(good_document, BB_OK, true);
}

static void a_broken_document(void **state) {
    (void)state;
    exhaust(broken_document, BB_ERR_COSE_SIGNATURE, true);
}

static void a_good_certificate(void **state) {
    (void)state;
    /* The hash of a long key in a sentence is a nicety, without which a verification may pass. */
    exhaust(good_certificate, BB_OK, false);
}

static void an_unverified_document(void **state) {
    (void)state;
    exhaust(unverified_document, BB_OK, true);
}

static void a_policy(void **state) {
    (void)state;
    exhaust(make_policy, BB_OK, true);
}

static void keys_and_certificates(void **state) {
    (void)state;
    exhaust(make_key_and_certificate, BB_OK, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_document),       cmocka_unit_test(a_broken_document),
        cmocka_unit_test(a_good_certificate),    cmocka_unit_test(a_policy),
        cmocka_unit_test(keys_and_certificates), cmocka_unit_test(an_unverified_document),
    };
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
        return 1;
    json_set_alloc_funcs(__wrap_malloc, free);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_all, free_all);
}
