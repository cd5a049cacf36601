/* Tests of src/enclave/{nsm,broker}.c against the real emulator in a thread, and against modules that
 * misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cbor/cbor.h"
#include "enclave/broker.h"
#include "host/emulator.h"

struct world {
    char dir[64];
    struct bb_devroot *root;
    struct bb_emulator *emulator;
    int far_end;
    pthread_t thread;
    struct bb_nsm nsm;
    struct bb_broker broker;
};

static int64_t wall_clock(void *context) {
    (void)context;
    return bb_clock_wall_ms();
}

static void *serve(void *argument) {
    struct world *world = argument;
    while (bb_emulator_serve_one(world->emulator, world->far_end) == BB_OK)
        ;
    return NULL;
}

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof *world);
    struct bb_measurements measured = {.present = 7, .pcr = {{1}, {2}, {3}}};
    struct bb_time_source clock = {.now_ms = wall_clock};
    int pair[2];
    if (world == NULL)
        return -1;
    strcpy(world->dir, "/tmp/blindbox-test-broker-XXXXXX");
    if (mkdtemp(world->dir) == NULL ||
        bb_devroot_open(world->dir, bb_clock_wall_ms(), &world->root, NULL) != BB_OK ||
        bb_emulator_new(world->root, &measured, clock, &world->emulator) != BB_OK ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return -1;
    world->far_end = pair[1];
    bb_nsm_init(&world->nsm, pair[0]);
    bb_broker_init(&world->broker, &world->nsm, 0);
    *state = world;
    return pthread_create(&world->thread, NULL, serve, world);
}

static int tear_down(void **state) {
    struct world *world = *state;
    char command[128];
    bb_nsm_done(&world->nsm);
    pthread_join(world->thread, NULL);
    bb_fd_close(&world->far_end);
    bb_emulator_free(world->emulator);
    bb_devroot_free(world->root);
    snprintf(command, sizeof command, "rm -rf %s", world->dir);
    free(world);
    return system(command);
}

static void registers_are_extended_locked_and_read_back(void **state) {
    struct world *world = *state;
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(500);
    const uint8_t digest[32] = {9, 8, 7};
    uint8_t expected[BB_NSM_PCR_LEN] = {0};
    uint8_t found[BB_NSM_PCR_LEN];
    bool locked = false;
    assert_int_equal(bb_nsm_record(&world->nsm, 16, bb_view(digest, 32), &reason), BB_OK);
    assert_int_equal(bb_pcr_extend(expected, bb_view(digest, 32)), BB_OK);
    assert_int_equal(bb_nsm_describe_pcr(&world->nsm, 16, &locked, found, &reason), BB_OK);
    assert_true(locked);
    assert_memory_equal(found, expected, sizeof found);
    assert_int_equal(bb_nsm_record(&world->nsm, 17, bb_view(NULL, 0), &reason), BB_OK);
    assert_int_equal(bb_nsm_describe_pcr(&world->nsm, 17, &locked, found, &reason), BB_OK);
    assert_true(locked);
    assert_int_equal(found[0] | found[47], 0);
}

static void a_locked_or_used_register_is_refused(void **state) {
    struct world *world = *state;
    const uint8_t digest[32] = {9, 8, 7};
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(500);
    assert_int_equal(bb_nsm_record(&world->nsm, 0, bb_view(digest, 32), &reason), BB_ERR_NSM);
    assert_string_equal(bb_buf_str(&reason), "the NSM answered ReadOnlyIndex to ExtendPCR");
    bb_buf_clear(&reason);
    assert_int_equal(bb_nsm_record(&world->nsm, 32, bb_view(digest, 32), &reason), BB_ERR_NSM);
    assert_string_equal(bb_buf_str(&reason), "the NSM answered InvalidIndex to ExtendPCR");
    bb_buf_clear(&reason);
    /* somebody was there before */
    assert_int_equal(bb_nsm_extend(&world->nsm, 18, bb_view(digest, 32), &reason), BB_OK);
    assert_int_equal(bb_nsm_record(&world->nsm, 18, bb_view(digest, 32), &reason), BB_ERR_NSM);
    assert_string_equal(bb_buf_str(&reason),
                        "PCR18 is not the expected value after it was extended and locked");
    bb_buf_clear(&reason);
    assert_int_equal(bb_nsm_record(&world->nsm, 18, bb_view(NULL, 0), &reason), BB_ERR_NSM);
}

struct field {
    const char *key;
    size_t len;
};

static void write_attest(struct bb_buf *out, uint64_t id, const struct field *fields, size_t count) {
    static const uint8_t zeros[2000];
    assert_int_equal(bb_cbor_put_map(out, 2 + count), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "type"), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "attest"), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "id"), BB_OK);
    assert_int_equal(bb_cbor_put_uint(out, id), BB_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(bb_cbor_put_text(out, fields[i].key), BB_OK);
        assert_int_equal(bb_cbor_put_bytes(out, bb_view(zeros, fields[i].len)), BB_OK);
    }
}

struct reply {
    struct bb_buf bytes;
    struct bb_view document, error;
    uint64_t id;
};

static void reply_done(struct reply *reply) {
    bb_buf_done(&reply->bytes);
}
#define CLEANUP_REPLY __attribute__((cleanup(reply_done)))

static enum bb_err ask(struct world *world, int64_t now_ms, const struct field *fields, size_t count,
                       struct reply *reply) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(8192);
    write_attest(&message, 77, fields, count);
    *reply = (struct reply){.bytes = BB_BUF_INIT(65536)};
    enum bb_err err = bb_broker_answer(&world->broker, bb_buf_view(&message), now_ms, &reply->bytes);
    if (err != BB_OK)
        return err;
    struct bb_view type;
    struct bb_cbor reader;
    struct bb_cbor_field shape[] = {
        {.key = "type", .type = BB_CBOR_TEXT, .out = &type, .required = true},
        {.key = "id", .type = BB_CBOR_UINT, .out = &reply->id, .required = true},
        {.key = "document", .type = BB_CBOR_BYTES, .out = &reply->document},
        {.key = "error", .type = BB_CBOR_TEXT, .out = &reply->error},
    };
    bb_cbor_init(&reader, bb_buf_view(&reply->bytes));
    assert_int_equal(bb_cbor_read_fields(&reader, shape, 4, false), BB_OK);
    assert_int_equal(bb_cbor_finish(&reader), BB_OK);
    assert_true(bb_view_equal(type, bb_view_str("document")));
    assert_int_equal(reply->id, 77);
    assert_int_equal(shape[2].present, !shape[3].present);
    return BB_OK;
}

static void documents_come_back_under_their_id(void **state) {
    struct world *world = *state;
    const struct field fields[] = {{"public_key", 1024}, {"user_data", 512}, {"nonce", 512}};
    for (size_t count = 0; count <= 3; count++) {
        struct reply reply CLEANUP_REPLY;
        assert_int_equal(ask(world, 0, fields, count, &reply), BB_OK);
        assert_true(reply.document.len > 2000);
        assert_memory_equal(reply.document.data, "\x84\x44\xa1\x01\x38\x22\xa0", 7);
    }
}

static void sizes_are_checked_before_the_module_sees_them(void **state) {
    struct world *world = *state;
    const struct field fields[] = {{"public_key", 1025}, {"user_data", 513}, {"nonce", 513}};
    const char *says[] = {"public_key must have at most 1024 bytes", "user_data must have at most 512 bytes",
                          "nonce must have at most 512 bytes"};
    for (size_t i = 0; i < 3; i++) {
        struct reply reply CLEANUP_REPLY;
        assert_int_equal(ask(world, 0, &fields[i], 1, &reply), BB_OK);
        assert_true(bb_view_equal(reply.error, bb_view_str(says[i])));
    }
}

static size_t documents_at(struct world *world, int64_t now_ms, size_t asked) {
    size_t got = 0;
    for (size_t i = 0; i < asked; i++) {
        struct reply reply CLEANUP_REPLY;
        assert_int_equal(ask(world, now_ms, NULL, 0, &reply), BB_OK);
        got += reply.document.len > 0;
        if (reply.document.len == 0)
            assert_true(bb_view_equal(reply.error,
                                      bb_view_str("too many attestation requests, try again in a moment")));
    }
    return got;
}

static void the_rate_is_limited(void **state) {
    struct world *world = *state;
    assert_int_equal(documents_at(world, 0, 250), BB_BROKER_BURST);
    assert_int_equal(documents_at(world, 9, 5), 0);
    assert_int_equal(documents_at(world, 20, 5), 2);
    assert_int_equal(documents_at(world, 1020, 150), BB_BROKER_PER_SECOND);
    assert_int_equal(documents_at(world, INT64_C(1000000000), 250), BB_BROKER_BURST);
}

static void messages_of_another_form_are_refused(void **state) {
    struct world *world = *state;
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(8192);
    struct bb_buf reply BB_CLEANUP_BUF = BB_BUF_INIT(65536);
    const struct field fields[] = {{"public_key", 3}, {"nonce", 3}};
    write_attest(&message, 5, fields, 2);
    for (size_t len = 0; len < message.len; len++)
        assert_int_equal(bb_broker_answer(&world->broker, bb_view(message.data, len), 0, &reply),
                         BB_ERR_PROTOCOL);
    assert_int_equal(bb_buf_append(&message, "\0", 1), BB_OK);
    assert_int_equal(bb_broker_answer(&world->broker, bb_buf_view(&message), 0, &reply), BB_ERR_PROTOCOL);
    const struct field unknown[] = {{"nonse", 3}};
    bb_buf_clear(&message);
    write_attest(&message, 5, unknown, 1);
    assert_int_equal(bb_broker_answer(&world->broker, bb_buf_view(&message), 0, &reply), BB_ERR_PROTOCOL);
    const struct field twice[] = {{"nonce", 3}, {"nonce", 3}};
    bb_buf_clear(&message);
    write_attest(&message, 5, twice, 2);
    assert_int_equal(bb_broker_answer(&world->broker, bb_buf_view(&message), 0, &reply), BB_ERR_PROTOCOL);
    assert_int_equal(reply.len, 0);
}

/* Not the emulator: a peer that answers something else to a request, or nothing. */
static enum bb_err describe_against(const uint8_t *answer, size_t len) {
    int pair[2];
    struct bb_nsm nsm BB_CLEANUP_NSM = {.fd = -1};
    struct bb_buf reason BB_CLEANUP_BUF = BB_BUF_INIT(500);
    bool locked = false;
    uint8_t value[BB_NSM_PCR_LEN];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    bb_nsm_init(&nsm, pair[0]);
    assert_int_equal(write(pair[1], answer, len), len);
    shutdown(pair[1], SHUT_WR);
    enum bb_err err = bb_nsm_describe_pcr(&nsm, 16, &locked, value, &reason);
    close(pair[1]);
    return err;
}

static void a_module_that_breaks_the_protocol_is_given_up(void **state) {
    (void)state;
#define AGAINST(bytes) describe_against((const uint8_t *)(bytes), sizeof(bytes) - 1)
    assert_int_equal(AGAINST(""), BB_ERR_CLOSED);
    assert_int_equal(AGAINST("\0\0"), BB_ERR_TRUNCATED);
    assert_int_equal(AGAINST("\0\0\0\x08\x67LockP"), BB_ERR_TRUNCATED);
    assert_int_equal(AGAINST("\0\0\0\x08\x67LockPCR"), BB_ERR_PROTOCOL); /* the answer to another question */
    assert_int_equal(AGAINST("\0\0\x30\x01"), BB_ERR_TOO_LARGE);
    assert_int_equal(AGAINST("\xff\xff\xff\xff"), BB_ERR_TOO_LARGE);
    assert_int_not_equal(AGAINST("\0\0\0\x01\xff"), BB_OK);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(registers_are_extended_locked_and_read_back),
        IN_WORLD(a_locked_or_used_register_is_refused),
        IN_WORLD(documents_come_back_under_their_id),
        IN_WORLD(sizes_are_checked_before_the_module_sees_them),
        IN_WORLD(the_rate_is_limited),
        IN_WORLD(messages_of_another_form_are_refused),
        cmocka_unit_test(a_module_that_breaks_the_protocol_is_given_up),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
