/* Every single changed byte and every truncation of a good document, and of a good evidence certificate, is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

#define ok(call) assert_int_equal((call), BB_OK)

typedef enum bb_err (*verifier)(const uint8_t *bytes, size_t len, const struct bb_policy *policy);

static enum bb_err verify_document(const uint8_t *bytes, size_t len, const struct bb_policy *policy) {
    struct bb_document *document = NULL;
    enum bb_err err = bb_verify_document(bytes, len, policy, NULL, FIXTURE_NOW_MS, NULL, &document);
    bb_document_free(document);
    return err;
}

static enum bb_err verify_certificate(const uint8_t *der, size_t len, const struct bb_policy *policy) {
    struct bb_document *document = NULL;
    enum bb_err err = bb_verify_certificate(der, len, policy, FIXTURE_NOW_MS, NULL, &document);
    bb_document_free(document);
    return err;
}

/* A short chain, so that there are fewer signatures to check each time; the bytes lie against a guard page.
 */
struct victim {
    struct forge forge;
    struct bb_policy *policy;
    uint8_t *memory, *bytes;
    size_t len, room;
};

static void victim_init(struct victim *victim, bool certificate) {
    struct bb_buf bytes BB_CLEANUP_BUF = BB_BUF_INIT(BB_CERT_MAX);
    forge_init(&victim->forge, FIXTURE_NOW_MS);
    victim->forge.first_cert = FORGE_INSTANCE;
    if (certificate) {
        struct bb_key *key BB_CLEANUP_KEY = NULL;
        ok(bb_key_generate(BB_CURVE_P256, &key));
        fixture_evidence_cert(&victim->forge, key, &bytes);
    } else {
        forge_build(&victim->forge, &bytes);
    }
    victim->policy = fixture_policy(&victim->forge);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    victim->len = bytes.len;
    victim->room = (bytes.len + page - 1) / page * page;
    victim->memory =
        mmap(NULL, victim->room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(victim->memory != MAP_FAILED);
    assert_int_equal(mprotect(victim->memory + victim->room, page, PROT_NONE), 0);
    victim->bytes = victim->memory + victim->room - victim->len;
    memcpy(victim->bytes, bytes.data, bytes.len);
}

static void victim_done(struct victim *victim) {
    munmap(victim->memory, victim->room + (size_t)sysconf(_SC_PAGESIZE));
    bb_policy_free(victim->policy);
    forge_done(&victim->forge);
}
#define VICTIM_CLEANUP __attribute__((cleanup(victim_done)))

/* One bit of each byte, another one from byte to byte. */
static void flip_each(struct victim *victim, verifier verify) {
    ok(verify(victim->bytes, victim->len, victim->policy));
    for (size_t i = 0; i < victim->len; i++) {
        uint8_t bit = (uint8_t)(1u << (i * 5 % 8));
        victim->bytes[i] ^= bit;
        if (verify(victim->bytes, victim->len, victim->policy) == BB_OK)
            fail_msg("bit %02x of byte %zu changed, and it passes", bit, i);
        victim->bytes[i] ^= bit;
    }
    ok(verify(victim->bytes, victim->len, victim->policy));
}

static void every_changed_byte_of_a_document_is_refused(void **state) {
    (void)state;
    struct victim victim VICTIM_CLEANUP;
    victim_init(&victim, false);
    flip_each(&victim, verify_document);
}

static void every_changed_byte_of_a_certificate_is_refused(void **state) {
    (void)state;
    struct victim victim VICTIM_CLEANUP;
    victim_init(&victim, true);
    flip_each(&victim, verify_certificate);
}

static void every_truncated_document_is_refused(void **state) {
    (void)state;
    struct victim victim VICTIM_CLEANUP;
    victim_init(&victim, false);
    struct bb_buf whole BB_CLEANUP_BUF = BB_BUF_INIT(BB_DOCUMENT_MAX);
    ok(bb_buf_append(&whole, victim.bytes, victim.len));
    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *at = victim.memory + victim.room - len;
        memcpy(at, whole.data, len);
        assert_int_equal(verify_document(at, len, victim.policy), BB_ERR_TRUNCATED);
    }
}

static void every_truncated_certificate_is_refused(void **state) {
    (void)state;
    struct victim victim VICTIM_CLEANUP;
    victim_init(&victim, true);
    for (size_t len = 0; len < victim.len; len++)
        assert_int_equal(verify_certificate(victim.bytes, len, victim.policy), BB_ERR_CERTIFICATE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_changed_byte_of_a_document_is_refused),
        cmocka_unit_test(every_changed_byte_of_a_certificate_is_refused),
        cmocka_unit_test(every_truncated_document_is_refused),
        cmocka_unit_test(every_truncated_certificate_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
