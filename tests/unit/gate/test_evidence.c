/* Tests of evidence: the layouts of user_data, certificates that clients accept, their making over a real
 * control socket whose other end the test answers with the NSM emulator's documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/event.h>
#include <unistd.h>

#include <blindbox/verify.h>

#include "../nsm/support.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cbor/cbor.h"
#include "crypto/cert.h"
#include "enclave/gate/attestation.h"
#include "enclave/gate/document.h"
#include "enclave/gate/evidence.h"
#include "enclave/ipc.h"
#include "tls/evidence_cert.h"

static void user_data_layouts(void **state) {
    (void)state;
    uint8_t hash[BB_SHA256_LEN];
    for (size_t i = 0; i < sizeof hash; i++)
        hash[i] = (uint8_t)(0x80 + i);
    static const uint8_t zeros[BB_SHA256_LEN] = {0};
    uint8_t multihash[BB_USER_DATA_MULTIHASH_LEN];
    bb_user_data_multihash(hash, multihash);
    assert_memory_equal(multihash, "\x12\x20", 2);
    assert_memory_equal(multihash + 2, hash, 32);
    assert_memory_equal(multihash + 34, "\x12\x20", 2);
    assert_memory_equal(multihash + 36, zeros, 32);
    uint8_t named[BB_USER_DATA_NAMED_LEN];
    bb_user_data_named(hash, named);
    assert_memory_equal(named, "sha256:", 7);
    assert_memory_equal(named + 7, hash, 32);
    assert_memory_equal(named + 39, ";sha256:", 8);
    assert_memory_equal(named + 47, zeros, 32);
}

/* A document of the emulator; its bytes stay in `answer`. */
static struct bb_view make_document(struct module *module, struct bb_view public_key,
                                    struct bb_view user_data, struct bb_view nonce, struct bb_buf *answer) {
    const struct bb_nsm_request request = {
        .operation = BB_NSM_ATTESTATION,
        .of.attestation = {.user_data = user_data, .nonce = nonce, .public_key = public_key}};
    struct bb_nsm_response response = module_ask(module, &request, answer);
    assert_int_equal(response.operation, BB_NSM_ATTESTATION);
    return response.of.attestation.document;
}

static enum bb_err verify(struct module *module, struct bb_view certificate) {
    struct bb_policy *policy = bb_policy_new();
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(8192);
    uint8_t pcr0[BB_PCR_LEN];
    memset(pcr0, 0xA0, sizeof pcr0);
    assert_non_null(policy);
    assert_int_equal(bb_cert_der_to_pem(bb_cert_der(bb_devroot_cert(module->root)), &pem), BB_OK);
    assert_int_equal(bb_policy_trust_root_pem(policy, bb_buf_str(&pem), pem.len), BB_OK);
    assert_int_equal(bb_policy_expect_pcr(policy, 0, pcr0), BB_OK);
    struct bb_document *document = NULL;
    enum bb_err err = bb_verify_certificate(certificate.data, certificate.len, policy, module->clock.now_ms,
                                            NULL, &document);
    bb_document_free(document);
    bb_policy_free(policy);
    return err;
}

static void the_certificate_carries_its_evidence(void **state) {
    (void)state;
    struct module module;
    module_init(&module);
    struct bb_key *key BB_CLEANUP_KEY = NULL;
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_buf spki BB_CLEANUP_BUF = BB_BUF_INIT(256);
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_buf der BB_CLEANUP_BUF = BB_BUF_INIT(32768);
    assert_int_equal(bb_key_generate(BB_CURVE_P256, &key), BB_OK);
    assert_int_equal(bb_key_spki(key, &spki), BB_OK);
    struct bb_view document =
        make_document(&module, bb_buf_view(&spki), bb_view(NULL, 0), bb_view(NULL, 0), &answer);
    struct bb_document_facts facts;
    assert_int_equal(bb_document_read_facts(document, &facts), BB_OK);
    assert_int_equal(facts.timestamp_ms, module.clock.now_ms);
    int64_t life_s = (facts.leaf_not_after_ms - facts.timestamp_ms) / 1000;
    assert_true(life_s > 2 * 3600 && life_s <= 3 * 3600);
    assert_int_equal(bb_evidence_cert_make(key, document, facts.timestamp_ms, &der), BB_OK);
    assert_int_equal(bb_evidence_cert_make(key, bb_view(NULL, 0), 0, &der), BB_ERR_ARGUMENT);

    assert_int_equal(bb_cert_parse(bb_buf_view(&der), &cert), BB_OK);
    struct bb_view carried;
    assert_int_equal(bb_cert_extension(cert, BB_OID_EVIDENCE, &carried), BB_OK);
    assert_true(bb_view_equal(carried, document));
    assert_true(bb_view_equal(bb_cert_spki(cert), bb_buf_view(&spki)));
    assert_string_equal(bb_cert_subject_text(cert), "CN=BlindBox enclave");
    assert_false(bb_cert_is_ca(cert));
    assert_int_equal(bb_cert_not_before_ms(cert) / 1000,
                     (facts.timestamp_ms - BB_EVIDENCE_CERT_BEFORE_MS) / 1000);
    assert_int_equal(bb_cert_not_after_ms(cert) / 1000,
                     (facts.timestamp_ms + BB_EVIDENCE_CERT_AFTER_MS) / 1000);
    assert_int_equal(verify(&module, bb_buf_view(&der)), BB_OK);
    module_done(&module);
}

static void what_is_no_document_has_no_facts(void **state) {
    (void)state;
    struct module module;
    module_init(&module);
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_view document =
        make_document(&module, bb_view(NULL, 0), bb_view(NULL, 0), bb_view(NULL, 0), &answer);
    struct bb_document_facts facts;
    assert_int_equal(bb_document_read_facts(document, &facts), BB_OK);
    /* The signature, 98 bytes at the end, is not looked at. */
    for (size_t len = 0; len < document.len - 98; len++)
        assert_int_equal(bb_document_read_facts(bb_view(document.data, len), &facts), BB_ERR_DOCUMENT_FORM);
    module_done(&module);
}

/* A gate's end and init's end of a control socket, and init's answers. */
struct link {
    struct module module;
    struct event_base *base;
    int gate_fd, init_fd;
    struct bb_control *control;
    unsigned asked; /* documents asked for */
    struct bb_metrics metrics;
    struct bb_evidence_keeper *keeper;
    unsigned renewed;
    unsigned answers;
    enum bb_err last_err;
    struct bb_buf last_document;
};

static void on_worker(void *arg, int fd) {
    (void)arg;
    (void)close(fd);
}

static void ignore(void *arg) {
    (void)arg;
}

static const struct bb_control_events events = {.worker = on_worker, .drain = ignore, .closed = ignore};

static void on_renewed(void *arg) {
    struct link *link = arg;
    link->renewed++;
}

static void on_document(void *arg, enum bb_err err, struct bb_view document) {
    struct link *link = arg;
    link->answers++;
    link->last_err = err;
    bb_buf_clear(&link->last_document);
    assert_int_equal(bb_buf_append(&link->last_document, document.data, document.len), BB_OK);
}

static void link_init(struct link *link) {
    *link = (struct link){.last_document = BB_BUF_INIT(BB_NSM_RESPONSE_MAX)};
    int fds[2];
    module_init(&link->module);
    link->base = event_base_new();
    assert_non_null(link->base);
    assert_int_equal(bb_ipc_pair(fds), BB_OK);
    link->gate_fd = fds[0];
    link->init_fd = fds[1];
    assert_int_equal(bb_control_new(link->base, link->gate_fd, &events, link, &link->control), BB_OK);
    assert_int_equal(bb_evidence_keeper_new(link->base, link->control, &link->metrics, 1200, on_renewed, link,
                                            &link->keeper),
                     BB_OK);
}

static void link_done(struct link *link) {
    bb_evidence_keeper_free(link->keeper);
    bb_control_free(link->control);
    event_base_free(link->base);
    bb_fd_close(&link->gate_fd);
    bb_fd_close(&link->init_fd);
    bb_buf_done(&link->last_document);
    module_done(&link->module);
}

/* What init does with one message: asks the emulator (or refuses) and answers. */
static void answer_one(struct link *link, bool refuse) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_buf reply BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int fd = -1;
    struct bb_view type, key = {0}, user_data = {0}, nonce = {0};
    uint64_t id;
    struct bb_cbor_field fields[] = {{"type", BB_CBOR_TEXT, &type, true, false},
                                     {"id", BB_CBOR_UINT, &id, true, false},
                                     {"public_key", BB_CBOR_BYTES, &key, true, false},
                                     {"user_data", BB_CBOR_BYTES, &user_data, false, false},
                                     {"nonce", BB_CBOR_BYTES, &nonce, false, false}};
    struct bb_cbor reader;
    assert_int_equal(bb_ipc_receive(link->init_fd, &message, &fd, 5000), BB_OK);
    bb_cbor_init(&reader, bb_buf_view(&message));
    assert_int_equal(bb_cbor_read_fields(&reader, fields, 5, false), BB_OK);
    assert_true(bb_view_equal(type, bb_view_str("attest")));
    link->asked++;
    struct bb_view document = make_document(&link->module, key, user_data, nonce, &answer);
    assert_int_equal(bb_cbor_put_map(&reply, 3), BB_OK);
    assert_int_equal(bb_cbor_put_text(&reply, "type"), BB_OK);
    assert_int_equal(bb_cbor_put_text(&reply, "document"), BB_OK);
    assert_int_equal(bb_cbor_put_text(&reply, "id"), BB_OK);
    assert_int_equal(bb_cbor_put_uint(&reply, id), BB_OK);
    assert_int_equal(bb_cbor_put_text(&reply, refuse ? "error" : "document"), BB_OK);
    assert_int_equal(refuse ? bb_cbor_put_text(&reply, "no") : bb_cbor_put_bytes(&reply, document), BB_OK);
    assert_int_equal(bb_ipc_send(link->init_fd, bb_buf_view(&reply), -1, 5000), BB_OK);
}

static void turn(struct link *link) {
    assert_true(event_base_loop(link->base, EVLOOP_ONCE) >= 0);
}

static void first_evidence(struct link *link) {
    turn(link); /* asks */
    answer_one(link, false);
    turn(link); /* makes the certificate, asks again */
    answer_one(link, false);
    turn(link);
    assert_int_equal(link->renewed, 1);
}

static void evidence_is_made_over_the_control_socket(void **state) {
    (void)state;
    struct link link;
    link_init(&link);
    assert_null(bb_evidence_current(link.keeper));
    first_evidence(&link);
    struct bb_evidence *evidence = bb_evidence_current(link.keeper);
    assert_non_null(evidence);
    assert_int_equal(verify(&link.module, bb_buf_view(&evidence->certificate)), BB_OK);
    uint8_t hash[BB_SHA256_LEN], user_data[BB_USER_DATA_NAMED_LEN];
    assert_int_equal(bb_sha256(bb_buf_view(&evidence->certificate), hash), BB_OK);
    assert_memory_equal(evidence->certificate_sha256, hash, sizeof hash);
    bb_user_data_named(hash, user_data);
    assert_non_null(
        memmem(evidence->attestation.data, evidence->attestation.len, user_data, sizeof user_data));
    assert_true(bb_evidence_is_fresh(evidence, evidence->made_ms + 2 * 3600 * 1000));
    assert_false(bb_evidence_is_fresh(evidence, evidence->made_ms + 4 * 3600 * 1000));
    assert_int_equal(link.metrics.evidence_renewals, 1);
    link_done(&link);
}

static void a_refusal_leaves_no_evidence(void **state) {
    (void)state;
    struct link link;
    link_init(&link);
    turn(&link);
    answer_one(&link, true);
    turn(&link);
    assert_null(bb_evidence_current(link.keeper));
    assert_int_equal(link.metrics.evidence_failures, 1);
    assert_int_equal(link.renewed, 0);
    link_done(&link);
}

static void equal_requests_share_a_document(void **state) {
    (void)state;
    struct link link;
    struct bb_attestation *attestation;
    struct bb_attestation_wait *wait;
    uint8_t ones[20] = {1}, twos[20] = {2};
    struct bb_view nonce = bb_view(ones, sizeof ones), other = bb_view(twos, sizeof twos);
    link_init(&link);
    first_evidence(&link);
    struct bb_evidence *evidence = bb_evidence_current(link.keeper);
    assert_int_equal(bb_attestation_new(link.control, bb_evidence_public_key(link.keeper), &attestation),
                     BB_OK);
    uint8_t user_data[BB_USER_DATA_MULTIHASH_LEN];
    bb_user_data_multihash(evidence->certificate_sha256, user_data);
    struct bb_view bound = bb_view(user_data, sizeof user_data);
    link.asked = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(bb_attestation_request(attestation, bound, nonce, on_document, &link, &wait), BB_OK);
    bb_attestation_cancel(wait);
    assert_int_equal(bb_attestation_request(attestation, bound, other, on_document, &link, &wait), BB_OK);
    answer_one(&link, false);
    answer_one(&link, true);
    while (link.answers < 3)
        turn(&link);
    assert_int_equal(link.asked, 2);
    assert_int_equal(link.last_err, BB_ERR_NSM); /* of the other nonce */
    assert_int_equal(link.last_document.len, 0);

    assert_int_equal(bb_attestation_request(attestation, bound, nonce, on_document, &link, &wait), BB_OK);
    answer_one(&link, false);
    while (link.answers < 4)
        turn(&link);
    assert_int_equal(link.last_err, BB_OK);
    assert_non_null(memmem(link.last_document.data, link.last_document.len, user_data, sizeof user_data));
    assert_non_null(memmem(link.last_document.data, link.last_document.len, ones, sizeof ones));
    bb_attestation_free(attestation);
    link_done(&link);
}

static void callers_cannot_have_all_documents(void **state) {
    (void)state;
    struct link link;
    struct bb_attestation *attestation;
    struct bb_attestation_wait *wait;
    link_init(&link);
    first_evidence(&link);
    assert_int_equal(bb_attestation_new(link.control, bb_evidence_public_key(link.keeper), &attestation),
                     BB_OK);
    int64_t begun_ms = bb_clock_monotonic_ms();
    unsigned given = 0;
    for (uint8_t i = 0; i < 255; i++) {
        struct bb_view nonce = bb_view(&i, 1);
        if (bb_attestation_request(attestation, bb_view(NULL, 0), nonce, on_document, &link, &wait) != BB_OK)
            break;
        answer_one(&link, true);
        turn(&link);
        given++;
    }
    int64_t took_ms = bb_clock_monotonic_ms() - begun_ms;
    uint64_t most = BB_ATTESTATIONS_BURST + (uint64_t)took_ms * BB_ATTESTATIONS_PER_SECOND / 1000 + 1;
    assert_true(given >= BB_ATTESTATIONS_BURST && given <= most);
    bb_attestation_free(attestation);
    link_done(&link);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_data_layouts),
        cmocka_unit_test(the_certificate_carries_its_evidence),
        cmocka_unit_test(what_is_no_document_has_no_facts),
        cmocka_unit_test(evidence_is_made_over_the_control_socket),
        cmocka_unit_test(a_refusal_leaves_no_evidence),
        cmocka_unit_test(equal_requests_share_a_document),
        cmocka_unit_test(callers_cannot_have_all_documents),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
