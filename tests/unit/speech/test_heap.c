/* What the worker's free() and realloc() leave behind: nothing. Without them (sanitizers) there is nothing to
 * test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "enclave/speech/heap.h"

/* glibc writes its own pointers over the first bytes of a free block. */
#define GLIBC_BYTES 32u

/* Reads memory that was given back, which the compiler would rather not see. */
static unsigned secrets_left(uintptr_t at, size_t from, size_t to, uint8_t secret) {
    const volatile uint8_t *bytes = (const volatile uint8_t *)at;
    unsigned left = 0;
    for (size_t i = from; i < to; i++)
        left += bytes[i] == secret;
    return left;
}

/* Blocks that stay: what lies before one is not merged into the top of the heap, which glibc may unmap. */
static void *fences[8];

static void freed_memory_is_wiped(void **state) {
    (void)state;
    static const size_t lengths[] = {64, 100, 1000, 5000, 40000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint8_t *block = malloc(lengths[i]);
        fences[i] = malloc(50000);
        assert_true(block != NULL && fences[i] != NULL);
        memset(block, 0xa7, lengths[i]);
        uintptr_t at = (uintptr_t)block;
        assert_int_equal(secrets_left(at, GLIBC_BYTES, lengths[i], 0xa7), lengths[i] - GLIBC_BYTES);
        free(block);
        assert_int_equal(secrets_left(at, GLIBC_BYTES, lengths[i], 0xa7), 0);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        free(fences[i]);
}

static void what_realloc_leaves_is_wiped(void **state) {
    (void)state;
    uint8_t *block = malloc(1000);
    uint8_t *fence = malloc(64);
    assert_true(block != NULL && fence != NULL);
    memset(block, 0xa7, 1000);
    uintptr_t at = (uintptr_t)block;
    uint8_t *moved = realloc(block, 3000);
    assert_non_null(moved);
    assert_int_equal(secrets_left(at, GLIBC_BYTES, 1000, 0xa7), 0);
    assert_int_equal(secrets_left((uintptr_t)moved, 0, 1000, 0xa7), 1000);
    uint8_t *shorter = realloc(moved, 10);
    assert_non_null(shorter);
    assert_int_equal(secrets_left((uintptr_t)shorter, 0, 10, 0xa7), 10);
    free(realloc(NULL, 10));
    free(shorter);
    free(fence);
}

/* Memory that was reserved and never touched costs nothing to give back: libwhisper reserves 93 MB a request.
 */
static void large_blocks_are_not_touched(void **state) {
    (void)state;
    int64_t begun = bb_clock_monotonic_ms();
    for (int i = 0; i < 200; i++) {
        void *volatile block = malloc((size_t)256 << 20);
        assert_non_null(block);
        free(block);
    }
    assert_true(bb_clock_monotonic_ms() - begun < 2000); /* touching 50 GB would take far longer */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_memory_is_wiped),
        cmocka_unit_test(what_realloc_leaves_is_wiped),
        cmocka_unit_test(large_blocks_are_not_touched),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    bb_heap_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
