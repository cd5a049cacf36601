/* See evidence.h. */
#include "evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/clock.h"
#include "crypto/cert.h"
#include "crypto/fresh.h"
#include "host/devroot.h"
#include "host/emulator.h"
#include "image/measure.h"
#include "nsm/messages.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)

void evidence_source_init(struct evidence_source *source) {
    char folder[] = "/tmp/blindbox-test.XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(bb_devroot_open(folder, bb_clock_wall_ms(), &source->root, NULL), BB_OK);
    static const char *const files[] = {BB_DEVROOT_CERT_NAME, BB_DEVROOT_KEY_NAME, BB_DEVROOT_LOCK_NAME};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
    source->measured = calloc(1, sizeof *source->measured);
    assert_non_null(source->measured);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(bb_measure_register(source->measured, i, bb_view(&i, sizeof i)), BB_OK);
}

void evidence_source_done(struct evidence_source *source) {
    bb_devroot_free(source->root);
    free(source->measured);
}

struct bb_policy *evidence_policy(const struct evidence_source *source) {
    struct bb_buf pem BB_CLEANUP_BUF = BB_BUF_INIT(8192);
    assert_int_equal(bb_cert_der_to_pem(bb_cert_der(bb_devroot_cert(source->root)), &pem), BB_OK);
    struct bb_policy *policy = bb_policy_new();
    assert_non_null(policy);
    assert_int_equal(bb_policy_trust_root_pem(policy, bb_buf_str(&pem), pem.len), BB_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(bb_policy_expect_pcr(policy, i, source->measured->pcr[i]), BB_OK);
    return policy;
}

static int64_t shifted_clock(void *context) {
    return bb_clock_wall_ms() + *(const int64_t *)context;
}

struct contents {
    const struct bb_key *key;
    struct bb_view user_data, nonce;
};

/* Asks an emulator whose clock is off by offset_ms for a document. */
static void attest(const struct evidence_source *source, const struct contents *contents, int64_t offset_ms,
                   struct bb_buf *out) {
    struct bb_emulator *emulator BB_CLEANUP_EMULATOR = NULL;
    struct bb_time_source clock = {.now_ms = shifted_clock, .context = &offset_ms};
    assert_int_equal(bb_emulator_new(source->root, source->measured, clock, &emulator), BB_OK);
    struct bb_buf spki BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    assert_int_equal(bb_key_spki(contents->key, &spki), BB_OK);
    struct bb_nsm_request request = {.operation = BB_NSM_ATTESTATION,
                                     .of.attestation = {.public_key = bb_buf_view(&spki),
                                                        .user_data = contents->user_data,
                                                        .nonce = contents->nonce}};
    struct bb_buf asked BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_REQUEST_MAX);
    struct bb_buf answered BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    struct bb_nsm_response response;
    assert_int_equal(bb_nsm_request_write(&request, &asked), BB_OK);
    assert_int_equal(bb_emulator_handle(emulator, bb_buf_view(&asked), &answered), BB_OK);
    assert_int_equal(bb_nsm_response_read(bb_buf_view(&answered), &response), BB_OK);
    assert_int_equal(response.operation, BB_NSM_ATTESTATION);
    struct bb_view document = response.of.attestation.document;
    assert_int_equal(bb_buf_append(out, document.data, document.len), BB_OK);
}

static int64_t clock_offset(enum evidence_fault fault) {
    return fault == EVIDENCE_OLD ? -2 * HOUR_MS : fault == EVIDENCE_EXPIRED_CHAIN ? -24 * HOUR_MS : 0;
}

static void make_document(const struct evidence_source *source, enum evidence_fault fault,
                          const struct bb_key *key, struct bb_buf *out) {
    struct bb_key *other BB_CLEANUP_KEY = NULL;
    assert_int_equal(bb_key_generate(BB_CURVE_P256, &other), BB_OK);
    if (fault == EVIDENCE_GARBAGE)
        assert_int_equal(bb_buf_append_str(out, "no document"), BB_OK);
    else if (fault != EVIDENCE_NONE)
        attest(source, &(struct contents){.key = fault == EVIDENCE_FOR_OTHER_KEY ? other : key},
               clock_offset(fault), out);
}

void evidence_make(const struct evidence_source *source, enum evidence_fault fault, struct evidence *out) {
    *out = (struct evidence){.certificate = BB_BUF_INIT(32768)};
    enum bb_curve curve = fault == EVIDENCE_P384 ? BB_CURVE_P384 : BB_CURVE_P256;
    assert_int_equal(bb_key_generate(curve, &out->key), BB_OK);
    struct bb_buf document BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    make_document(source, fault, out->key, &document);
    int64_t begin = bb_clock_wall_ms() - 5 * MINUTE_MS;
    if (fault == EVIDENCE_CERTIFICATE_EXPIRED)
        begin -= 48 * HOUR_MS;
    struct bb_cert_request request = {.common_name = "BlindBox enclave",
                                      .subject_key = out->key,
                                      .issuer_key = out->key,
                                      .not_before_ms = begin,
                                      .not_after_ms = begin + 24 * HOUR_MS,
                                      .path_length = -1,
                                      .evidence = bb_buf_view(&document)};
    assert_int_equal(bb_cert_make(&request, &out->certificate), BB_OK);
}

static void describe(enum fresh_fault fault, const struct fresh_request *request,
                     uint8_t user_data[BB_FRESH_USER_DATA_LEN]) {
    struct bb_fresh fresh;
    struct bb_buf spki BB_CLEANUP_BUF = BB_BUF_INIT(1024);
    assert_int_equal(bb_key_spki(request->key, &spki), BB_OK);
    assert_int_equal(bb_sha256(bb_buf_view(&spki), fresh.spki_sha256), BB_OK);
    assert_int_equal(bb_sha256(request->certificate, fresh.certificate_sha256), BB_OK);
    memcpy(fresh.exporter, request->exporter, sizeof fresh.exporter);
    fresh.exporter[31] ^= fault == FRESH_OTHER_EXPORTER;
    fresh.certificate_sha256[0] ^= fault == FRESH_OTHER_CERTIFICATE;
    bb_fresh_write(&fresh, user_data);
}

void evidence_fresh(const struct evidence_source *source, enum fresh_fault fault,
                    const struct fresh_request *request, struct bb_buf *out) {
    uint8_t user_data[BB_FRESH_USER_DATA_LEN];
    struct bb_key *other BB_CLEANUP_KEY = NULL;
    describe(fault, request, user_data);
    assert_int_equal(bb_key_generate(BB_CURVE_P256, &other), BB_OK);
    struct contents contents = {.key = fault == FRESH_OTHER_KEY ? other : request->key,
                                .user_data = bb_view(user_data, sizeof user_data),
                                .nonce = request->nonce};
    if (fault == FRESH_WITHOUT_USER_DATA)
        contents.user_data = bb_view(NULL, 0);
    if (fault == FRESH_OTHER_LAYOUT)
        contents.user_data.len = 79;
    struct bb_measurements changed = *source->measured;
    struct evidence_source measured = {.root = source->root, .measured = &changed};
    changed.pcr[1][0] ^= fault == FRESH_OTHER_MEASUREMENTS;
    attest(&measured, &contents, fault == FRESH_OLD ? -2 * HOUR_MS : 0, out);
}

void evidence_done(struct evidence *evidence) {
    bb_key_free(evidence->key);
    bb_buf_done(&evidence->certificate);
}
