/* See multipart.h. */
#include "enclave/gate/multipart.h"

#include <stdio.h>
#include <string.h>

#include "enclave/gate/field_value.h"

/* RFC 2046 section 5.1.1: bchars, the last one not a space. */
static bool boundary_is_legal(const char *boundary) {
    size_t len = strlen(boundary);
    if (len == 0 || boundary[len - 1] == ' ')
        return false;
    return strspn(boundary, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'()+_,-./:=? ") ==
           len;
}

enum bb_err bb_multipart_boundary(struct bb_view content_type, char boundary[BB_MULTIPART_BOUNDARY_MAX + 1]) {
    if (!bb_field_equal(bb_field_main(content_type), "multipart/form-data"))
        return BB_ERR_UNSUPPORTED;
    char found[BB_MULTIPART_BOUNDARY_MAX + 1];
    enum bb_err err = bb_field_parameter(content_type, "boundary", found, BB_MULTIPART_BOUNDARY_MAX);
    if (err != BB_OK)
        return err == BB_ERR_PROTOCOL ? BB_ERR_ARGUMENT : err;
    if (!boundary_is_legal(found))
        return BB_ERR_ARGUMENT;
    memcpy(boundary, found, sizeof found);
    return BB_OK;
}

void bb_multipart_init(struct bb_multipart *parser, const char *boundary,
                       const struct bb_multipart_events *events, void *arg) {
    *parser = (struct bb_multipart){.events = events, .arg = arg};
    size_t len = strnlen(boundary, BB_MULTIPART_BOUNDARY_MAX);
    memcpy(parser->delimiter, "\r\n--", 4);
    memcpy(parser->delimiter + 4, boundary, len);
    parser->delimiter_len = 4 + len;
    parser->matched = 2; /* the first delimiter may open the body without a line end before it */
}

void bb_multipart_done(struct bb_multipart *parser) {
    bb_wipe(parser, sizeof *parser);
    parser->state = BB_MULTIPART_FAILED;
}

static enum bb_err refuse(struct bb_multipart *parser, enum bb_err err, const char *reason) {
    parser->reason = reason;
    return err;
}

/* Content-Disposition: form-data; name="…" (RFC 7578 section 4.2). */
static enum bb_err read_disposition(struct bb_multipart *parser, struct bb_view value,
                                    char name[BB_MULTIPART_NAME_MAX + 1]) {
    if (!bb_field_equal(bb_field_main(value), "form-data"))
        return refuse(parser, BB_ERR_PROTOCOL, "A part of the form is not marked as form-data");
    enum bb_err err = bb_field_parameter(value, "name", name, BB_MULTIPART_NAME_MAX);
    if (err == BB_ERR_TOO_LARGE)
        return refuse(parser, err, "The name of a form field is longer than 256 bytes");
    if (err != BB_OK)
        return refuse(parser, BB_ERR_PROTOCOL, "A part of the form has no name");
    return BB_OK;
}

static enum bb_err read_header_line(struct bb_multipart *parser, struct bb_view line, bool *named,
                                    char name[BB_MULTIPART_NAME_MAX + 1]) {
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (colon == NULL || line.data[0] == ' ' || line.data[0] == '\t')
        return refuse(parser, BB_ERR_PROTOCOL, "A part of the form has a malformed header");
    size_t key_len = (size_t)(colon - line.data);
    struct bb_view key = bb_view(line.data, key_len);
    struct bb_view value = bb_field_trim(bb_view(colon + 1, line.len - key_len - 1));
    if (bb_field_equal(key, "content-transfer-encoding") && !bb_field_equal(value, "binary") &&
        !bb_field_equal(value, "8bit") && !bb_field_equal(value, "7bit"))
        return refuse(parser, BB_ERR_PROTOCOL, "Parts of the form must not be transfer-encoded");
    if (!bb_field_equal(key, "content-disposition"))
        return BB_OK;
    if (*named)
        return refuse(parser, BB_ERR_PROTOCOL, "A part of the form has two names");
    *named = true;
    return read_disposition(parser, value, name);
}

/* The part's header is complete in parser->header, each line with its CR LF. */
static enum bb_err begin_part(struct bb_multipart *parser) {
    if (parser->parts == BB_MULTIPART_PARTS_MAX)
        return refuse(parser, BB_ERR_TOO_LARGE, "The form has more than 64 parts");
    parser->parts++;
    bool named = false;
    char name[BB_MULTIPART_NAME_MAX + 1] = "";
    struct bb_view left = bb_view(parser->header, parser->header_len);
    while (left.len > 0) {
        const uint8_t *end = memchr(left.data, '\n', left.len);
        size_t len = (size_t)(end - left.data) + 1;
        enum bb_err err = read_header_line(parser, bb_view(left.data, len - 2), &named, name);
        if (err != BB_OK)
            return err;
        left = bb_view(left.data + len, left.len - len);
    }
    if (!named)
        return refuse(parser, BB_ERR_PROTOCOL, "A part of the form has no name");
    parser->state = BB_MULTIPART_DATA;
    parser->matched = 2; /* an empty part: its delimiter may follow the header's own line end */
    parser->at_start = true;
    bb_wipe(parser->header, parser->header_len);
    parser->header_len = 0;
    return parser->events->part(parser->arg, bb_view_str(name));
}

static enum bb_err feed_header(struct bb_multipart *parser, uint8_t byte) {
    if (parser->header_len == sizeof parser->header)
        return refuse(parser, BB_ERR_TOO_LARGE, "A part of the form has a header over 8192 bytes");
    parser->header[parser->header_len++] = byte;
    size_t len = parser->header_len;
    if (byte == '\0')
        return refuse(parser, BB_ERR_PROTOCOL, "A part of the form has a malformed header");
    if (byte != '\n')
        return BB_OK;
    if (len < 2 || parser->header[len - 2] != '\r')
        return refuse(parser, BB_ERR_PROTOCOL, "A part of the form has a malformed header");
    bool blank_line = len == 2 || (len >= 4 && parser->header[len - 3] == '\n');
    if (!blank_line)
        return BB_OK;
    parser->header_len -= 2;
    return begin_part(parser);
}

/* After a boundary: "--" closes the form, spaces and CR LF open a part. */
static enum bb_err feed_delimiter(struct bb_multipart *parser, uint8_t byte) {
    if (parser->tail_len == 0 && (byte == ' ' || byte == '\t'))
        return BB_OK;
    parser->tail[parser->tail_len++] = byte;
    if (parser->tail_len < 2) {
        if (byte != '-' && byte != '\r')
            return refuse(parser, BB_ERR_PROTOCOL, "A boundary of the form is followed by other text");
        return BB_OK;
    }
    parser->tail_len = 0;
    if (memcmp(parser->tail, "--", 2) == 0) {
        parser->state = BB_MULTIPART_EPILOGUE;
        return BB_OK;
    }
    if (memcmp(parser->tail, "\r\n", 2) != 0)
        return refuse(parser, BB_ERR_PROTOCOL, "A boundary of the form is followed by other text");
    parser->state = BB_MULTIPART_HEADER;
    return BB_OK;
}

static enum bb_err emit(struct bb_multipart *parser, struct bb_view bytes) {
    if (parser->state != BB_MULTIPART_DATA || bytes.len == 0)
        return BB_OK; /* the preamble is nobody's */
    return parser->events->data(parser->arg, bytes);
}

static enum bb_err delimiter_found(struct bb_multipart *parser) {
    bool in_part = parser->state == BB_MULTIPART_DATA;
    parser->state = BB_MULTIPART_DELIMITER;
    parser->matched = 0;
    parser->at_start = false;
    return in_part ? parser->events->end(parser->arg) : BB_OK;
}

/*
 * Content up to the next delimiter. CR occurs in the delimiter only as its first byte, so that after a
 * mismatch nothing before the current byte can begin another match.
 */
static enum bb_err feed_content(struct bb_multipart *parser, struct bb_view *bytes) {
    if (parser->matched == 0) {
        const uint8_t *start = memchr(bytes->data, '\r', bytes->len);
        size_t plain = start == NULL ? bytes->len : (size_t)(start - bytes->data);
        enum bb_err err = emit(parser, bb_view(bytes->data, plain));
        *bytes = bb_view(bytes->data + plain, bytes->len - plain);
        if (err != BB_OK || bytes->len == 0)
            return err;
    }
    if (bytes->data[0] == parser->delimiter[parser->matched]) {
        *bytes = bb_view(bytes->data + 1, bytes->len - 1);
        return ++parser->matched == parser->delimiter_len ? delimiter_found(parser) : BB_OK;
    }
    /* Two bytes of a match at a part's very start are the header's line end, not content. */
    size_t held = parser->matched;
    parser->matched = 0;
    size_t skip = parser->at_start ? 2 : 0;
    parser->at_start = false;
    return emit(parser, bb_view(parser->delimiter + skip, held - skip));
}

static enum bb_err feed_some(struct bb_multipart *parser, struct bb_view *bytes) {
    enum bb_err err = BB_OK;
    uint8_t byte = bytes->data[0];
    switch (parser->state) {
    case BB_MULTIPART_PREAMBLE:
    case BB_MULTIPART_DATA:
        return feed_content(parser, bytes);
    case BB_MULTIPART_DELIMITER:
        err = feed_delimiter(parser, byte);
        break;
    case BB_MULTIPART_HEADER:
        err = feed_header(parser, byte);
        break;
    case BB_MULTIPART_EPILOGUE:
        *bytes = bb_view(NULL, 0);
        return BB_OK;
    case BB_MULTIPART_FAILED:
        return refuse(parser, BB_ERR_PROTOCOL, "The form is malformed");
    }
    *bytes = bb_view(bytes->data + 1, bytes->len - 1);
    return err;
}

enum bb_err bb_multipart_feed(struct bb_multipart *parser, struct bb_view bytes) {
    while (bytes.len > 0) {
        enum bb_err err = feed_some(parser, &bytes);
        if (err != BB_OK) {
            parser->state = BB_MULTIPART_FAILED;
            return err;
        }
    }
    return BB_OK;
}

enum bb_err bb_multipart_finish(struct bb_multipart *parser) {
    enum bb_multipart_state state = parser->state;
    if (state == BB_MULTIPART_EPILOGUE)
        return BB_OK;
    parser->state = BB_MULTIPART_FAILED;
    if (state == BB_MULTIPART_PREAMBLE)
        return refuse(parser, BB_ERR_TRUNCATED, "The form does not contain its boundary");
    if (state == BB_MULTIPART_DELIMITER)
        return refuse(parser, BB_ERR_TRUNCATED, "The form ends before its closing boundary");
    return refuse(parser, BB_ERR_TRUNCATED, "The form ends in the middle of a part");
}
