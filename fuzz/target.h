/*
 * A fuzz target: one function that takes any bytes at all and must return. It aborts when what the code under
 * test promises does not hold; the sanitizers abort for the rest. libFuzzer calls it, or driver.c.
 */
#ifndef BB_FUZZ_TARGET_H
#define BB_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): a build without assertions must fail, too. */
#define PROMISE(condition)                                                                                   \
    do                                                                                                       \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    while (0)

#endif
