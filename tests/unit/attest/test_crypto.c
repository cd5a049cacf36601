/* Tests of src/crypto: known hashes, base64, keys, signatures, certificates made and taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "crypto/cert.h"
#include "crypto/hash.h"
#include "crypto/key.h"

#define ok(call) assert_int_equal((call), BB_OK)

#define NOW INT64_C(1767268800000) /* 2026-01-01T12:00:00Z */

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected) {
    char text[2 * 64 + 1];
    bb_hex_encode(bb_view(bytes, len), text);
    assert_string_equal(text, expected);
}

/* FIPS 180-4 examples */
static void hashes_are_the_standards(void **state) {
    (void)state;
    uint8_t out[48], pieces[48];
    ok(bb_sha256(bb_view_str("abc"), out));
    assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ok(bb_sha256(bb_view(NULL, 0), out));
    assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    ok(bb_sha384(bb_view_str("abc"), out));
    assert_hex(
        out, 48,
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
    for (enum bb_hash_algorithm algorithm = BB_SHA256; algorithm <= BB_SHA384; algorithm++) {
        struct bb_hash *hash;
        ok(bb_hash_new(algorithm, &hash));
        ok(bb_hash_update(hash, bb_view_str("a")));
        ok(bb_hash_update(hash, bb_view(NULL, 0)));
        ok(bb_hash_update(hash, bb_view_str("bc")));
        ok(bb_hash_final(hash, pieces));
        bb_hash_free(hash);
        ok(algorithm == BB_SHA256 ? bb_sha256(bb_view_str("abc"), out) : bb_sha384(bb_view_str("abc"), out));
        assert_memory_equal(out, pieces, algorithm == BB_SHA256 ? 32 : 48);
    }
}

static void pcr_extends(void **state) {
    (void)state;
    uint8_t pcr[48] = {0}, message[51] = {0}, expected[48];
    memcpy(message + 48, "abc", 3);
    ok(bb_sha384(bb_view(message, 51), expected));
    ok(bb_pcr_extend(pcr, bb_view_str("abc")));
    assert_memory_equal(pcr, expected, 48);
}

static void random_differs(void **state) {
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    ok(bb_random(a, sizeof a));
    ok(bb_random(b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
}

/* RFC 4648 section 10 */
static void base64_is_strict(void **state) {
    (void)state;
    const char *const pairs[][2] = {{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(64), bytes BB_CLEANUP_BUF = BB_BUF_INIT(64);
        ok(bb_base64_encode(bb_view_str(pairs[i][0]), &text));
        assert_string_equal(bb_buf_str(&text), pairs[i][1]);
        ok(bb_base64_decode(bb_buf_view(&text), &bytes));
        assert_string_equal(bb_buf_str(&bytes), pairs[i][0]);
    }
    const char *const bad[] = {"Z",     "Zg",     "Zg=",  "Zh==", "Zm9=",     "Zm8=Zm8=", "====",    "=Zg=",
                               " Zg==", "Zg==\n", "Zm 9", "Zm-_", "Zg==Zg==", "Z===",     "Zm9v===="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(64);
        if (bb_base64_decode(bb_view_str(bad[i]), &bytes) != BB_ERR_BASE64 || bytes.len != 0)
            fail_msg("\"%s\" was decoded", bad[i]);
    }
}

static void signatures_verify(void **state) {
    (void)state;
    struct bb_key *key BB_CLEANUP_KEY = NULL, *other BB_CLEANUP_KEY = NULL, *small BB_CLEANUP_KEY = NULL;
    ok(bb_key_generate(BB_CURVE_P384, &key));
    ok(bb_key_generate(BB_CURVE_P384, &other));
    ok(bb_key_generate(BB_CURVE_P256, &small));
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    const struct bb_cert_request request = {.common_name = "signer",
                                            .subject_key = key,
                                            .issuer_key = key,
                                            .not_before_ms = NOW,
                                            .not_after_ms = NOW + 1000,
                                            .path_length = -1};
    ok(bb_cert_make(&request, &der));
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    ok(bb_cert_parse(bb_buf_view(&der), &cert));
    uint8_t signature[BB_ES384_SIGNATURE_LEN];
    struct bb_view view = bb_view(signature, sizeof signature);
    ok(bb_key_sign_es384(key, bb_view_str("message"), signature));
    ok(bb_cert_verify_es384(cert, bb_view_str("message"), view));
    assert_int_equal(bb_cert_verify_es384(cert, bb_view_str("messagE"), view), BB_ERR_COSE_SIGNATURE);
    assert_int_equal(bb_cert_verify_es384(cert, bb_view_str("message"), bb_view(signature, 95)),
                     BB_ERR_COSE_SIGNATURE_LENGTH);
    for (size_t i = 0; i < sizeof signature; i++) {
        signature[i] ^= 0x80;
        assert_int_equal(bb_cert_verify_es384(cert, bb_view_str("message"), view), BB_ERR_COSE_SIGNATURE);
        signature[i] ^= 0x80;
    }
    memset(signature, 0, sizeof signature);
    assert_int_equal(bb_cert_verify_es384(cert, bb_view_str("message"), view), BB_ERR_COSE_SIGNATURE);
    memset(signature, 0xff, sizeof signature);
    assert_int_equal(bb_cert_verify_es384(cert, bb_view_str("message"), view), BB_ERR_COSE_SIGNATURE);
    ok(bb_key_sign_es384(other, bb_view_str("message"), signature));
    assert_int_equal(bb_cert_verify_es384(cert, bb_view_str("message"), view), BB_ERR_COSE_SIGNATURE);
    assert_int_equal(bb_key_sign_es384(small, bb_view_str("message"), signature), BB_ERR_ARGUMENT);
}

static void keys_travel_as_pem(void **state) {
    (void)state;
    for (enum bb_curve curve = BB_CURVE_P256; curve <= BB_CURVE_P384; curve++) {
        struct bb_key *key BB_CLEANUP_KEY = NULL, *again BB_CLEANUP_KEY = NULL;
        struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        struct bb_buf a BB_CLEANUP_BUF = BB_BUF_INIT(4096), b BB_CLEANUP_BUF = BB_BUF_INIT(4096);
        ok(bb_key_generate(curve, &key));
        ok(bb_key_to_pem(key, &pem));
        assert_int_equal(strncmp(bb_buf_str(&pem), "-----BEGIN PRIVATE KEY-----\n", 28), 0);
        ok(bb_key_from_pem(bb_buf_view(&pem), &again));
        ok(bb_key_spki(key, &a));
        ok(bb_key_spki(again, &b));
        assert_true(bb_view_equal(bb_buf_view(&a), bb_buf_view(&b)));
    }
    struct bb_key *none = NULL;
    assert_int_equal(bb_key_from_pem(bb_view(NULL, 0), &none), BB_ERR_PEM);
    assert_int_equal(
        bb_key_from_pem(bb_view_str("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), &none),
        BB_ERR_PEM);
    assert_null(none);
}

static void make_evidence_cert(const struct bb_key *key, struct bb_view evidence, struct bb_buf *der) {
    static const char *const names[] = {"localhost", "enclave.example", NULL};
    static const char *const addresses[] = {"127.0.0.1", "::1", NULL};
    const struct bb_cert_request request = {
        .common_name = "BlindBox enclave",
        .subject_key = key,
        .issuer_key = key,
        .not_before_ms = NOW + 999,
        .not_after_ms = NOW + 86400000,
        .path_length = -1,
        .dns_names = names,
        .ip_addresses = addresses,
        .evidence = evidence,
    };
    ok(bb_cert_make(&request, der));
}

static void certificates_say_what_was_asked(void **state) {
    (void)state;
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(32768), spki BB_CLEANUP_BUF = BB_BUF_INIT(256);
    uint8_t evidence[5000];
    memset(evidence, 'e', sizeof evidence);
    ok(bb_key_generate(BB_CURVE_P256, &key));
    make_evidence_cert(key, bb_view(evidence, sizeof evidence), &der);
    ok(bb_cert_parse(bb_buf_view(&der), &cert));
    ok(bb_key_spki(key, &spki));
    assert_true(bb_view_equal(bb_cert_der(cert), bb_buf_view(&der)));
    assert_true(bb_view_equal(bb_cert_spki(cert), bb_buf_view(&spki)));
    assert_true(bb_view_equal(bb_cert_subject_der(cert), bb_cert_issuer_der(cert)));
    assert_string_equal(bb_cert_subject_text(cert), "CN=BlindBox enclave");
    assert_string_equal(bb_cert_common_name(cert), "BlindBox enclave");
    assert_int_equal(bb_cert_not_before_ms(cert), NOW);
    assert_int_equal(bb_cert_not_after_ms(cert), NOW + 86400000);
    assert_false(bb_cert_is_ca(cert));
    assert_int_equal(bb_cert_path_length(cert), -1);
    assert_true(bb_cert_on_curve(cert, BB_CURVE_P256));
    assert_false(bb_cert_on_curve(cert, BB_CURVE_P384));
    assert_true(bb_cert_may_sign_data(cert));
    assert_false(bb_cert_may_sign_certificates(cert));
    assert_false(bb_cert_has_unknown_critical(cert));
    struct bb_view found;
    ok(bb_cert_extension(cert, BB_OID_EVIDENCE, &found));
    assert_true(bb_view_equal(found, bb_view(evidence, sizeof evidence)));
    assert_int_equal(bb_cert_extension(cert, "1.2.3.4", &found), BB_ERR_NOT_FOUND);
    assert_int_equal(bb_cert_extension(cert, "nonsense", &found), BB_ERR_ARGUMENT);
    ok(bb_cert_check_signature(cert, cert));
}

static void certificates_chain(void **state) {
    (void)state;
    struct bb_key *ca_key BB_CLEANUP_KEY = NULL, *key BB_CLEANUP_KEY = NULL;
    struct bb_buf ca_der BB_CLEANUP_BUF = BB_BUF_INIT(4096), der BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_cert *ca BB_CLEANUP_CERT = NULL, *cert BB_CLEANUP_CERT = NULL;
    ok(bb_key_generate(BB_CURVE_P384, &ca_key));
    ok(bb_key_generate(BB_CURVE_P256, &key));
    struct bb_cert_request request = {.common_name = "Zürich\x1b[31m",
                                      .organization = "O",
                                      .subject_key = ca_key,
                                      .issuer_key = ca_key,
                                      .not_before_ms = NOW,
                                      .not_after_ms = NOW + 1000,
                                      .ca = true,
                                      .path_length = 3};
    ok(bb_cert_make(&request, &ca_der));
    ok(bb_cert_parse(bb_buf_view(&ca_der), &ca));
    assert_string_equal(bb_cert_subject_text(ca), "CN=Z\\C3\\BCrich\\1B[31m, O=O");
    assert_true(bb_cert_is_ca(ca));
    assert_int_equal(bb_cert_path_length(ca), 3);
    assert_true(bb_cert_may_sign_certificates(ca));
    assert_false(bb_cert_may_sign_data(ca));
    request = (struct bb_cert_request){.common_name = "leaf",
                                       .subject_key = key,
                                       .issuer_key = ca_key,
                                       .issuer = ca,
                                       .not_before_ms = NOW,
                                       .not_after_ms = NOW + 1000,
                                       .path_length = -1};
    ok(bb_cert_make(&request, &der));
    ok(bb_cert_parse(bb_buf_view(&der), &cert));
    ok(bb_cert_check_signature(cert, ca));
    assert_int_equal(bb_cert_check_signature(cert, cert), BB_ERR_CHAIN_SIGNATURE);
    assert_int_equal(bb_cert_check_signature(ca, cert), BB_ERR_CHAIN_SIGNATURE);
    assert_true(bb_view_equal(bb_cert_issuer_der(cert), bb_cert_subject_der(ca)));
}

/* Any changed byte makes a certificate that is not parsed, or one whose signature does not verify. */
static void a_changed_certificate_is_noticed(void **state) {
    (void)state;
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_cert *original BB_CLEANUP_CERT = NULL;
    ok(bb_key_generate(BB_CURVE_P256, &key));
    make_evidence_cert(key, bb_view_str("evidence"), &der);
    ok(bb_cert_parse(bb_buf_view(&der), &original));
    for (size_t i = 0; i < der.len; i++) {
        struct bb_cert *cert BB_CLEANUP_CERT = NULL;
        der.data[i] ^= 0x01;
        enum bb_err err = bb_cert_parse(bb_buf_view(&der), &cert);
        if (err == BB_OK)
            err = bb_cert_check_signature(cert, original);
        if (err != BB_ERR_CHAIN_PARSE && err != BB_ERR_CHAIN_SIGNATURE)
            fail_msg("byte %zu: %s", i, bb_err_name(err));
        der.data[i] ^= 0x01;
    }
    for (size_t len = 0; len < der.len; len++) {
        struct bb_cert *cert = NULL;
        assert_int_equal(bb_cert_parse(bb_view(der.data, len), &cert), BB_ERR_CHAIN_PARSE);
        assert_null(cert);
    }
    struct bb_cert *cert = NULL;
    ok(bb_buf_append(&der, "\0", 1));
    assert_int_equal(bb_cert_parse(bb_buf_view(&der), &cert), BB_ERR_CHAIN_PARSE);
}

/* The same certificate in an encoding that is BER and not DER would be a second one with the same signature.
 */
static void other_encodings_are_refused(void **state) {
    (void)state;
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(4096), longer BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_buf open BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_cert *cert = NULL;
    ok(bb_key_generate(BB_CURVE_P256, &key));
    make_evidence_cert(key, bb_view_str("evidence"), &der);
    assert_memory_equal(der.data, "\x30\x82", 2);
    ok(bb_buf_append(&longer, "\x30\x83\x00", 3));
    ok(bb_buf_append(&longer, der.data + 2, der.len - 2));
    assert_int_equal(bb_cert_parse(bb_buf_view(&longer), &cert), BB_ERR_CHAIN_PARSE);
    ok(bb_buf_append(&open, "\x30\x80", 2));
    ok(bb_buf_append(&open, der.data + 4, der.len - 4));
    ok(bb_buf_append(&open, "\0\0", 2));
    assert_int_equal(bb_cert_parse(bb_buf_view(&open), &cert), BB_ERR_CHAIN_PARSE);
    assert_null(cert);
}

static void pem_files_hold_several(void **state) {
    (void)state;
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(4096), pem BB_CLEANUP_BUF = BB_BUF_INIT(16384);
    ok(bb_key_generate(BB_CURVE_P256, &key));
    make_evidence_cert(key, bb_view(NULL, 0), &der);
    ok(bb_buf_append_str(&pem, "some text\n"));
    ok(bb_key_to_pem(key, &pem));
    ok(bb_cert_der_to_pem(bb_buf_view(&der), &pem));
    ok(bb_buf_append_str(&pem, "more text\n"));
    ok(bb_cert_der_to_pem(bb_buf_view(&der), &pem));
    struct bb_view rest = bb_buf_view(&pem);
    for (int i = 0; i < 2; i++) {
        struct bb_cert *cert BB_CLEANUP_CERT = NULL;
        ok(bb_cert_parse_pem(rest, &cert, &rest));
        assert_true(bb_view_equal(bb_cert_der(cert), bb_buf_view(&der)));
    }
    struct bb_cert *none = NULL;
    assert_int_equal(rest.len, 0);
    assert_int_equal(bb_cert_parse_pem(rest, &none, &rest), BB_ERR_PEM);
    assert_int_equal(bb_cert_parse_pem(bb_view_str("no certificate"), &none, &rest), BB_ERR_PEM);
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_the_standards),
        cmocka_unit_test(pcr_extends),
        cmocka_unit_test(random_differs),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(signatures_verify),
        cmocka_unit_test(keys_travel_as_pem),
        cmocka_unit_test(certificates_say_what_was_asked),
        cmocka_unit_test(certificates_chain),
        cmocka_unit_test(a_changed_certificate_is_noticed),
        cmocka_unit_test(other_encodings_are_refused),
        cmocka_unit_test(pem_files_hold_several),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
