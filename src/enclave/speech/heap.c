/*
 * The decoders and the engine keep audio and text in memory of their own, which nobody wipes when it is
 * freed. So this program brings its own free() and realloc(): small blocks are overwritten before glibc gets
 * them back; large ones (from MMAP_FROM bytes on) are mappings of their own and go back to the kernel, which
 * hands out zeroed pages only.
 *
 * glibc's own way, M_PERTURB, also fills memory when it is allocated: libwhisper reserves 93 MB for each
 * state that it hardly touches, and a request took 0.7 s longer. It is switched off here, in case the
 * environment asks for it. Under sanitizers, whose allocator stands in this place, the file does nothing.
 */
#include "enclave/speech/heap.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define MMAP_FROM (1 << 20)

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* glibc's allocator under its second name. */
extern void __libc_free(void *block);

__attribute__((visibility("default"))) void free(void *block) {
    if (block == NULL)
        return;
    size_t len = malloc_usable_size(block);
    if (len < 2 * (size_t)MMAP_FROM) /* what is larger is a mapping */
        bb_wipe(block, len);
    __libc_free(block);
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t len) {
    if (block == NULL)
        return malloc(len);
    size_t old = malloc_usable_size(block);
    void *moved = malloc(len != 0 ? len : 1);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, old < len ? old : len);
    free(block);
    return moved;
}

#endif

void bb_heap_init(void) {
    mallopt(M_PERTURB, 0);
    mallopt(M_MMAP_THRESHOLD,
            MMAP_FROM); /* a fixed one: glibc otherwise raises it when large blocks are freed */
}
