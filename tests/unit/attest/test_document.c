/*
 * Tests of bb_verify_document(): good documents in every shape, and one bad one for every check, each with
 * its exact code and sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "cbor/cbor.h"
#include "fixture.h"

#define ok(call)      assert_int_equal((call), BB_OK)
#define TEXT(literal) bb_view((literal), sizeof(literal) - 1)
#define SECOND        INT64_C(1000)
#define DAY           (86400 * SECOND)
#define HEX8(a)       a a a a a a a a
#define HEX48(a)      HEX8(a) HEX8(a) HEX8(a) HEX8(a) HEX8(a) HEX8(a)

struct mutation {
    const char *name;
    enum bb_err err;
    const char *sentence; /* pattern of the first failure's sentence; NULL: the document is good */
    void (*forge)(struct forge *);
    void (*policy)(struct bb_policy *); /* gets the good policy */
    int64_t later_ms;                   /* added to the clock */
    const struct bb_expectation *expectation;
    void (*fresh_policy)(struct bb_policy *,
                         const struct forge *); /* gets a policy that demands nothing yet */
};

/* COSE_Sign1 */
static void break_signature(struct forge *f) {
    f->break_signature = true;
}
static void header_es256(struct forge *f) {
    f->protected_header = TEXT("\xa1\x01\x26");
}
static void header_positive_35(struct forge *f) {
    f->protected_header = TEXT("\xa1\x01\x18\x23");
}
static void header_text_algorithm(struct forge *f) {
    f->protected_header = TEXT("\xa1\x01\x65"
                               "ES384");
}
static void header_empty_map(struct forge *f) {
    f->protected_header = TEXT("\xa0");
}
static void header_empty_string(struct forge *f) {
    f->protected_header = bb_view("", 0);
}
static void header_unprotected_algorithm(struct forge *f) {
    header_empty_map(f);
    f->unprotected_header = TEXT("\xa1\x01\x38\x22");
}
static void header_both_algorithms(struct forge *f) {
    f->unprotected_header = TEXT("\xa1\x01\x38\x22");
}
static void header_algorithm_twice(struct forge *f) {
    f->protected_header = TEXT("\xa2\x01\x38\x22\x01\x38\x22");
}
static void header_critical(struct forge *f) {
    f->protected_header = TEXT("\xa2\x01\x38\x22\x02\x81\x18\x63");
}
static void header_unprotected_critical(struct forge *f) {
    f->unprotected_header = TEXT("\xa1\x02\x81\x01");
}
static void header_trailing(struct forge *f) {
    f->protected_header = TEXT("\xa1\x01\x38\x22\x00");
}
static void header_truncated(struct forge *f) {
    f->protected_header = TEXT("\xa1\x01\x38");
}
static void header_not_a_map(struct forge *f) {
    f->protected_header = TEXT("\x01");
}
static void header_bytes_label(struct forge *f) {
    f->protected_header = TEXT("\xa2\x01\x38\x22\x41\x01\x01");
}
static void header_unprotected_array(struct forge *f) {
    f->unprotected_header = TEXT("\x80");
}
static void header_unprotected_null(struct forge *f) {
    f->unprotected_header = TEXT("\xf6");
}
static void header_deep(struct forge *f) {
    f->unprotected_header = TEXT("\xa1\x04\x81\x81\x81\x81\x81\x81\x81\x81\x81\x01");
}
static void header_17_labels(struct forge *f) {
    f->unprotected_header =
        TEXT("\xb0\x03\x00\x04\x00\x05\x00\x06\x00\x07\x00\x08\x00\x09\x00\x0a\x00\x0b\x00\x0c"
             "\x00\x0d\x00\x0e\x00\x0f\x00\x10\x00\x11\x00\x12\x00");
}
static void signature_95(struct forge *f) {
    f->signature_len = 95;
}
static void signature_97(struct forge *f) {
    f->signature_len = 97;
}
static void signature_0(struct forge *f) {
    f->signature_len = 0;
}
static void trailing_byte(struct forge *f) {
    f->suffix = TEXT("\x00");
}
static void tag_17(struct forge *f) {
    f->prefix = TEXT("\xd1");
}
static void tag_98(struct forge *f) {
    f->prefix = TEXT("\xd8\x62");
}
static void tag_18_twice(struct forge *f) {
    f->prefix = TEXT("\xd2\xd2");
}
static void tag_cwt(struct forge *f) {
    f->prefix = TEXT("\xd8\x3d\xd2");
}
static void payload_null(struct forge *f) {
    f->payload_item = TEXT("\xf6");
}
static void payload_text(struct forge *f) {
    f->payload_item = TEXT("\x61"
                           "a");
}
static void payload_map(struct forge *f) {
    f->payload_item = TEXT("\xa0");
}
static void payload_indefinite(struct forge *f) {
    f->payload_item = TEXT("\x5f\x41\xa0\xff");
}

/* Good shapes */
static void tag_18(struct forge *f) {
    f->prefix = TEXT("\xd2");
}
static void tag_18_long(struct forge *f) {
    f->prefix = TEXT("\xd9\x00\x12");
}
static void indefinite(struct forge *f) {
    f->indefinite = true;
}
static void header_harmless(struct forge *f) {
    f->protected_header = TEXT("\xa2\x01\x38\x22\x03\x18\x2a");
    f->unprotected_header = TEXT("\xa2\x04\x42"
                                 "11"
                                 "\x61"
                                 "x"
                                 "\x80");
}
static void header_long_algorithm(struct forge *f) {
    f->protected_header = TEXT("\xa1\x18\x01\x39\x00\x22");
}
static void optional_absent(struct forge *f) {
    forge_field_remove(f, "public_key");
    forge_field_remove(f, "user_data");
    forge_field_remove(f, "nonce");
}
static void optional_empty(struct forge *f) {
    forge_field_set_bytes(f, "public_key", bb_view("", 0));
    forge_field_set_bytes(f, "user_data", bb_view("", 0));
    forge_field_set_bytes(f, "nonce", bb_view("", 0));
}
static const uint8_t long_bytes[4096] = {1, 2, 3};
static void optional_longest(struct forge *f) {
    forge_field_set_bytes(f, "public_key", bb_view(long_bytes, 1024));
    forge_field_set_bytes(f, "user_data", bb_view(long_bytes, 512));
    forge_field_set_bytes(f, "nonce", bb_view(long_bytes, 512));
}
static void pcrs_32(struct forge *f) {
    for (unsigned i = 16; i < 32; i++)
        forge_pcr_add(f, i, 48, (uint8_t)i);
}
static void unknown_field(struct forge *f) {
    forge_field_add(f, "later_invention", "\x81\x01", 2);
}
static void short_chain(struct forge *f) {
    f->first_cert = FORGE_ZONAL;
}
static void shortest_chain(struct forge *f) {
    f->first_cert = FORGE_INSTANCE;
}
static void pcr3_set(struct forge *f) {
    forge_pcr_set(f, 3, 0x77);
}

/* The document */
static void remove_module_id(struct forge *f) {
    forge_field_remove(f, "module_id");
}
static void remove_digest(struct forge *f) {
    forge_field_remove(f, "digest");
}
static void remove_timestamp(struct forge *f) {
    forge_field_remove(f, "timestamp");
}
static void remove_pcrs(struct forge *f) {
    forge_field_remove(f, "pcrs");
}
static void remove_certificate(struct forge *f) {
    forge_field_remove(f, "certificate");
}
static void remove_cabundle(struct forge *f) {
    forge_field_remove(f, "cabundle");
}
static void null_module_id(struct forge *f) {
    forge_field_set(f, "module_id", "\xf6", 1);
}
static void null_timestamp(struct forge *f) {
    forge_field_set(f, "timestamp", "\xf6", 1);
}
static void null_certificate(struct forge *f) {
    forge_field_set(f, "certificate", "\xf6", 1);
}
static void empty_module_id(struct forge *f) {
    forge_field_set(f, "module_id", "\x60", 1);
}
static void nul_module_id(struct forge *f) {
    forge_field_set(f, "module_id",
                    "\x63"
                    "a\0b",
                    4);
}
static void bytes_module_id(struct forge *f) {
    forge_field_set(f, "module_id",
                    "\x41"
                    "a",
                    2);
}
static void digest_sha256(struct forge *f) {
    forge_field_set(f, "digest",
                    "\x66"
                    "SHA256",
                    7);
}
static void digest_lower_case(struct forge *f) {
    forge_field_set(f, "digest",
                    "\x66"
                    "sha384",
                    7);
}
static void digest_escape(struct forge *f) {
    forge_field_set(f, "digest",
                    "\x64"
                    "\x1b[2J",
                    5);
}
static void timestamp_zero(struct forge *f) {
    forge_field_set(f, "timestamp", "\x00", 1);
}
static void timestamp_negative(struct forge *f) {
    forge_field_set(f, "timestamp", "\x20", 1);
}
static void timestamp_huge(struct forge *f) {
    forge_field_set(f, "timestamp", "\x1b\xff\xff\xff\xff\xff\xff\xff\xff", 9);
}
static void timestamp_twice(struct forge *f) {
    forge_field_add(f, "timestamp", "\x01", 1);
}
static void pcr_twice(struct forge *f) {
    forge_pcr_add(f, 8, 48, 0x18);
}
static void pcr_33(struct forge *f) {
    pcrs_32(f);
    forge_pcr_add(f, 32, 48, 1);
}
static void pcr_47(struct forge *f) {
    forge_pcr_remove(f, 5);
    forge_pcr_add(f, 5, 47, 0);
}
static void pcr_32_bytes(struct forge *f) {
    forge_pcr_remove(f, 5);
    forge_pcr_add(f, 5, 32, 0);
}
static void pcr_64_bytes(struct forge *f) {
    forge_pcr_remove(f, 5);
    forge_pcr_add(f, 5, 64, 0);
}
static void pcrs_empty(struct forge *f) {
    f->pcr_count = 0;
}
static void pcrs_array(struct forge *f) {
    forge_field_set(f, "pcrs", "\x80", 1);
}
static void pcrs_text_key(struct forge *f) {
    forge_field_set(f, "pcrs", "\xa1\x61\x30\x40", 4);
}
static void pcrs_negative_key(struct forge *f) {
    forge_field_set(f, "pcrs", "\xa1\x20\x40", 3);
}
static void cabundle_empty(struct forge *f) {
    forge_field_set(f, "cabundle", "\x80", 1);
}
static void cabundle_9(struct forge *f) {
    forge_field_set(f, "cabundle",
                    "\x89\x41\x01\x41\x01\x41\x01\x41\x01\x41\x01\x41\x01\x41\x01\x41\x01\x41\x01", 19);
}
static void cabundle_of_text(struct forge *f) {
    forge_field_set(f, "cabundle", "\x81\x61\x61", 3);
}
static void cabundle_of_nothing(struct forge *f) {
    forge_field_set(f, "cabundle", "\x81\x40", 2);
}
static void certificate_empty(struct forge *f) {
    forge_field_set(f, "certificate", "\x40", 1);
}
static void certificate_1025(struct forge *f) {
    forge_field_set_bytes(f, "certificate", bb_view(long_bytes, 1025));
}
static void public_key_1025(struct forge *f) {
    forge_field_set_bytes(f, "public_key", bb_view(long_bytes, 1025));
}
static void user_data_513(struct forge *f) {
    forge_field_set_bytes(f, "user_data", bb_view(long_bytes, 513));
}
static void nonce_513(struct forge *f) {
    forge_field_set_bytes(f, "nonce", bb_view(long_bytes, 513));
}
static void nonce_text(struct forge *f) {
    forge_field_set(f, "nonce",
                    "\x61"
                    "a",
                    2);
}
static void nitrotpm(struct forge *f) {
    forge_field_remove(f, "pcrs");
    forge_field_add(f, "nitrotpm_pcrs", "\xa1\x00\x40", 3);
}
static void document_trailing(struct forge *f) {
    f->payload_suffix = TEXT("\x00");
}
static void document_garbage(struct forge *f) {
    f->payload = TEXT("garbage");
}
static void document_empty(struct forge *f) {
    f->payload = bb_view("", 0);
}
static void document_number_key(struct forge *f) {
    f->payload = TEXT("\xa1\x01\x02");
}
static void document_text_only(struct forge *f) {
    f->payload = TEXT("\x61"
                      "a");
}
static void document_deep(struct forge *f) {
    forge_field_add(f, "deep", "\x81\x81\x81\x81\x81\x81\x81\x81\x81\x01", 10);
}

/* The chain */
static void regional_expired(struct forge *f) {
    f->certs[FORGE_REGIONAL].not_after_ms = FIXTURE_NOW_MS - SECOND;
}
static void regional_ends_now(struct forge *f) {
    f->certs[FORGE_REGIONAL].not_after_ms = FIXTURE_NOW_MS;
}
static void zonal_not_yet(struct forge *f) {
    f->certs[FORGE_ZONAL].not_before_ms = FIXTURE_NOW_MS + 301 * SECOND;
}
static void zonal_soon(struct forge *f) {
    f->certs[FORGE_ZONAL].not_before_ms = FIXTURE_NOW_MS + 300 * SECOND;
}
static void root_expired(struct forge *f) {
    f->certs[FORGE_ROOT].not_after_ms = FIXTURE_NOW_MS - DAY;
}
static void leaf_expired(struct forge *f) {
    f->certs[FORGE_LEAF].not_after_ms = FIXTURE_NOW_MS - SECOND;
}
static void zonal_not_ca(struct forge *f) {
    f->certs[FORGE_ZONAL].ca = false;
    f->certs[FORGE_ZONAL].path_length = -1;
}
static void root_not_ca(struct forge *f) {
    f->certs[FORGE_ROOT].ca = false;
}
static void drop_basic_constraints(X509 *x509) {
    X509_EXTENSION_free(X509_delete_ext(x509, X509_get_ext_by_NID(x509, NID_basic_constraints, -1)));
}
static void zonal_without_constraints(struct forge *f) {
    f->certs[FORGE_ZONAL].edit = drop_basic_constraints;
}
static void leaf_is_ca(struct forge *f) {
    f->certs[FORGE_LEAF].ca = true;
}
static void regional_path_1(struct forge *f) {
    f->certs[FORGE_REGIONAL].path_length = 1;
}
static void root_path_0(struct forge *f) {
    f->certs[FORGE_ROOT].path_length = 0;
}
static void set_key_usage(X509 *x509, int bit) {
    X509_EXTENSION_free(X509_delete_ext(x509, X509_get_ext_by_NID(x509, NID_key_usage, -1)));
    if (bit < 0)
        return;
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    assert_non_null(usage);
    assert_int_equal(ASN1_BIT_STRING_set_bit(usage, bit, 1), 1);
    assert_int_equal(X509_add1_ext_i2d(x509, NID_key_usage, usage, 1, X509V3_ADD_DEFAULT), 1);
    ASN1_BIT_STRING_free(usage);
}
static void usage_crl_sign(X509 *x509) {
    set_key_usage(x509, 6);
}
static void usage_none(X509 *x509) {
    set_key_usage(x509, -1);
}
static void usage_key_agreement(X509 *x509) {
    set_key_usage(x509, 4);
}
static void zonal_usage(struct forge *f) {
    f->certs[FORGE_ZONAL].edit = usage_crl_sign;
}
static void zonal_without_usage(struct forge *f) {
    f->certs[FORGE_ZONAL].edit = usage_none;
}
static void leaf_usage(struct forge *f) {
    f->certs[FORGE_LEAF].edit = usage_key_agreement;
}
static void leaf_without_usage(struct forge *f) {
    f->certs[FORGE_LEAF].edit = usage_none;
}
static void add_extension(X509 *x509, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}
static void critical_comment(X509 *x509) {
    add_extension(x509, NID_netscape_comment, "critical,surprise");
}
static void critical_name_constraints(X509 *x509) {
    add_extension(x509, NID_name_constraints, "critical,permitted;DNS:example.com");
}
static void harmless_comment(X509 *x509) {
    add_extension(x509, NID_netscape_comment, "no surprise");
}
static void zonal_critical(struct forge *f) {
    f->certs[FORGE_ZONAL].edit = critical_comment;
}
static void zonal_constraints(struct forge *f) {
    f->certs[FORGE_ZONAL].edit = critical_name_constraints;
}
static void zonal_comment(struct forge *f) {
    f->certs[FORGE_ZONAL].edit = harmless_comment;
}
static void zonal_p256(struct forge *f) {
    forge_key_replace(f, FORGE_ZONAL, BB_CURVE_P256);
}
static void leaf_p256(struct forge *f) {
    forge_key_replace(f, FORGE_LEAF, BB_CURVE_P256);
}
static void zonal_issuer(struct forge *f) {
    f->certs[FORGE_ZONAL].issuer_name = "somebody else";
}
static void zonal_signature(struct forge *f) {
    f->certs[FORGE_ZONAL].signed_by_stranger = true;
}
static void zonal_sha1(struct forge *f) {
    f->certs[FORGE_ZONAL].sha1 = true;
}
static void leaf_signature(struct forge *f) {
    f->certs[FORGE_LEAF].signed_by_stranger = true;
}
static void zonal_garbage(struct forge *f) {
    f->certs[FORGE_ZONAL].instead = TEXT("garbage");
}
static void leaf_garbage(struct forge *f) {
    f->certs[FORGE_LEAF].instead = TEXT("garbage");
}
static void fresh_root(struct bb_policy *policy, const struct forge *forge) {
    (void)forge;
    ok(bb_policy_trust_aws(policy));
    fixture_expect_pcr(policy, 0, 0x10);
}

/* Time and policy */
static void debug_document(struct forge *f) {
    for (unsigned i = 0; i < 3; i++)
        forge_pcr_set(f, i, 0);
}
static void pcr1_zero(struct forge *f) {
    forge_pcr_set(f, 1, 0);
}
static void pcr0_missing(struct forge *f) {
    forge_pcr_remove(f, 0);
}
static void pcr8_missing(struct forge *f) {
    forge_pcr_remove(f, 8);
}
static void pcr0_other(struct forge *f) {
    forge_pcr_set(f, 0, 0xab);
}
static void pcr8_other(struct forge *f) {
    forge_pcr_set(f, 8, 0xab);
}
static void allow_debug(struct bb_policy *policy) {
    bb_policy_allow_debug(policy, true);
}
static void age_60_s(struct bb_policy *policy) {
    bb_policy_set_max_age_ms(policy, 60 * SECOND);
}
static void skew_none(struct bb_policy *policy) {
    bb_policy_set_clock_skew_ms(policy, -5);
}
static void age_forever(struct bb_policy *policy) {
    bb_policy_set_max_age_ms(policy, INT64_MAX);
}
static void skew_forever(struct bb_policy *policy) {
    bb_policy_set_clock_skew_ms(policy, INT64_MAX);
}
static void fresh_nothing(struct bb_policy *policy, const struct forge *forge) {
    (void)policy;
    (void)forge;
}
static void fresh_only_root(struct bb_policy *policy, const struct forge *forge) {
    fixture_trust_root(policy, forge);
}
static void fresh_only_root_and_debug(struct bb_policy *policy, const struct forge *forge) {
    fixture_trust_root(policy, forge);
    bb_policy_allow_debug(policy, true);
}
static void fresh_only_pcr(struct bb_policy *policy, const struct forge *forge) {
    (void)forge;
    fixture_expect_pcr(policy, 0, 0x10);
}
static void fresh_debug(struct bb_policy *policy, const struct forge *forge) {
    fresh_only_root_and_debug(policy, forge);
    fixture_expect_pcr(policy, 0, 0);
}
static void fresh_only_pcr8(struct bb_policy *policy, const struct forge *forge) {
    fixture_trust_root(policy, forge);
    fixture_expect_pcr(policy, 8, 0x18);
}
static void bound(struct forge *f) {
    forge_field_set_bytes(f, "public_key", TEXT("key"));
    forge_field_set_bytes(f, "user_data", TEXT("data"));
    forge_field_set_bytes(f, "nonce", TEXT("nonce"));
}
static void bound_long(struct forge *f) {
    forge_field_set_bytes(f, "public_key", bb_view(long_bytes, 800));
}

static const struct bb_expectation expect_all = {(const uint8_t *)"key",  3, (const uint8_t *)"nonce", 5,
                                                 (const uint8_t *)"data", 4};
static const struct bb_expectation expect_key = {.public_key = (const uint8_t *)"kex", .public_key_len = 3};
static const struct bb_expectation expect_nonce = {.nonce = (const uint8_t *)"nonc", .nonce_len = 4};
static const struct bb_expectation expect_data = {.user_data = (const uint8_t *)"", .user_data_len = 0};
static const struct bb_expectation expect_long = {.public_key = long_bytes, .public_key_len = 801};

#define FIELD(name, what) "the field " name " is " what

static const struct mutation mutations[] = {
    {"good", BB_OK},
    {"good, tagged 18", BB_OK, .forge = tag_18},
    {"good, tagged 18 in three bytes", BB_OK, .forge = tag_18_long},
    {"good, indefinite-length maps and array", BB_OK, .forge = indefinite},
    {"good, further header parameters", BB_OK, .forge = header_harmless},
    {"good, algorithm in long form", BB_OK, .forge = header_long_algorithm},
    {"good, optional fields absent", BB_OK, .forge = optional_absent},
    {"good, optional fields empty", BB_OK, .forge = optional_empty},
    {"good, optional fields at their longest", BB_OK, .forge = optional_longest},
    {"good, 32 PCRs", BB_OK, .forge = pcrs_32},
    {"good, a field that is not known", BB_OK, .forge = unknown_field},
    {"good, chain of three", BB_OK, .forge = short_chain},
    {"good, chain of two", BB_OK, .forge = shortest_chain},
    {"good, an unnamed PCR differs", BB_OK, .forge = pcr3_set},
    {"good, certificate valid to the last second", BB_OK, .forge = regional_ends_now},
    {"good, certificate starts within the clocks' difference", BB_OK, .forge = zonal_soon},
    {"good, leaf without key usage", BB_OK, .forge = leaf_without_usage},
    {"good, unknown extension that is not critical", BB_OK, .forge = zonal_comment},
    {"good, bound to key, nonce and data", BB_OK, .forge = bound, .expectation = &expect_all},
    {"good, at the oldest", BB_OK, .later_ms = 3600 * SECOND},
    {"good, clock behind by the tolerance", BB_OK, .later_ms = -300 * SECOND},
    {"good, debug allowed", BB_OK, .forge = debug_document, .fresh_policy = fresh_debug},
    {"good, only PCR8 named", BB_OK, .fresh_policy = fresh_only_pcr8},

    {"COSE: signature broken", BB_ERR_COSE_SIGNATURE,
     "the document's signature does not verify with the key of forged.leaf", break_signature},
    {"COSE: ES256", BB_ERR_COSE_ALGORITHM, "the signature algorithm is -7, expected ES384 (-35)",
     header_es256},
    {"COSE: algorithm 35", BB_ERR_COSE_ALGORITHM, "the signature algorithm is 35, expected ES384 (-35)",
     header_positive_35},
    {"COSE: algorithm as text", BB_ERR_COSE_ALGORITHM,
     "the protected header names no algorithm, expected ES384 (-35)", header_text_algorithm},
    {"COSE: no algorithm", BB_ERR_COSE_ALGORITHM,
     "the protected header names no algorithm, expected ES384 (-35)", header_empty_map},
    {"COSE: empty protected header", BB_ERR_COSE_ALGORITHM,
     "the protected header names no algorithm, expected ES384 (-35)", header_empty_string},
    {"COSE: algorithm in the unprotected header only", BB_ERR_COSE_ALGORITHM,
     "the protected header names no algorithm, expected ES384 (-35)", header_unprotected_algorithm},
    {"COSE: algorithm in both headers", BB_ERR_COSE_FORM, "*: its unprotected header is not a map of labels*",
     header_both_algorithms},
    {"COSE: algorithm twice", BB_ERR_COSE_FORM, "*: its protected header is not*", header_algorithm_twice},
    {"COSE: critical", BB_ERR_COSE_CRITICAL, "a header marks parameters as critical, and none is known here",
     header_critical},
    {"COSE: critical, unprotected", BB_ERR_COSE_CRITICAL,
     "a header marks parameters as critical, and none is known here", header_unprotected_critical},
    {"COSE: byte after the protected header", BB_ERR_COSE_FORM, "*: its protected header is not*",
     header_trailing},
    {"COSE: protected header truncated", BB_ERR_COSE_FORM, "*: its protected header is not*",
     header_truncated},
    {"COSE: protected header not a map", BB_ERR_COSE_FORM, "*: its protected header is not*",
     header_not_a_map},
    {"COSE: label of bytes", BB_ERR_COSE_FORM, "*: its protected header is not*", header_bytes_label},
    {"COSE: unprotected header an array", BB_ERR_COSE_FORM, "*: its unprotected header is not*",
     header_unprotected_array},
    {"COSE: unprotected header null", BB_ERR_COSE_FORM, "*: its unprotected header is not*",
     header_unprotected_null},
    {"COSE: nested too deeply", BB_ERR_COSE_FORM, "*: its unprotected header is not*", header_deep},
    {"COSE: 17 header parameters", BB_ERR_COSE_FORM, "*: its unprotected header is not*", header_17_labels},
    {"COSE: signature of 95 bytes", BB_ERR_COSE_SIGNATURE_LENGTH,
     "the signature is 95 bytes long, expected 96", signature_95},
    {"COSE: signature of 97 bytes", BB_ERR_COSE_SIGNATURE_LENGTH,
     "the signature is 97 bytes long, expected 96", signature_97},
    {"COSE: no signature", BB_ERR_COSE_SIGNATURE_LENGTH, "the signature is 0 bytes long, expected 96",
     signature_0},
    {"COSE: trailing byte", BB_ERR_TRAILING,
     "the evidence is not one COSE_Sign1 message: bytes follow the end of the item", trailing_byte},
    {"COSE: tag 17", BB_ERR_COSE_FORM, "*: it is not an array of four, tagged 18 or not at all", tag_17},
    {"COSE: tag 98", BB_ERR_COSE_FORM, "*: it is not an array of four, tagged 18 or not at all", tag_98},
    {"COSE: tag 18 twice", BB_ERR_COSE_FORM, "*: it is not an array of four*", tag_18_twice},
    {"COSE: tag 61", BB_ERR_COSE_FORM, "*: it is not an array of four*", tag_cwt},
    {"COSE: detached payload", BB_ERR_COSE_FORM, "*: its payload is not a byte string", payload_null},
    {"COSE: payload a text", BB_ERR_COSE_FORM, "*: its payload is not a byte string", payload_text},
    {"COSE: payload a map", BB_ERR_COSE_FORM, "*: its payload is not a byte string", payload_map},
    {"COSE: payload in pieces", BB_ERR_COSE_FORM, "*: its payload is not a byte string", payload_indefinite},

    {"document: no module_id", BB_ERR_DOCUMENT_FIELD, FIELD("module_id", "missing"), remove_module_id},
    {"document: no digest", BB_ERR_DOCUMENT_FIELD, FIELD("digest", "missing"), remove_digest},
    {"document: no timestamp", BB_ERR_DOCUMENT_FIELD, FIELD("timestamp", "missing"), remove_timestamp},
    {"document: no pcrs", BB_ERR_DOCUMENT_FIELD, FIELD("pcrs", "missing"), remove_pcrs},
    {"document: no certificate", BB_ERR_DOCUMENT_FIELD, FIELD("certificate", "missing"), remove_certificate},
    {"document: no cabundle", BB_ERR_DOCUMENT_FIELD, FIELD("cabundle", "missing"), remove_cabundle},
    {"document: module_id null", BB_ERR_DOCUMENT_FIELD, FIELD("module_id", "missing"), null_module_id},
    {"document: timestamp null", BB_ERR_DOCUMENT_FIELD, FIELD("timestamp", "missing"), null_timestamp},
    {"document: certificate null", BB_ERR_DOCUMENT_FIELD, FIELD("certificate", "missing"), null_certificate},
    {"document: module_id empty", BB_ERR_DOCUMENT_FIELD, FIELD("module_id", "") "*", empty_module_id},
    {"document: zero byte in module_id", BB_ERR_DOCUMENT_FIELD, "the field module_id is not a name",
     nul_module_id},
    {"document: module_id bytes", BB_ERR_DOCUMENT_FIELD, FIELD("module_id", "not of its type"),
     bytes_module_id},
    {"document: digest SHA256", BB_ERR_DOCUMENT_DIGEST,
     "the digest algorithm is \"SHA256\", expected \"SHA384\"", digest_sha256},
    {"document: digest in lower case", BB_ERR_DOCUMENT_DIGEST,
     "the digest algorithm is \"sha384\", expected \"SHA384\"", digest_lower_case},
    {"document: digest with an escape sequence", BB_ERR_DOCUMENT_DIGEST,
     "the digest algorithm is \"[?]\\[2J\", expected \"SHA384\"", digest_escape},
    {"document: timestamp 0", BB_ERR_DOCUMENT_FIELD, FIELD("timestamp", "0, not a time in milliseconds"),
     timestamp_zero},
    {"document: timestamp negative", BB_ERR_DOCUMENT_FIELD, FIELD("timestamp", "not of its type"),
     timestamp_negative},
    {"document: timestamp 2^64-1", BB_ERR_DOCUMENT_FIELD,
     FIELD("timestamp", "18446744073709551615, not a time in milliseconds"), timestamp_huge},
    {"document: timestamp twice", BB_ERR_DOCUMENT_FORM,
     "the document is not a well-formed map of fields: a CBOR map has the same key twice", timestamp_twice},
    {"document: PCR twice", BB_ERR_DOCUMENT_FORM, "the field pcrs has PCR8 twice", pcr_twice},
    {"document: 33 PCRs", BB_ERR_DOCUMENT_FIELD, "the field pcrs has an index 32, at most 31", pcr_33},
    {"document: PCR of 47 bytes", BB_ERR_DOCUMENT_FIELD, "PCR5 is 47 bytes long, expected 48", pcr_47},
    {"document: PCR of 32 bytes", BB_ERR_DOCUMENT_FIELD, "PCR5 is 32 bytes long, expected 48", pcr_32_bytes},
    {"document: PCR of 64 bytes", BB_ERR_DOCUMENT_FIELD, "PCR5 is 64 bytes long, expected 48", pcr_64_bytes},
    {"document: pcrs empty", BB_ERR_DOCUMENT_FIELD, FIELD("pcrs", "empty"), pcrs_empty},
    {"document: pcrs an array", BB_ERR_DOCUMENT_FIELD, FIELD("pcrs", "not of its type"), pcrs_array},
    {"document: pcrs with text keys", BB_ERR_DOCUMENT_FIELD,
     FIELD("pcrs", "not a map of numbers to byte strings"), pcrs_text_key},
    {"document: pcrs with a negative key", BB_ERR_DOCUMENT_FIELD,
     FIELD("pcrs", "not a map of numbers to byte strings"), pcrs_negative_key},
    {"document: cabundle empty", BB_ERR_CHAIN_LENGTH, FIELD("cabundle", "empty"), cabundle_empty},
    {"document: cabundle of nine", BB_ERR_CHAIN_LENGTH, "the field cabundle has more than 8 certificates",
     cabundle_9},
    {"document: cabundle of text", BB_ERR_DOCUMENT_FIELD, FIELD("cabundle", "not an array of byte strings"),
     cabundle_of_text},
    {"document: cabundle with an empty certificate", BB_ERR_DOCUMENT_FIELD,
     FIELD("cabundle", "0 bytes long, expected 1 to 1024"), cabundle_of_nothing},
    {"document: certificate empty", BB_ERR_DOCUMENT_FIELD,
     FIELD("certificate", "0 bytes long, expected 1 to 1024"), certificate_empty},
    {"document: certificate of 1025 bytes", BB_ERR_DOCUMENT_FIELD,
     FIELD("certificate", "1025 bytes long, expected 1 to 1024"), certificate_1025},
    {"document: public_key of 1025 bytes", BB_ERR_DOCUMENT_FIELD,
     FIELD("public_key", "1025 bytes long, expected 0 to 1024"), public_key_1025},
    {"document: user_data of 513 bytes", BB_ERR_DOCUMENT_FIELD,
     FIELD("user_data", "513 bytes long, expected 0 to 512"), user_data_513},
    {"document: nonce of 513 bytes", BB_ERR_DOCUMENT_FIELD,
     FIELD("nonce", "513 bytes long, expected 0 to 512"), nonce_513},
    {"document: nonce a text", BB_ERR_DOCUMENT_FIELD, FIELD("nonce", "not of its type"), nonce_text},
    {"document: of a NitroTPM", BB_ERR_DOCUMENT_NOT_ENCLAVE,
     "the document has nitrotpm_pcrs: it comes from the NitroTPM of an instance, not from a Nitro Enclave",
     nitrotpm},
    {"document: bytes after it", BB_ERR_DOCUMENT_FORM, "*: bytes follow the end of the item",
     document_trailing},
    {"document: garbage", BB_ERR_DOCUMENT_FORM, "the document is not a well-formed map of fields: *",
     document_garbage},
    {"document: nothing", BB_ERR_DOCUMENT_FORM, "*: the input ends in the middle of an item", document_empty},
    {"document: number as a key", BB_ERR_DOCUMENT_FORM, "*: a CBOR item has another type than expected",
     document_number_key},
    {"document: not a map", BB_ERR_DOCUMENT_FORM, "*: a CBOR item has another type than expected",
     document_text_only},
    {"document: nested too deeply", BB_ERR_DOCUMENT_FORM, "*: CBOR items are nested too deeply",
     document_deep},

    {"chain: another root", BB_ERR_CHAIN_ROOT,
     "the chain starts at CN=forged.root, O=Forgery with SHA-256 "
     "????????????????????????????????????????????????????????????????, which is none of the policy's roots",
     .fresh_policy = fresh_root},
    {"chain: root expired", BB_ERR_CHAIN_EXPIRED,
     "forged.root expired at 2025-12-31T12:00:00Z, and it is 2026-01-01T12:00:00Z", root_expired},
    {"chain: intermediate expired", BB_ERR_CHAIN_EXPIRED,
     "forged.region expired at 2026-01-01T11:59:59Z, and it is 2026-01-01T12:00:00Z", regional_expired},
    {"chain: intermediate not yet valid", BB_ERR_CHAIN_NOT_YET_VALID,
     "forged.zone is not valid before 2026-01-01T12:05:01Z, and it is 2026-01-01T12:00:00Z", zonal_not_yet},
    {"chain: leaf expired", BB_ERR_CHAIN_EXPIRED,
     "forged.leaf expired at 2026-01-01T11:59:59Z, and it is 2026-01-01T12:00:00Z", leaf_expired},
    {"chain: intermediate not a CA", BB_ERR_CHAIN_NOT_CA,
     "forged.zone issues certificates and is not a CA certificate", zonal_not_ca},
    {"chain: intermediate without basic constraints", BB_ERR_CHAIN_NOT_CA,
     "forged.zone issues certificates and is not a CA certificate", zonal_without_constraints},
    {"chain: root not a CA", BB_ERR_CHAIN_NOT_CA,
     "forged.root issues certificates and is not a CA certificate", root_not_ca},
    {"chain: leaf a CA", BB_ERR_CHAIN_LEAF_IS_CA, "the leaf certificate forged.leaf is a CA certificate",
     leaf_is_ca},
    {"chain: path length exceeded", BB_ERR_CHAIN_PATH_LENGTH,
     "forged.region allows 1 CA certificates below it, and there are 2", regional_path_1},
    {"chain: path length of the root exceeded", BB_ERR_CHAIN_PATH_LENGTH,
     "forged.root allows 0 CA certificates below it, and there are 3", root_path_0},
    {"chain: intermediate's key usage", BB_ERR_CHAIN_KEY_USAGE,
     "the key usage of forged.zone does not permit signing certificates", zonal_usage},
    {"chain: intermediate without key usage", BB_ERR_CHAIN_KEY_USAGE,
     "the key usage of forged.zone does not permit signing certificates", zonal_without_usage},
    {"chain: leaf's key usage", BB_ERR_CHAIN_KEY_USAGE,
     "the key usage of forged.leaf does not permit signing data", leaf_usage},
    {"chain: unknown critical extension", BB_ERR_CHAIN_CRITICAL,
     "forged.zone has a critical extension that is not known here", zonal_critical},
    {"chain: critical name constraints", BB_ERR_CHAIN_CRITICAL,
     "forged.zone has a critical extension that is not known here", zonal_constraints},
    {"chain: intermediate with a P-256 key", BB_ERR_CHAIN_CURVE,
     "the key of forged.zone is not on the curve P-384", zonal_p256},
    {"chain: leaf with a P-256 key", BB_ERR_CHAIN_CURVE, "the key of forged.leaf is not on the curve P-384",
     leaf_p256},
    {"chain: intermediate of another issuer", BB_ERR_CHAIN_ISSUER,
     "the issuer of forged.zone is not forged.region", zonal_issuer},
    {"chain: intermediate signed by a stranger", BB_ERR_CHAIN_SIGNATURE,
     "forged.zone is not signed by forged.region", zonal_signature},
    {"chain: intermediate signed with SHA-1", BB_ERR_CHAIN_SIGNATURE,
     "forged.zone is not signed by forged.region", zonal_sha1},
    {"chain: leaf signed by a stranger", BB_ERR_CHAIN_SIGNATURE,
     "forged.leaf is not signed by forged.instance", leaf_signature},
    {"chain: intermediate not a certificate", BB_ERR_CHAIN_PARSE, "certificate 3 of 5 cannot be parsed",
     zonal_garbage},
    {"chain: leaf not a certificate", BB_ERR_CHAIN_PARSE, "certificate 5 of 5 cannot be parsed",
     leaf_garbage},

    {"time: document old", BB_ERR_DOCUMENT_OLD,
     "the document is 3601 s old (made 2026-01-01T12:00:00Z, and it is 2026-01-01T13:00:01Z), at most 3600 s "
     "are "
     "allowed",
     .later_ms = 3601 * SECOND},
    {"time: document older than a policy of 60 s", BB_ERR_DOCUMENT_OLD, "the document is 61 s old *",
     .later_ms = 61 * SECOND, .policy = age_60_s},
    {"time: leaf expired, though age is no matter", BB_ERR_CHAIN_EXPIRED,
     "forged.leaf expired at 2026-01-01T15:00:00Z, and it is 2026-01-01T15:00:01Z",
     .later_ms = 10801 * SECOND, .policy = age_forever},
    {"time: clock before the leaf", BB_ERR_CHAIN_NOT_YET_VALID,
     "forged.leaf is not valid before 2026-01-01T11:59:00Z, and it is 2026-01-01T11:53:59Z",
     .later_ms = -361 * SECOND},
    {"time: document in the future", BB_ERR_DOCUMENT_FUTURE,
     "the document is dated 2026-01-01T12:00:00Z, and it is 2026-01-01T11:54:59Z; 300 s ahead are tolerated",
     .later_ms = -301 * SECOND},
    {"time: document in the future, no tolerance", BB_ERR_DOCUMENT_FUTURE, "*; 0 s ahead are tolerated",
     .later_ms = -1, .policy = skew_none},
    {"time: clock at 0 with endless tolerance", BB_ERR_PCR_MISMATCH, "PCR0 is *", pcr0_other, skew_forever,
     -FIXTURE_NOW_MS},
    {"time: clock negative", BB_ERR_ARGUMENT, "*", .later_ms = -FIXTURE_NOW_MS - 1},
    {"time: clock past the year 9999", BB_ERR_ARGUMENT, "*", .later_ms = INT64_MAX - FIXTURE_NOW_MS},

    {"policy: empty", BB_ERR_POLICY_EMPTY,
     "the policy names no measurement, and an empty policy accepts nothing", .fresh_policy = fresh_only_root},
    {"policy: empty with debug allowed", BB_ERR_POLICY_EMPTY,
     "the policy names no measurement, and an empty policy accepts nothing", debug_document,
     .fresh_policy = fresh_only_root_and_debug},
    {"policy: nothing at all", BB_ERR_POLICY_EMPTY,
     "the policy names no measurement, and an empty policy accepts nothing", .fresh_policy = fresh_nothing},
    {"policy: no root", BB_ERR_POLICY_NO_ROOT, "the policy names no root", .fresh_policy = fresh_only_pcr},
    {"policy: debug mode", BB_ERR_DEBUG_MODE,
     "PCR0 is zero: the enclave runs in debug mode, in which its operator can read everything",
     debug_document},
    {"policy: debug mode, PCR8 named only", BB_ERR_DEBUG_MODE, "PCR0 is zero: *", debug_document,
     .fresh_policy = fresh_only_pcr8},
    {"policy: PCR1 zero", BB_ERR_DEBUG_MODE, "PCR1 is zero: *", pcr1_zero},
    {"policy: debug allowed, PCR0 differs", BB_ERR_PCR_MISMATCH,
     "PCR0 is " HEX48("00") ", expected " HEX48("10"), debug_document, allow_debug},
    {"policy: PCR0 differs", BB_ERR_PCR_MISMATCH, "PCR0 is " HEX48("ab") ", expected " HEX48("10"),
     pcr0_other},
    {"policy: PCR8 differs", BB_ERR_PCR_MISMATCH, "PCR8 is " HEX48("ab") ", expected " HEX48("18"),
     pcr8_other},
    {"policy: PCR8 missing", BB_ERR_PCR_MISSING, "PCR8 is missing, expected " HEX48("18"), pcr8_missing},
    {"policy: PCR0 missing and not named", BB_ERR_PCR_MISSING,
     "PCR0 is missing, so that debug mode cannot be ruled out", pcr0_missing,
     .fresh_policy = fresh_only_pcr8},

    {"binding: another key", BB_ERR_KEY_BINDING, "the document's public key is 6b6579, expected 6b6578",
     bound, .expectation = &expect_key},
    {"binding: no key", BB_ERR_KEY_BINDING, "the document's public key is absent, expected 6b6578",
     .expectation = &expect_key},
    {"binding: a long key", BB_ERR_KEY_BINDING,
     "the document's public key is 800 bytes with SHA-256 *, expected 801 bytes with SHA-256 *", bound_long,
     .expectation = &expect_long},
    {"binding: another nonce", BB_ERR_NONCE, "the document's nonce is 6e6f6e6365, expected 6e6f6e63", bound,
     .expectation = &expect_nonce},
    {"binding: no nonce", BB_ERR_NONCE, "the document's nonce is absent, expected 6e6f6e63",
     .expectation = &expect_nonce},
    {"binding: other data", BB_ERR_USER_DATA, "the document's user data is 64617461, expected empty", bound,
     .expectation = &expect_data},
    {"binding: absent is not empty", BB_ERR_USER_DATA, "the document's user data is absent, expected empty",
     .expectation = &expect_data},
};
#define MUTATION_COUNT (sizeof mutations / sizeof *mutations)

static struct bb_policy *make_policy(const struct mutation *mutation, const struct forge *forge) {
    struct bb_policy *policy;
    if (mutation->fresh_policy == NULL) {
        policy = fixture_policy(forge);
    } else {
        policy = bb_policy_new();
        assert_non_null(policy);
        mutation->fresh_policy(policy, forge);
    }
    if (mutation->policy != NULL)
        mutation->policy(policy);
    return policy;
}

static size_t count_failures(const struct bb_report *report) {
    size_t failures = 0;
    for (size_t i = 0; i < bb_report_count(report); i++)
        failures += bb_report_err(report, i) == BB_OK ? 0 : 1;
    return failures;
}

static void judge_mutation(void **state) {
    const struct mutation *mutation = *state;
    struct forge forge FORGE_CLEANUP;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(32768);
    forge_init(&forge, FIXTURE_NOW_MS);
    if (mutation->forge != NULL)
        mutation->forge(&forge);
    forge_build(&forge, &bytes);
    struct bb_policy *policy = make_policy(mutation, &forge);
    struct bb_report *report = bb_report_new();
    assert_non_null(report);
    struct bb_document *document = NULL;
    int64_t now_ms = FIXTURE_NOW_MS + mutation->later_ms;
    enum bb_err err =
        bb_verify_document(bytes.data, bytes.len, policy, mutation->expectation, now_ms, report, &document);
    if (err != mutation->err)
        fail_msg("%s (%s), expected %s", bb_err_name(err), bb_report_failure(report),
                 bb_err_name(mutation->err));
    assert_true((err == BB_OK) == (document != NULL));
    if (err == BB_OK) {
        assert_null(bb_report_failure(report));
        assert_true(bb_report_count(report) > 15);
    } else {
        fixture_assert_sentence(bb_report_failure(report), mutation->sentence);
        assert_true(count_failures(report) > 0);
    }
    struct bb_document *silent = NULL;
    assert_int_equal(
        bb_verify_document(bytes.data, bytes.len, policy, mutation->expectation, now_ms, NULL, &silent), err);
    bb_document_free(silent);
    bb_document_free(document);
    bb_report_free(report);
    bb_policy_free(policy);
}

static struct CMUnitTest tests[MUTATION_COUNT];

int main(void) {
    for (size_t i = 0; i < MUTATION_COUNT; i++)
        tests[i] = (struct CMUnitTest){mutations[i].name, judge_mutation, NULL, NULL,
                                       (void *)(uintptr_t)&mutations[i]};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
