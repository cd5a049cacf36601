/* The CBOR reader: whatever it accepts as one item ends where it says, and nothing shorter is one. */
#include "cbor/cbor.h"
#include "target.h"

static enum bb_err skip(struct bb_view bytes, size_t *used) {
    struct bb_cbor reader;
    bb_cbor_init(&reader, bytes);
    enum bb_err err = bb_cbor_skip(&reader);
    *used = bytes.len - reader.in.left;
    return err;
}

static void read_as_message(struct bb_view bytes) {
    struct bb_view text, blob;
    uint64_t number;
    int64_t integer;
    bool flag;
    double real;
    struct bb_cbor array, map, reader;
    struct bb_cbor_field fields[] = {
        {"type", BB_CBOR_TEXT, &text, true},        {"document", BB_CBOR_BYTES, &blob, false},
        {"id", BB_CBOR_UINT, &number, false},       {"offset", BB_CBOR_NEGATIVE, &integer, false},
        {"translate", BB_CBOR_BOOL, &flag, false},  {"temperature", BB_CBOR_DOUBLE, &real, false},
        {"cabundle", BB_CBOR_ARRAY, &array, false}, {"pcrs", BB_CBOR_MAP, &map, false},
    };
    bb_cbor_init(&reader, bytes);
    bool strict = bb_cbor_read_fields(&reader, fields, sizeof fields / sizeof *fields, false) == BB_OK;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        fields[i].required = false;
    bb_cbor_init(&reader, bytes);
    bool lenient = bb_cbor_read_fields(&reader, fields, sizeof fields / sizeof *fields, true) == BB_OK;
    PROMISE(lenient || !strict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t used, again;
    read_as_message(bb_view(data, size));
    if (skip(bb_view(data, size), &used) != BB_OK)
        return 0;
    PROMISE(used > 0 && used <= size);
    PROMISE(skip(bb_view(data, used), &again) == BB_OK && again == used);
    PROMISE(skip(bb_view(data, used - 1), &again) == BB_ERR_TRUNCATED);
    return 0;
}
