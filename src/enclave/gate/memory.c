/* See memory.h. */
#include "enclave/gate/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "base/bytes.h"
#include "tls/server.h"

static void wiping_free(void *memory) {
    if (memory != NULL)
        bb_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

/* Never realloc(): it could leave the old bytes behind. */
static void *wiping_realloc(void *memory, size_t len) {
    void *resized = malloc(len);
    if (resized == NULL || memory == NULL)
        return resized;
    size_t old_len = malloc_usable_size(memory);
    memcpy(resized, memory, old_len < len ? old_len : len);
    wiping_free(memory);
    return resized;
}

enum bb_err bb_memory_wipe_on_free(void) {
    enum bb_err err = bb_tls_wipe_memory();
    if (err != BB_OK)
        return err;
    event_set_mem_functions(malloc, wiping_realloc, wiping_free);
    json_set_alloc_funcs(malloc, wiping_free);
    return BB_OK;
}
