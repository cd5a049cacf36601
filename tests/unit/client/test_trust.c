/*
 * Tests of the judgement inside the handshake: good evidence lets a request through, and with anything less
 * the server, which decrypts and keeps every application byte, has seen none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <blindbox/transcribe.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/fd.h"
#include "base/hex.h"
#include "evidence.h"
#include "image/measure.h"
#include "server.h"
#include "tls/client.h"

static struct evidence_source source;
static char key_log[] = "/tmp/blindbox-keys.XXXXXX";
static const uint8_t sound[] = "RIFF, let us say";

static int set_up(void **state) {
    (void)state;
    evidence_source_init(&source);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    evidence_source_done(&source);
    return 0;
}

static struct test_server_plan plan_for(const struct evidence *evidence) {
    return (struct test_server_plan){.certificates = {bb_buf_view(&evidence->certificate)},
                                     .key = bb_key_evp(evidence->key),
                                     .source = &source,
                                     .evidence = evidence};
}

static enum bb_err send_recording(struct bb_connection *connection, struct bb_transcript **transcript) {
    struct bb_audio audio = {.bytes = sound, .len = sizeof sound};
    return bb_transcribe(connection, &audio, NULL, transcript);
}

/* Tries both calls that connect; returns the first one's code. */
static enum bb_err try_server(const struct test_server *server, const struct bb_policy *policy, char *text,
                              size_t text_len) {
    struct bb_connection *connection = NULL;
    struct bb_transcript *transcript = NULL;
    assert_int_equal(bb_connection_new(server->address, policy, &connection), BB_OK);
    enum bb_err err = bb_connection_attest(connection);
    assert_int_equal(send_recording(connection, &transcript), err);
    assert_int_equal(bb_connection_error(connection), err);
    assert_null(transcript);
    assert_null(bb_connection_document(connection));
    size_t len = 1;
    assert_null(bb_connection_certificate_pem(connection, &len));
    assert_int_equal(len, 0);
    assert_int_equal(bb_connection_handshakes(connection), 0);
    bool attestation = err != BB_ERR_TLS;
    assert_int_equal(bb_connection_attestation_failed(connection), attestation);
    const char *heading = "Attestation verification failed: ";
    assert_int_equal(strncmp(bb_connection_error_text(connection), heading, strlen(heading)) == 0,
                     attestation);
    strncpy(text, bb_connection_error_text(connection), text_len - 1);
    bb_connection_free(connection);
    return err;
}

/* Runs a server and asserts that it is refused with `expected` and was sent nothing. */
static void refuse(const struct test_server_plan *plan, const struct bb_policy *policy, enum bb_err expected,
                   const char *sentence) {
    struct test_server server;
    char text[2048] = "";
    test_server_start(&server, plan);
    enum bb_err err = try_server(&server, policy, text, sizeof text);
    test_server_stop(&server);
    if (err != expected)
        fail_msg("%s, expected %s (%s)", bb_err_name(err), bb_err_name(expected), text);
    if (strstr(text, sentence) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", text, sentence);
    assert_int_equal(server.accepted, 2);
    assert_int_equal(server.seen.len, 0);
    assert_int_equal(server.requests, 0);
    test_server_done(&server);
}

static void good_evidence_passes(void **state) {
    (void)state;
    struct evidence evidence;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    struct bb_policy *policy = evidence_policy(&source);
    struct test_server_plan plan = plan_for(&evidence);
    struct test_server server;
    test_server_start(&server, &plan);
    struct bb_connection *connection;
    struct bb_transcript *transcript;
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_recording(connection, &transcript), BB_OK);
        assert_string_equal(bb_transcript_text(transcript, NULL), "good");
        bb_transcript_free(transcript);
    }
    assert_int_equal(bb_connection_handshakes(connection), 1);
    assert_string_equal(bb_connection_error_text(connection), "");
    assert_false(bb_connection_attestation_failed(connection));
    assert_non_null(bb_connection_document(connection));
    size_t len;
    const uint8_t *der = bb_connection_certificate_der(connection, &len);
    assert_int_equal(len, evidence.certificate.len);
    assert_memory_equal(der, evidence.certificate.data, len);
    assert_non_null(strstr(bb_connection_certificate_pem(connection, &len), "-----BEGIN CERTIFICATE-----"));
    assert_non_null(bb_connection_evidence(connection, &len));
    assert_true(len > 1000);
    assert_null(bb_report_failure(bb_connection_report(connection)));
    bb_connection_free(connection);
    test_server_stop(&server);
    assert_int_equal(server.handshakes, 1);
    assert_int_equal(server.requests, 3);
    assert_non_null(memmem(server.seen.data, server.seen.len, sound, sizeof sound));
    int hybrid = 0x11ec; /* X25519MLKEM768, draft-kwiatkowski-tls-ecdhe-mlkem */
    int expected = OpenSSL_version_num() >= 0x30500000L ? hybrid : NID_X25519;
    assert_int_equal(server.group & 0xffff, expected);
    test_server_done(&server);
    bb_policy_free(policy);
    evidence_done(&evidence);
}

static void attest_sends_nothing(void **state) {
    (void)state;
    struct evidence evidence;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    struct bb_policy *policy = evidence_policy(&source);
    struct test_server_plan plan = plan_for(&evidence);
    struct test_server server;
    test_server_start(&server, &plan);
    struct bb_connection *connection;
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    assert_int_equal(bb_connection_attest(connection), BB_OK);
    assert_non_null(bb_connection_document(connection));
    assert_int_equal(bb_connection_handshakes(connection), 1);
    bb_connection_free(connection);
    test_server_stop(&server);
    assert_int_equal(server.handshakes, 1);
    assert_int_equal(server.seen.len, 0);
    test_server_done(&server);
    bb_policy_free(policy);
    evidence_done(&evidence);
}

static void bad_evidence_is_refused(void **state) {
    (void)state;
    static const struct {
        enum evidence_fault fault;
        enum bb_err err;
        const char *sentence;
    } cases[] = {
        {EVIDENCE_NONE, BB_ERR_EVIDENCE_MISSING, ""},
        {EVIDENCE_GARBAGE, BB_ERR_TRUNCATED, "not one COSE_Sign1"},
        {EVIDENCE_FOR_OTHER_KEY, BB_ERR_KEY_BINDING, ""},
        {EVIDENCE_OLD, BB_ERR_DOCUMENT_OLD, ""},
        {EVIDENCE_EXPIRED_CHAIN, BB_ERR_CHAIN_EXPIRED, "expired"},
        {EVIDENCE_CERTIFICATE_EXPIRED, BB_ERR_CERTIFICATE_EXPIRED, "expired"},
        {EVIDENCE_P384, BB_ERR_CERTIFICATE, ""},
    };
    struct bb_policy *policy = evidence_policy(&source);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct evidence evidence;
        evidence_make(&source, cases[i].fault, &evidence);
        struct test_server_plan plan = plan_for(&evidence);
        refuse(&plan, policy, cases[i].err, cases[i].sentence);
        evidence_done(&evidence);
    }
    bb_policy_free(policy);
}

static void policies_are_obeyed(void **state) {
    (void)state;
    struct evidence evidence;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    struct test_server_plan plan = plan_for(&evidence);

    struct evidence_source stranger;
    evidence_source_init(&stranger);
    struct bb_policy *policy = evidence_policy(&stranger);
    refuse(&plan, policy, BB_ERR_CHAIN_ROOT, "");
    bb_policy_free(policy);
    evidence_source_done(&stranger);

    policy = bb_policy_new();
    refuse(&plan, policy, BB_ERR_POLICY_EMPTY, "");
    assert_int_equal(bb_policy_expect_pcr(policy, 0, source.measured->pcr[0]), BB_OK);
    refuse(&plan, policy, BB_ERR_POLICY_NO_ROOT, "");
    assert_int_equal(bb_policy_trust_aws(policy), BB_OK);
    refuse(&plan, policy, BB_ERR_CHAIN_ROOT, "");
    bb_policy_free(policy);
    evidence_done(&evidence);
}

static void a_wrong_pcr_is_named(void **state) {
    (void)state;
    struct evidence evidence;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    struct test_server_plan plan = plan_for(&evidence);
    uint8_t is[BB_PCR_LEN];
    memcpy(is, source.measured->pcr[0], sizeof is);
    source.measured->pcr[0][0] ^= 0x10; /* one hexadecimal digit */
    struct bb_policy *policy = evidence_policy(&source);
    char is_hex[2 * BB_PCR_LEN + 1], expected_hex[2 * BB_PCR_LEN + 1], sentence[512];
    bb_hex_encode(bb_view(is, sizeof is), is_hex);
    bb_hex_encode(bb_view(source.measured->pcr[0], BB_PCR_LEN), expected_hex);
    snprintf(sentence, sizeof sentence, "Attestation verification failed: PCR0 is %s, expected %s", is_hex,
             expected_hex);
    refuse(&plan, policy, BB_ERR_PCR_MISMATCH, sentence);
    memcpy(source.measured->pcr[0], is, sizeof is);
    bb_policy_free(policy);
    evidence_done(&evidence);
}

static void other_handshakes_are_refused(void **state) {
    (void)state;
    struct evidence evidence, other;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    evidence_make(&source, EVIDENCE_GOOD, &other);
    struct bb_policy *policy = evidence_policy(&source);
    struct test_server_plan plan = plan_for(&evidence);
    plan.certificates[1] = bb_buf_view(&other.certificate);
    refuse(&plan, policy, BB_ERR_CERTIFICATE, "the server sent 2 certificates, expected 1");
    plan = plan_for(&evidence);
    plan.tls_version = TLS1_2_VERSION;
    refuse(&plan, policy, BB_ERR_TLS, "the TLS handshake failed");
    bb_policy_free(policy);
    evidence_done(&evidence);
    evidence_done(&other);
}

/* A key that claims to be `claimed`'s and signs with `owned`'s. */
static EVP_PKEY *impostor(EVP_PKEY *claimed, EVP_PKEY *owned) {
    unsigned char point[256];
    size_t len;
    BIGNUM *secret = NULL;
    EVP_PKEY *made = NULL;
    assert_int_equal(
        EVP_PKEY_get_octet_string_param(claimed, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(owned, OSSL_PKEY_PARAM_PRIV_KEY, &secret), 1);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, params), 1);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_clear_free(secret);
    return made;
}

/* The evidence is public: who replays it without owning the key must not come further, nor be called
 * verified. */
static void a_replayed_certificate_is_refused(void **state) {
    (void)state;
    struct evidence evidence, thief;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    evidence_make(&source, EVIDENCE_GOOD, &thief);
    struct bb_policy *policy = evidence_policy(&source);
    struct test_server_plan plan = plan_for(&evidence);
    plan.key = impostor(bb_key_evp(evidence.key), bb_key_evp(thief.key));
    refuse(&plan, policy, BB_ERR_TLS, "the TLS handshake failed");
    EVP_PKEY_free(plan.key);
    bb_policy_free(policy);
    evidence_done(&evidence);
    evidence_done(&thief);
}

static void every_handshake_is_judged_anew(void **state) {
    (void)state;
    struct evidence good, old;
    evidence_make(&source, EVIDENCE_GOOD, &good);
    evidence_make(&source, EVIDENCE_OLD, &old);
    struct bb_policy *policy = evidence_policy(&source);
    struct test_server_plan plan = plan_for(&good);
    plan.close_after_answer = true;
    struct test_server server;
    test_server_start(&server, &plan);
    struct bb_connection *connection;
    struct bb_transcript *transcript;
    assert_int_equal(bb_connection_new(server.address, policy, &connection), BB_OK);
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(send_recording(connection, &transcript), BB_OK);
        bb_transcript_free(transcript);
        assert_int_equal(bb_connection_handshakes(connection), i);
    }
    test_server_show(&server, &old);
    assert_int_equal(send_recording(connection, &transcript), BB_ERR_DOCUMENT_OLD);
    assert_true(bb_connection_attestation_failed(connection));
    assert_null(bb_connection_document(connection));
    test_server_show(&server, &good);
    assert_int_equal(send_recording(connection, &transcript), BB_OK);
    bb_transcript_free(transcript);
    bb_connection_free(connection);
    test_server_stop(&server);
    assert_int_equal(server.requests, 3);
    assert_int_equal(server.resumed, 0);
    test_server_done(&server);
    bb_policy_free(policy);
    evidence_done(&good);
    evidence_done(&old);
}

static enum bb_err say_no(void *context, struct bb_view certificate) {
    (void)certificate;
    ++*(int *)context;
    return BB_ERR_PCR_MISMATCH;
}

/* Whatever the context was told before: a judge's no ends the handshake. */
static void verification_cannot_be_switched_off(void **state) {
    (void)state;
    struct evidence evidence;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    struct test_server_plan plan = plan_for(&evidence);
    struct test_server server;
    test_server_start(&server, &plan);
    int asked = 0;
    struct bb_tls_client client = {.judge = say_no, .context = &asked};
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    assert_int_equal(bb_tls_client_prepare(context, &client), BB_OK);
    struct bb_endpoint endpoint;
    int fd BB_CLEANUP_FD = -1;
    assert_int_equal(bb_endpoint_parse_tcp(server.address, NULL, &endpoint), BB_OK);
    assert_int_equal(bb_endpoint_connect(&endpoint, 2000, &fd), BB_OK);
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "secret", 6) > 0, false);
    assert_int_equal(asked, 1);
    assert_int_equal(client.verdict, BB_ERR_PCR_MISMATCH);
    SSL_free(ssl);
    SSL_CTX_free(context);
    bb_fd_close(&fd);
    test_server_stop(&server);
    assert_int_equal(server.seen.len, 0);
    assert_int_equal(server.handshakes, 0);
    test_server_done(&server);
    evidence_done(&evidence);
}

/* main() has pointed every proxy variable at nothing and SSLKEYLOGFILE at a file before libcurl was started.
 */
static void the_environment_is_ignored(void **state) {
    (void)state;
    good_evidence_passes(NULL);
    struct stat about;
    assert_int_equal(stat(key_log, &about), 0);
    assert_int_equal(about.st_size, 0);
}

int main(void) {
    static const char *const proxies[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        setenv(proxies[i], "http://127.0.0.1:1", 1);
    close(mkstemp(key_log));
    setenv("SSLKEYLOGFILE", key_log, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_evidence_passes),
        cmocka_unit_test(attest_sends_nothing),
        cmocka_unit_test(bad_evidence_is_refused),
        cmocka_unit_test(policies_are_obeyed),
        cmocka_unit_test(a_wrong_pcr_is_named),
        cmocka_unit_test(other_handshakes_are_refused),
        cmocka_unit_test(a_replayed_certificate_is_refused),
        cmocka_unit_test(every_handshake_is_judged_anew),
        cmocka_unit_test(verification_cannot_be_switched_off),
        cmocka_unit_test(the_environment_is_ignored),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    unlink(key_log);
    return failed;
}
