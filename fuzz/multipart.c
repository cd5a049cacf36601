/*
 * The multipart parser: the same parts, whatever pieces the body comes in. The first byte is the size of the
 * pieces, the first line the Content-Type, the rest the body.
 */
#include "enclave/gate/multipart.h"

#include <string.h>

#include "target.h"

#define SAID_MAX ((size_t)1024 * 1024)

static enum bb_err on_part(void *said, struct bb_view name) {
    enum bb_err err = bb_buf_append(said, "[", 1);
    if (err == BB_OK)
        err = bb_buf_append(said, name.data, name.len);
    return err == BB_OK ? bb_buf_append(said, "]", 1) : err;
}

static enum bb_err on_data(void *said, struct bb_view bytes) {
    return bb_buf_append(said, bytes.data, bytes.len);
}

static enum bb_err on_end(void *said) {
    return bb_buf_append(said, ";", 1);
}

static enum bb_err parse(const char *boundary, struct bb_view body, size_t piece, struct bb_buf *said) {
    static const struct bb_multipart_events events = {.part = on_part, .data = on_data, .end = on_end};
    static struct bb_multipart parser;
    enum bb_err err = BB_OK;
    bb_multipart_init(&parser, boundary, &events, said);
    for (size_t at = 0; err == BB_OK && at < body.len; at += piece)
        err = bb_multipart_feed(&parser,
                                bb_view(body.data + at, body.len - at < piece ? body.len - at : piece));
    if (err == BB_OK)
        err = bb_multipart_finish(&parser);
    PROMISE(err == BB_OK || parser.reason != NULL);
    bb_multipart_done(&parser);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bb_buf whole BB_CLEANUP_BUF = BB_BUF_INIT(SAID_MAX), pieces BB_CLEANUP_BUF = BB_BUF_INIT(SAID_MAX);
    char boundary[BB_MULTIPART_BOUNDARY_MAX + 1];
    const uint8_t *line_end = size > 1 ? memchr(data, '\n', size) : NULL;
    if (line_end == NULL || line_end == data)
        return 0;
    if (bb_multipart_boundary(bb_view(data + 1, (size_t)(line_end - data) - 1), boundary) != BB_OK)
        return 0;
    struct bb_view body = bb_view(line_end + 1, size - (size_t)(line_end - data) - 1);
    enum bb_err in_one = parse(boundary, body, size, &whole);
    enum bb_err in_pieces = parse(boundary, body, (size_t)data[0] + 1, &pieces);
    PROMISE(in_one == in_pieces);
    PROMISE(in_one != BB_OK || bb_view_equal(bb_buf_view(&whole), bb_buf_view(&pieces)));
    return 0;
}
