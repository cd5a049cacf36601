/* COSE_Sign1: what is taken apart lies inside the message, and one more byte makes it another one. */
#include "attest/cose.h"

#include <string.h>

#include "target.h"

static void promise_inside(struct bb_view part, const uint8_t *data, size_t size) {
    PROMISE(part.len == 0 || (part.data >= data && part.data + part.len <= data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bb_cose cose;
    const char *reason = NULL;
    if (bb_cose_read(bb_view(data, size), &cose, &reason) != BB_OK) {
        PROMISE(reason != NULL);
        return 0;
    }
    promise_inside(cose.protected_header, data, size);
    promise_inside(cose.payload, data, size);
    promise_inside(cose.signature, data, size);
    uint8_t *longer = malloc(size + 1);
    PROMISE(longer != NULL);
    memcpy(longer, data, size);
    longer[size] = 0;
    PROMISE(bb_cose_read(bb_view(longer, size + 1), &cose, &reason) == BB_ERR_TRAILING);
    free(longer);
    return 0;
}
