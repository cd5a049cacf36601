/* Tests of bb_verify_certificate(): the evidence certificate, one bad one for every check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "fixture.h"

#define ok(call) assert_int_equal((call), BB_OK)

/* A certificate of a document, and everything to judge it with. */
struct scene {
    struct forge forge;
    struct bb_key *key;
    struct bb_buf der;
    struct bb_report *report;
    int64_t now_ms;
};

static void scene_init(struct scene *scene) {
    *scene = (struct scene){.der = BB_BUF_INIT(BB_CERT_MAX), .now_ms = FIXTURE_NOW_MS};
    forge_init(&scene->forge, FIXTURE_NOW_MS);
    ok(bb_key_generate(BB_CURVE_P256, &scene->key));
    fixture_evidence_cert(&scene->forge, scene->key, &scene->der);
    scene->report = bb_report_new();
    assert_non_null(scene->report);
}

static void scene_done(struct scene *scene) {
    bb_report_free(scene->report);
    bb_buf_done(&scene->der);
    bb_key_free(scene->key);
    forge_done(&scene->forge);
}
#define SCENE_CLEANUP __attribute__((cleanup(scene_done)))

static void expect(struct scene *scene, enum bb_err expected, const char *pattern) {
    struct bb_policy *policy = fixture_policy(&scene->forge);
    struct bb_document *document = NULL;
    enum bb_err err = bb_verify_certificate(scene->der.data, scene->der.len, policy, scene->now_ms,
                                            scene->report, &document);
    if (err != expected)
        fail_msg("%s, expected %s", bb_err_name(err), bb_err_name(expected));
    assert_true((err == BB_OK) == (document != NULL));
    if (err != BB_OK)
        fixture_assert_sentence(bb_report_failure(scene->report), pattern);
    bb_document_free(document);
    bb_policy_free(policy);
}

/* Makes the scene's certificate anew out of changed parts. */
static void remake(struct scene *scene, struct bb_cert_request request) {
    bb_buf_clear(&scene->der);
    request.common_name = "BlindBox enclave";
    request.path_length = -1;
    if (request.not_after_ms == 0) {
        request.not_before_ms = FIXTURE_NOW_MS - 300000;
        request.not_after_ms = FIXTURE_NOW_MS + 86400000;
    }
    ok(bb_cert_make(&request, &scene->der));
}

static void document_for(struct scene *scene, const struct bb_key *key, struct bb_buf *document) {
    struct bb_buf spki BB_CLEANUP_BUF = BB_BUF_INIT(256);
    ok(bb_key_spki(key, &spki));
    forge_field_set_bytes(&scene->forge, "public_key", bb_buf_view(&spki));
    forge_build(&scene->forge, document);
}

/* Opens the certificate, changes it and signs it again with its own key. */
static void edit(struct scene *scene, void (*change)(X509 *)) {
    const unsigned char *at = scene->der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)scene->der.len);
    assert_non_null(x509);
    change(x509);
    assert_true(X509_sign(x509, bb_key_evp(scene->key), EVP_sha256()) > 0);
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);
    assert_true(len > 0);
    bb_buf_clear(&scene->der);
    ok(bb_buf_append(&scene->der, der, (size_t)len));
    OPENSSL_free(der);
    X509_free(x509);
}

static void good_evidence_passes(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    expect(&scene, BB_OK, NULL);
    static const char *const names[] = {"Server certificate",
                                        "Validity of the server certificate",
                                        "Evidence",
                                        "Policy",
                                        "COSE_Sign1",
                                        "Algorithm",
                                        "Document",
                                        "Chain root",
                                        "Certificate 1 of 5",
                                        "Validity of certificate 1",
                                        "Certificate 2 of 5",
                                        "Validity of certificate 2",
                                        "Certificate 3 of 5",
                                        "Validity of certificate 3",
                                        "Certificate 4 of 5",
                                        "Validity of certificate 4",
                                        "Certificate 5 of 5",
                                        "Validity of certificate 5",
                                        "Signature",
                                        "Document age",
                                        "Debug mode",
                                        "PCR0",
                                        "PCR1",
                                        "PCR2",
                                        "PCR8",
                                        "Public key"};
    size_t count = sizeof names / sizeof *names;
    assert_int_equal(bb_report_count(scene.report), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(bb_report_name(scene.report, i), names[i]);
        assert_int_equal(bb_report_err(scene.report, i), BB_OK);
        assert_true(strlen(bb_report_sentence(scene.report, i)) > 5);
    }
    assert_int_equal(bb_report_err(scene.report, count), BB_ERR_ARGUMENT);
    assert_non_null(bb_report_sentence(scene.report, count));
}

static void no_evidence(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key, .issuer_key = scene.key});
    expect(&scene, BB_ERR_EVIDENCE_MISSING, "the certificate carries no attestation evidence");
}

static void evidence_of_another_key(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_key *other BB_CLEANUP_KEY = NULL;
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    ok(bb_key_generate(BB_CURVE_P256, &other));
    document_for(&scene, other, &document);
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key,
                                            .issuer_key = scene.key,
                                            .evidence = bb_buf_view(&document)});
    expect(&scene, BB_ERR_KEY_BINDING,
           "the document's public key is 91 bytes with SHA-256 *, expected 91 bytes with SHA-256 *");
}

static void evidence_without_a_key(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    forge_field_set(&scene.forge, "public_key", "\xf6", 1);
    forge_build(&scene.forge, &document);
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key,
                                            .issuer_key = scene.key,
                                            .evidence = bb_buf_view(&document)});
    expect(&scene, BB_ERR_KEY_BINDING, "the document's public key is absent, expected *");
}

static void evidence_is_garbage(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    remake(&scene, (struct bb_cert_request){
                       .subject_key = scene.key, .issuer_key = scene.key, .evidence = bb_view_str("\xa0")});
    expect(&scene, BB_ERR_COSE_FORM, "the evidence is not one COSE_Sign1 message: *");
}

static void evidence_is_huge(void **state) {
    (void)state;
    static const uint8_t huge[BB_DOCUMENT_MAX + 1];
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key,
                                            .issuer_key = scene.key,
                                            .evidence = bb_view(huge, sizeof huge)});
    expect(&scene, BB_ERR_TOO_LARGE, "the evidence is 16385 bytes long, at most 16384");
}

static void set_raw_evidence(X509 *x509, const char *bytes, int len, int times) {
    ASN1_OBJECT *oid = OBJ_txt2obj(BB_OID_EVIDENCE, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_true(oid != NULL && value != NULL);
    assert_int_equal(ASN1_OCTET_STRING_set(value, (const unsigned char *)bytes, len), 1);
    X509_EXTENSION_free(X509_delete_ext(x509, X509_get_ext_by_OBJ(x509, oid, -1)));
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
    for (int i = 0; i < times; i++)
        assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
}

static void raw_not_der(X509 *x509) {
    set_raw_evidence(x509, "\x84\x44", 2, 1);
}

static void raw_trailing(X509 *x509) {
    set_raw_evidence(x509,
                     "\x04\x01"
                     "aX",
                     4, 1);
}

static void raw_short(X509 *x509) {
    set_raw_evidence(x509,
                     "\x04\x05"
                     "a",
                     3, 1);
}

static void raw_indefinite(X509 *x509) {
    set_raw_evidence(x509,
                     "\x24\x80\x04\x01"
                     "a\0\0",
                     7, 1);
}

static void raw_twice(X509 *x509) {
    set_raw_evidence(x509,
                     "\x04\x01"
                     "a",
                     3, 2);
}

static void evidence_extension_is_not_well_formed(void **state) {
    (void)state;
    void (*const changes[])(X509 *) = {raw_not_der, raw_trailing, raw_short, raw_indefinite};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct scene scene SCENE_CLEANUP;
        scene_init(&scene);
        edit(&scene, changes[i]);
        expect(&scene, BB_ERR_EVIDENCE_FORM, "the certificate's evidence extension is not well-formed");
    }
}

/* OpenSSL may call such a certificate invalid as a whole; both are refusals with a reason of their own. */
static void evidence_extension_twice(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    edit(&scene, raw_twice);
    struct bb_policy *policy = fixture_policy(&scene.forge);
    struct bb_document *document = NULL;
    enum bb_err err =
        bb_verify_certificate(scene.der.data, scene.der.len, policy, scene.now_ms, NULL, &document);
    assert_true(err == BB_ERR_EVIDENCE_FORM || err == BB_ERR_CERTIFICATE);
    assert_null(document);
    bb_policy_free(policy);
}

static void signature_broken(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    scene.der.data[scene.der.len - 1] ^= 1;
    expect(&scene, BB_ERR_CERTIFICATE, "the server's certificate is not signed by its own key");
}

static void signed_by_another(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_key *other BB_CLEANUP_KEY = NULL;
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    ok(bb_key_generate(BB_CURVE_P256, &other));
    document_for(&scene, scene.key, &document);
    remake(&scene, (struct bb_cert_request){
                       .subject_key = scene.key, .issuer_key = other, .evidence = bb_buf_view(&document)});
    expect(&scene, BB_ERR_CERTIFICATE, "the server's certificate is not signed by its own key");
}

static void issued_by_another(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_cert *issuer BB_CLEANUP_CERT = NULL;
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    document_for(&scene, scene.key, &document);
    ok(bb_cert_parse(bb_buf_view(&scene.forge.certs[FORGE_ROOT].der), &issuer));
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key,
                                            .issuer_key = scene.forge.certs[FORGE_ROOT].key,
                                            .issuer = issuer,
                                            .evidence = bb_buf_view(&document)});
    expect(&scene, BB_ERR_CERTIFICATE, "the server's certificate is not issued by itself");
}

static void p384_instead_of_p256(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    ok(bb_key_generate(BB_CURVE_P384, &key));
    bb_buf_clear(&scene.der);
    fixture_evidence_cert(&scene.forge, key, &scene.der);
    expect(&scene, BB_ERR_CERTIFICATE, "the server's certificate has a key that is not on the curve P-256");
}

static void critical(X509 *x509) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_netscape_comment, "critical,surprise");
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void unknown_critical_extension(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    edit(&scene, critical);
    expect(&scene, BB_ERR_CERTIFICATE,
           "the server's certificate has a critical extension that is not known here");
}

static void key_usage_without_signing(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    document_for(&scene, scene.key, &document);
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key,
                                            .issuer_key = scene.key,
                                            .ca = true,
                                            .evidence = bb_buf_view(&document)});
    expect(&scene, BB_ERR_CERTIFICATE,
           "the server's certificate has a key usage that does not permit signing data");
}

static void expired(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    document_for(&scene, scene.key, &document);
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key,
                                            .issuer_key = scene.key,
                                            .not_before_ms = FIXTURE_NOW_MS - 300000,
                                            .not_after_ms = FIXTURE_NOW_MS - 1000,
                                            .evidence = bb_buf_view(&document)});
    expect(&scene, BB_ERR_CERTIFICATE_EXPIRED,
           "the server's certificate expired at 2026-01-01T11:59:59Z, and it is 2026-01-01T12:00:00Z");
    scene.now_ms = FIXTURE_NOW_MS - 1;
    expect(&scene, BB_OK, NULL);
}

static void not_yet_valid(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    document_for(&scene, scene.key, &document);
    remake(&scene, (struct bb_cert_request){.subject_key = scene.key,
                                            .issuer_key = scene.key,
                                            .not_before_ms = FIXTURE_NOW_MS + 301000,
                                            .not_after_ms = FIXTURE_NOW_MS + 400000,
                                            .evidence = bb_buf_view(&document)});
    expect(
        &scene, BB_ERR_CERTIFICATE_NOT_YET_VALID,
        "the server's certificate is not valid before 2026-01-01T12:05:01Z, and it is 2026-01-01T12:00:00Z");
}

/* The document's own checks apply, and the report tells of all that is wrong. */
static void the_document_is_judged_as_well(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    forge_pcr_set(&scene.forge, 0, 0xaa);
    bb_buf_clear(&scene.der);
    fixture_evidence_cert(&scene.forge, scene.key, &scene.der);
    expect(&scene, BB_ERR_PCR_MISMATCH, "PCR0 is aa*, expected 10*");
    scene.now_ms = FIXTURE_NOW_MS + INT64_C(40) * 86400000;
    expect(&scene, BB_ERR_CERTIFICATE_EXPIRED, "the server's certificate expired at *");
    unsigned expired_certs = 0, old = 0, mismatched = 0;
    for (size_t i = 0; i < bb_report_count(scene.report); i++) {
        enum bb_err err = bb_report_err(scene.report, i);
        expired_certs += err == BB_ERR_CHAIN_EXPIRED;
        old += err == BB_ERR_DOCUMENT_OLD;
        mismatched += err == BB_ERR_PCR_MISMATCH;
    }
    assert_int_equal(expired_certs, 4);
    assert_int_equal(old, 1);
    assert_int_equal(mismatched, 1);
}

static void not_a_certificate(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    ok(bb_buf_append(&scene.der, "\0", 1));
    expect(&scene, BB_ERR_CERTIFICATE, "the server's certificate cannot be parsed");
    bb_buf_clear(&scene.der);
    expect(&scene, BB_ERR_CERTIFICATE, "the server's certificate cannot be parsed");
    ok(bb_buf_append_str(&scene.der, "garbage"));
    expect(&scene, BB_ERR_CERTIFICATE, "the server's certificate cannot be parsed");
}

static void arguments_are_checked(void **state) {
    (void)state;
    struct scene scene SCENE_CLEANUP;
    scene_init(&scene);
    struct bb_policy *policy = fixture_policy(&scene.forge);
    struct bb_document *document = NULL;
    const uint8_t *der = scene.der.data;
    size_t len = scene.der.len;
    assert_int_equal(bb_verify_certificate(der, len, NULL, 0, NULL, &document), BB_ERR_ARGUMENT);
    assert_int_equal(bb_verify_certificate(der, len, policy, scene.now_ms, NULL, NULL), BB_ERR_ARGUMENT);
    assert_int_equal(bb_verify_certificate(NULL, len, policy, scene.now_ms, NULL, &document),
                     BB_ERR_ARGUMENT);
    assert_int_equal(bb_verify_certificate(der, len, policy, -1, NULL, &document), BB_ERR_ARGUMENT);
    assert_int_equal(bb_verify_document(der, len, NULL, NULL, 0, NULL, &document), BB_ERR_ARGUMENT);
    assert_int_equal(bb_verify_document(der, len, policy, NULL, 0, NULL, NULL), BB_ERR_ARGUMENT);
    assert_int_equal(bb_verify_document(NULL, 1, policy, NULL, 0, NULL, &document), BB_ERR_ARGUMENT);
    assert_int_equal(bb_verify_document(NULL, 0, policy, NULL, 0, NULL, &document), BB_ERR_TRUNCATED);
    assert_null(document);
    bb_policy_free(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_evidence_passes),
        cmocka_unit_test(no_evidence),
        cmocka_unit_test(evidence_of_another_key),
        cmocka_unit_test(evidence_without_a_key),
        cmocka_unit_test(evidence_is_garbage),
        cmocka_unit_test(evidence_is_huge),
        cmocka_unit_test(evidence_extension_is_not_well_formed),
        cmocka_unit_test(evidence_extension_twice),
        cmocka_unit_test(signature_broken),
        cmocka_unit_test(signed_by_another),
        cmocka_unit_test(issued_by_another),
        cmocka_unit_test(p384_instead_of_p256),
        cmocka_unit_test(unknown_critical_extension),
        cmocka_unit_test(key_usage_without_signing),
        cmocka_unit_test(expired),
        cmocka_unit_test(not_yet_valid),
        cmocka_unit_test(the_document_is_judged_as_well),
        cmocka_unit_test(not_a_certificate),
        cmocka_unit_test(arguments_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
