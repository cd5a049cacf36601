/*
 * Published evidence of other projects, where it is there (the folder that BLINDBOX_SHARED names, else
 * ../shared beside the source tree): every Nitro and NitroTPM document must get the verdict of MANIFEST.tsv
 * at its own time, show the fields of nitro-facts.jsonl, and be refused today.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "attest/cose.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/hex.h"
#include "crypto/cert.h"
#include "crypto/hash.h"
#include <blindbox/verify.h>

#define ok(call)    assert_int_equal((call), BB_OK)
#define VECTORS_MAX 512

static char folder[4096];
static json_t *facts[VECTORS_MAX];
static size_t fact_count;

static void read_vector(const char *path, struct bb_buf *out) {
    char full[8192];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    if (bb_file_read(full, out) != BB_OK)
        fail_msg("%s cannot be read", full);
}

static const char *text_of(const json_t *fact, const char *key) {
    const char *text = json_string_value(json_object_get(fact, key));
    assert_non_null(text);
    return text;
}

static struct bb_view decode(const char *hex, uint8_t *out, size_t room) {
    size_t len = strlen(hex) / 2;
    assert_true(len <= room);
    ok(bb_hex_decode(bb_view_str(hex), out, len));
    return bb_view(out, len);
}

/* Expects PCR0, 1, 2, 4 and 8 as the facts have them; the last hex digit of PCR0 differs on demand. */
static struct bb_policy *policy_of(const json_t *fact, bool other_pcr0) {
    static const char *const keys[] = {"0", "1", "2", "4", "8"};
    struct bb_policy *policy = bb_policy_new();
    ok(bb_policy_trust_aws(policy));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint8_t pcr[BB_PCR_LEN] = {0};
        const char *hex = json_string_value(json_object_get(json_object_get(fact, "pcrs"), keys[i]));
        if (hex != NULL)
            decode(hex, pcr, sizeof pcr);
        pcr[BB_PCR_LEN - 1] ^= other_pcr0 && i == 0;
        ok(bb_policy_expect_pcr(policy, (unsigned)atoi(keys[i]), pcr));
    }
    return policy;
}

static void assert_optional(const json_t *fact, const char *key, const uint8_t *data, size_t len) {
    const json_t *value = json_object_get(fact, key);
    uint8_t expected[4096];
    if (json_is_null(value)) {
        assert_null(data);
        assert_int_equal(len, 0);
        return;
    }
    assert_non_null(data);
    assert_true(
        bb_view_equal(bb_view(data, len), decode(json_string_value(value), expected, sizeof expected)));
}

static void assert_digest(const json_t *fact, const char *key, const struct bb_document *document,
                          size_t index) {
    size_t len;
    uint8_t digest[BB_SHA256_LEN];
    char hex[2 * BB_SHA256_LEN + 1];
    const uint8_t *der = bb_document_certificate(document, index, &len);
    ok(bb_sha256(bb_view(der, len), digest));
    bb_hex_encode(bb_view(digest, sizeof digest), hex);
    assert_string_equal(hex, text_of(fact, key));
}

static void assert_fields(const json_t *fact, const struct bb_document *document) {
    size_t len, pcrs = 0;
    assert_string_equal(bb_document_module_id(document), text_of(fact, "module_id"));
    assert_int_equal(bb_document_timestamp_ms(document),
                     json_integer_value(json_object_get(fact, "timestamp_ms")));
    for (unsigned i = 0; i < BB_PCR_COUNT; i++) {
        char key[4], hex[2 * BB_PCR_LEN + 1];
        const uint8_t *pcr = bb_document_pcr(document, i);
        snprintf(key, sizeof key, "%u", i);
        const char *expected = json_string_value(json_object_get(json_object_get(fact, "pcrs"), key));
        assert_true((pcr == NULL) == (expected == NULL));
        if (pcr == NULL)
            continue;
        bb_hex_encode(bb_view(pcr, BB_PCR_LEN), hex);
        assert_string_equal(hex, expected);
        pcrs++;
    }
    assert_int_equal(pcrs, json_object_size(json_object_get(fact, "pcrs")));
    const uint8_t *data = bb_document_user_data(document, &len);
    assert_optional(fact, "user_data", data, len);
    data = bb_document_nonce(document, &len);
    assert_optional(fact, "nonce", data, len);
    data = bb_document_public_key(document, &len);
    assert_optional(fact, "public_key", data, len);
    size_t cabundle = (size_t)json_integer_value(json_object_get(fact, "cabundle_certs"));
    assert_int_equal(bb_document_certificate_count(document), cabundle + 1);
    assert_digest(fact, "root_sha256", document, 0);
    assert_digest(fact, "leaf_sha256", document, cabundle);
}

static void expect(const struct bb_buf *bytes, const struct bb_policy *policy, int64_t now_ms,
                   enum bb_err expected, const json_t *fact) {
    struct bb_document *document = NULL;
    struct bb_report *report = bb_report_new();
    enum bb_err err = bb_verify_document(bytes->data, bytes->len, policy, NULL, now_ms, report, &document);
    if (err != expected)
        fail_msg("%s (%s), expected %s", bb_err_name(err), bb_report_failure(report), bb_err_name(expected));
    if (err == BB_OK)
        assert_fields(fact, document);
    bb_document_free(document);
    bb_report_free(report);
}

static const struct {
    const char *verdict;
    enum bb_err strict, debug_allowed, today;
} verdicts[] = {
    {"VALID", BB_OK, BB_OK, BB_ERR_CHAIN_EXPIRED},
    {"VALID-DEBUG", BB_ERR_DEBUG_MODE, BB_OK, BB_ERR_CHAIN_EXPIRED},
    {"INVALID-SIGNATURE", BB_ERR_COSE_SIGNATURE, BB_ERR_COSE_SIGNATURE, BB_ERR_CHAIN_EXPIRED},
    {"INVALID-ROOT", BB_ERR_CHAIN_ROOT, BB_ERR_CHAIN_ROOT, BB_ERR_CHAIN_ROOT},
    {"NOT-ENCLAVE", BB_ERR_DOCUMENT_NOT_ENCLAVE, BB_ERR_DOCUMENT_NOT_ENCLAVE, BB_ERR_DOCUMENT_NOT_ENCLAVE},
};

static size_t find_verdict(const char *verdict) {
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (strcmp(verdicts[i].verdict, verdict) == 0)
            return i;
    fail_msg("unknown verdict %s", verdict);
    return 0;
}

static int64_t end_of_window_ms(const json_t *fact) {
    struct tm end = {0};
    const char *text = json_string_value(json_array_get(json_object_get(fact, "chain_window"), 1));
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%SZ", &end));
    return (int64_t)timegm(&end) * 1000;
}

static void judge_vector(void **state) {
    const json_t *fact = *state;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    size_t v = find_verdict(text_of(fact, "verdict"));
    int64_t at_ms = json_integer_value(json_object_get(fact, "timestamp_ms"));
    read_vector(text_of(fact, "file"), &bytes);
    struct bb_policy *policy = policy_of(fact, false), *other = policy_of(fact, true);
    expect(&bytes, policy, at_ms, verdicts[v].strict, fact);
    bb_policy_allow_debug(policy, true);
    bb_policy_allow_debug(other, true);
    expect(&bytes, policy, at_ms, verdicts[v].debug_allowed, fact);
    expect(&bytes, policy, bb_clock_wall_ms(), verdicts[v].today, fact);
    if (verdicts[v].debug_allowed == BB_OK) {
        expect(&bytes, other, at_ms, BB_ERR_PCR_MISMATCH, fact);
        expect(&bytes, policy, at_ms - 24 * 3600000, BB_ERR_CHAIN_NOT_YET_VALID, fact);
        expect(&bytes, policy, at_ms + 3601 * 1000,
               at_ms + 3601 * 1000 > end_of_window_ms(fact) + 999 ? BB_ERR_CHAIN_EXPIRED
                                                                  : BB_ERR_DOCUMENT_OLD,
               fact);
        bb_policy_set_max_age_ms(policy, INT64_MAX);
        expect(&bytes, policy, end_of_window_ms(fact), BB_OK, fact);
        expect(&bytes, policy, end_of_window_ms(fact) + 1000, BB_ERR_CHAIN_EXPIRED, fact);
    }
    bb_policy_free(policy);
    bb_policy_free(other);
}

static const json_t *find_fact(const char *file) {
    for (size_t i = 0; i < fact_count; i++)
        if (strcmp(text_of(facts[i], "file"), file) == 0)
            return facts[i];
    fail_msg("no facts about %s", file);
    return NULL;
}

#define GOOD_FILE  "nitro/evervault-20230118-061b9b75.cbor"
#define DEBUG_FILE "nitro/evervault-20230118-97f51a5d.cbor"

static void the_published_roots(void **state) {
    (void)state;
    const json_t *fact = find_fact(GOOD_FILE);
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(65536), pem BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    struct bb_policy *policy = bb_policy_new();
    uint8_t pcr[BB_PCR_LEN];
    decode(text_of(json_object_get(fact, "pcrs"), "0"), pcr, sizeof pcr);
    ok(bb_policy_expect_pcr(policy, 0, pcr));
    read_vector(GOOD_FILE, &bytes);
    int64_t at_ms = json_integer_value(json_object_get(fact, "timestamp_ms"));
    read_vector("roots/negative_aws_root_invalid.pem", &pem); /* its key is no point of the curve */
    assert_int_equal(bb_policy_trust_root_pem(policy, bb_buf_str(&pem), pem.len), BB_ERR_PEM);
    expect(&bytes, policy, at_ms, BB_ERR_POLICY_NO_ROOT, fact);
    bb_buf_clear(&pem);
    read_vector("roots/intel_sgx_root_ca.pem", &pem);
    ok(bb_policy_trust_root_pem(policy, bb_buf_str(&pem), pem.len));
    assert_false(bb_policy_trusts_only_aws(policy));
    expect(&bytes, policy, at_ms, BB_ERR_CHAIN_ROOT, fact);
    bb_buf_clear(&pem);
    read_vector("roots/aws_nitro_root_g1.pem", &pem);
    ok(bb_policy_trust_root_pem(policy, bb_buf_str(&pem), pem.len));
    expect(&bytes, policy, at_ms, BB_OK, fact);
    bb_policy_free(policy);
}

/* Their keys are in lower case; ours is nitro-cli's form. */
static char *measurements_of(const json_t *object) {
    json_t *upper = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(object, "pcrs"), key, value) {
        char name[16];
        size_t len = 0;
        for (; key[len] != '\0' && len < sizeof name - 1; len++)
            name[len] = (char)toupper((unsigned char)key[len]);
        name[len] = '\0';
        json_object_set(upper, name, value);
    }
    char *text = json_dumps(upper, 0);
    json_decref(upper);
    assert_non_null(text);
    return text;
}

static void judge_expected_pcrs(const char *path) {
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(65536), bytes BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    read_vector(path, &text);
    json_t *object = json_loads(bb_buf_str(&text), 0, NULL);
    assert_non_null(object);
    const char *file = strstr(text_of(object, "file"), "/non-debug") != NULL ? GOOD_FILE : DEBUG_FILE;
    bool match = json_is_true(json_object_get(object, "shouldPcrsMatch"));
    const json_t *fact = find_fact(file);
    char *json = measurements_of(object);
    struct bb_policy *policy = bb_policy_new();
    ok(bb_policy_trust_aws(policy));
    bb_policy_allow_debug(policy, true);
    enum bb_err err = bb_policy_load_measurements(policy, json, strlen(json));
    read_vector(file, &bytes);
    if (match)
        ok(err);
    else
        assert_int_equal(err,
                         BB_ERR_JSON); /* the values that cannot match are no hexadecimal digits either */
    expect(&bytes, policy, json_integer_value(json_object_get(fact, "timestamp_ms")),
           match ? BB_OK : BB_ERR_POLICY_EMPTY, fact);
    bb_policy_free(policy);
    free(json);
    json_decref(object);
}

static void the_published_expected_pcrs(void **state) {
    (void)state;
    static const char *const names[] = {"check_pcr8_only", "in_cert_der_encoding", "in_cert_incorrect_pcrs",
                                        "in_cert", "in_non_debug_mode_with_correct_pcrs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        snprintf(path, sizeof path,
                 "nitro/expected-pcrs/evervault-valid_attestation_doc_%s_time_sensitive.json", names[i]);
        judge_expected_pcrs(path);
    }
}

static void the_published_measurements(void **state) {
    (void)state;
    struct bb_buf json BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    struct bb_policy *policy = bb_policy_new();
    read_vector("eif/nitro-cli-build-enclave-signed-output.json", &json);
    ok(bb_policy_load_measurements(policy, bb_buf_str(&json), json.len));
    assert_non_null(bb_policy_expected_pcr(policy, 8));
    assert_null(bb_policy_expected_pcr(policy, 3));
    bb_policy_free(policy);
}

/* A certificate about somebody else's public key, signed by a key of our own: only its key is of interest. */
static struct bb_cert *cert_of_key(const char *path) {
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(65536), der BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_cert *cert = NULL;
    ok(bb_key_generate(BB_CURVE_P384, &key));
    const struct bb_cert_request request = {
        .common_name = "x", .subject_key = key, .issuer_key = key, .not_after_ms = 1000, .path_length = -1};
    ok(bb_cert_make(&request, &der));
    const unsigned char *at = der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.len);
    read_vector(path, &pem);
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *published = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    assert_true(published != NULL && X509_set_pubkey(x509, published) == 1);
    assert_true(X509_sign(x509, bb_key_evp(key), EVP_sha384()) > 0);
    unsigned char *again = NULL;
    int len = i2d_X509(x509, &again);
    ok(bb_cert_parse(bb_view(again, (size_t)len), &cert));
    OPENSSL_free(again);
    EVP_PKEY_free(published);
    BIO_free(bio);
    X509_free(x509);
    return cert;
}

static void the_published_cose_messages(void **state) {
    (void)state;
    struct bb_buf es384 BB_CLEANUP_BUF = BB_BUF_INIT(65536), es256 BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    struct bb_cert *right BB_CLEANUP_CERT = cert_of_key("cose/key-ec384.pub.pem");
    struct bb_cert *wrong BB_CLEANUP_CERT = cert_of_key("cose/key-ec256.pub.pem");
    struct bb_cose cose;
    struct bb_verdict verdict;
    const char *reason = NULL;
    read_vector("cose/es384-untagged.cbor", &es384);
    ok(bb_cose_read(bb_buf_view(&es384), &cose, &reason));
    bb_verdict_init(&verdict, NULL);
    ok(bb_cose_check(&cose, &verdict));
    assert_false(cose.tagged);
    assert_int_equal(cose.payload.len, 117);
    ok(bb_cose_verify(&cose, right));
    assert_int_equal(bb_cose_verify(&cose, wrong), BB_ERR_COSE_SIGNATURE);
    read_vector("cose/es256-tag18-nonminimal.cbor", &es256);
    ok(bb_cose_read(bb_buf_view(&es256), &cose, &reason));
    assert_true(cose.tagged);
    assert_int_equal(cose.algorithm, -7);
    assert_int_equal(bb_cose_check(&cose, &verdict), BB_ERR_COSE_SIGNATURE_LENGTH);
    assert_int_equal(verdict.first, BB_ERR_COSE_ALGORITHM);
}

static void a_foreign_token(void **state) {
    (void)state;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    const json_t *fact = find_fact(GOOD_FILE);
    struct bb_policy *policy = policy_of(fact, false);
    struct bb_buf inner BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    read_vector("cose/negative-cca-token.cbor", &bytes);
    expect(&bytes, policy, 1000, BB_ERR_COSE_FORM, fact);
    ok(bb_buf_append(&inner, bytes.data + 10, bytes.len - 10));
    expect(&inner, policy, 1000, BB_ERR_TRAILING, fact); /* a COSE_Sign1, and then the rest of the token */
    bb_policy_free(policy);
}

static bool load_facts(void) {
    char path[8192];
    char *line = NULL;
    size_t room = 0;
    snprintf(path, sizeof path, "%s/nitro-facts.jsonl", folder);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    while (fact_count < VECTORS_MAX && getline(&line, &room, file) > 0) {
        facts[fact_count] = json_loads(line, 0, NULL);
        if (facts[fact_count] != NULL)
            fact_count++;
    }
    free(line);
    fclose(file);
    return fact_count > 0;
}

/* The verdict is in both files; every document that the manifest lists must be among the facts, with the same
 * one. */
static void the_manifest_is_covered(void **state) {
    (void)state;
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(1 << 20);
    read_vector("MANIFEST.tsv", &bytes);
    size_t documents = 0;
    char *text = strdup(bb_buf_str(&bytes)), *lines = text, *line;
    while ((line = strsep(&lines, "\n")) != NULL) {
        const char *columns[13] = {NULL};
        for (size_t i = 0; i < 13 && line != NULL; i++)
            columns[i] = strsep(&line, "\t");
        const char *extension = columns[0] == NULL ? NULL : strrchr(columns[0], '.');
        if (extension == NULL || strncmp(columns[0], "nitro", 5) != 0 || strcmp(extension, ".cbor") != 0)
            continue;
        assert_string_equal(text_of(find_fact(columns[0]), "verdict"), columns[11]);
        documents++;
    }
    free(text);
    assert_int_equal(documents, fact_count);
}

static struct CMUnitTest tests[VECTORS_MAX + 8];

int main(void) {
    const char *shared = getenv("BLINDBOX_SHARED");
    snprintf(folder, sizeof folder, "%s/vectors", shared != NULL ? shared : SOURCE_ROOT "/../shared");
    if (!load_facts()) {
        printf("1..1\nok 1 - published evidence # SKIP %s is not there\n", folder);
        return 0;
    }
    size_t count = 0;
    for (; count < fact_count; count++)
        tests[count] = (struct CMUnitTest){json_string_value(json_object_get(facts[count], "file")),
                                           judge_vector, NULL, NULL, facts[count]};
    const struct CMUnitTest others[] = {
        cmocka_unit_test(the_manifest_is_covered),     cmocka_unit_test(the_published_roots),
        cmocka_unit_test(the_published_expected_pcrs), cmocka_unit_test(the_published_measurements),
        cmocka_unit_test(the_published_cose_messages), cmocka_unit_test(a_foreign_token),
    };
    memcpy(&tests[count], others, sizeof others);
    count += sizeof others / sizeof *others;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failures = _cmocka_run_group_tests("vectors", tests, count, NULL, NULL);
    for (size_t i = 0; i < fact_count; i++)
        json_decref(facts[i]);
    return failures;
}
