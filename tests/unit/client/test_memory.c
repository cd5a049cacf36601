/*
 * Tests with memory that runs out: the nth allocation of the client's thread fails, in our code and in
 * OpenSSL, libcurl and jansson, for one n after the other. The client must then fail or do its work, never
 * crash, and never send anything to a server whose evidence is bad. (libcbor's streaming decoder, which we
 * use, allocates nothing.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <blindbox/text.h>
#include <blindbox/transcribe.h>
#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "evidence.h"
#include "image/measure.h"
#include "server.h"

/* Each thread counts its own allocations down; the one that reaches zero fails. 0: none does. */
static _Thread_local unsigned long left;

static bool spend(void) {
    if (left == 0)
        return false;
    left--;
    return left == 0;
}

/* The linker sends our own code's calls here (--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size) {
    return spend() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return spend() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return spend() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text) {
    return spend() ? NULL : __real_strdup(text);
}

static void *openssl_malloc(size_t size, const char *file, int line) {
    (void)file, (void)line;
    return __wrap_malloc(size);
}

static void *openssl_realloc(void *old, size_t size, const char *file, int line) {
    (void)file, (void)line;
    return __wrap_realloc(old, size);
}

static void openssl_free(void *old, const char *file, int line) {
    (void)file, (void)line;
    free(old);
}

static struct evidence_source source;

/* One attempt with the nth allocation failing. Returns whether it came to that allocation. */
static bool attempt(const char *address, const struct bb_policy *policy, unsigned long nth,
                    enum bb_err *err) {
    static const uint8_t sound[] = "RIFF, let us say";
    struct bb_audio audio = {.bytes = sound, .len = sizeof sound};
    struct bb_transcribe_options options = {.language = "en"};
    struct bb_connection *connection = NULL;
    struct bb_transcript *transcript = NULL;
    left = nth;
    *err = bb_connection_new(address, policy, &connection);
    if (*err == BB_OK)
        *err = bb_transcribe(connection, &audio, &options, &transcript);
    bool reached = left == 0;
    left = 0;
    assert_int_equal(transcript != NULL, *err == BB_OK);
    if (transcript != NULL)
        assert_string_equal(bb_transcript_text(transcript, NULL), "good");
    bb_transcript_free(transcript);
    bb_connection_free(connection);
    return reached;
}

/* The same for text. */
static bool attempt_text(const char *address, const struct bb_policy *policy, unsigned long nth,
                         enum bb_err *err) {
    static const char *const stop[] = {"END"};
    static const struct bb_chat_message message = {"user", "Hello"};
    struct bb_text_options options = {.max_tokens = 5, .stop = stop, .stop_count = 1};
    struct bb_connection *connection = NULL;
    struct bb_completion *completion = NULL;
    left = nth;
    *err = bb_connection_new(address, policy, &connection);
    if (*err == BB_OK)
        *err = bb_chat(connection, &message, 1, &options, NULL, NULL, &completion);
    bool reached = left == 0;
    left = 0;
    assert_int_equal(completion != NULL, *err == BB_OK);
    if (completion != NULL)
        assert_string_equal(bb_completion_text(completion, NULL), "Good day");
    bb_completion_free(completion);
    bb_connection_free(connection);
    return reached;
}

/* Every n up to 32, then fewer and fewer: a handshake makes thousands of allocations. */
static unsigned long next(unsigned long nth) {
    return nth + 1 + nth / 32;
}

typedef bool attempt_fn(const char *address, const struct bb_policy *policy, unsigned long nth,
                        enum bb_err *err);

static void run(const struct bb_policy *policy, bool good, struct test_server *server, attempt_fn *try,
                const char *answer) {
    struct evidence evidence;
    evidence_make(&source, EVIDENCE_GOOD, &evidence);
    test_server_start(server, &(struct test_server_plan){.certificates = {bb_buf_view(&evidence.certificate)},
                                                         .key = bb_key_evp(evidence.key),
                                                         .source = &source,
                                                         .evidence = &evidence,
                                                         .answer = answer});
    enum bb_err err;
    assert_false(try(server->address, policy, 1000000, &err)); /* also fills what is allocated once */
    assert_int_equal(err, good ? BB_OK : BB_ERR_PCR_MISMATCH);
    unsigned failures = 0;
    for (unsigned long nth = 1; try(server->address, policy, nth, &err); nth = next(nth)) {
        failures += err != BB_OK;
        assert_true(good || err != BB_OK);
    }
    assert_true(failures > 64);
    test_server_stop(server);
    evidence_done(&evidence);
}

static void good_evidence_without_memory(void **state) {
    (void)state;
    struct bb_policy *policy = evidence_policy(&source);
    struct test_server server;
    run(policy, true, &server, attempt, NULL);
    test_server_done(&server);
    bb_policy_free(policy);
}

static void text_without_memory(void **state) {
    (void)state;
    static const char body[] =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Good \"}}]}\n\n"
        "data: {\"choices\":[{\"delta\":{\"content\":\"day\"},\"finish_reason\":\"stop\"}]}\n\n"
        "data: [DONE]\n\n";
    struct bb_buf answer BB_CLEANUP_BUF = BB_BUF_INIT(4096);
    struct bb_policy *policy = evidence_policy(&source);
    struct test_server server;
    run(policy, true, &server, attempt_text,
        test_answer(&answer, 200, "Content-Type: text/event-stream\r\n", body));
    test_server_done(&server);
    bb_policy_free(policy);
}

static void bad_evidence_without_memory(void **state) {
    (void)state;
    source.measured->pcr[2][47] ^= 1;
    struct bb_policy *policy = evidence_policy(&source);
    source.measured->pcr[2][47] ^= 1;
    struct test_server server;
    run(policy, false, &server, attempt, NULL);
    assert_int_equal(server.seen.len, 0);
    test_server_done(&server);
    bb_policy_free(policy);
}

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

int main(void) {
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1 ||
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, __wrap_malloc, free, __wrap_realloc, __wrap_strdup,
                             __wrap_calloc) != CURLE_OK)
        return EXIT_FAILURE;
    json_set_alloc_funcs(__wrap_malloc, free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_evidence_without_memory),
        cmocka_unit_test(text_without_memory),
        cmocka_unit_test(bad_evidence_without_memory),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
