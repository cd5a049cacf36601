/* See reader.h. The callbacks only note what llhttp says; judging is done in feed(). */
#include "enclave/gate/reader.h"

#include <inttypes.h>
#include <string.h>

static struct bb_reader *reader_of(llhttp_t *parser) {
    return parser->data;
}

/* Ends the parse with reader->fault already set. */
static int refuse(llhttp_t *parser) {
    llhttp_set_error_reason(parser, "");
    return HPE_USER;
}

static void set_header_fault(struct bb_reader *reader) {
    bb_fault_set(&reader->fault, 431, "The request header exceeds the limit header_bytes (%" PRIu64 ")",
                 reader->limits->header_bytes);
}

/* Trailers and chunk extensions count as header: the room that the header left is theirs. */
static int count_extra(llhttp_t *parser, size_t len) {
    struct bb_reader *reader = reader_of(parser);
    if (!reader->header_done)
        return 0;
    if (len > reader->limits->header_bytes - reader->header_len) {
        set_header_fault(reader);
        return refuse(parser);
    }
    reader->header_len += len;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len) {
    struct bb_reader *reader = reader_of(parser);
    if (bb_buf_append(&reader->target, at, len) == BB_OK)
        return 0;
    bb_fault_set(&reader->fault, 414, "The request target is longer than %u bytes", BB_READER_TARGET_MAX);
    return refuse(parser);
}

static int on_field(llhttp_t *parser, const char *at, size_t len) {
    struct bb_reader *reader = reader_of(parser);
    for (size_t i = 0; i < len && reader->field_len < sizeof reader->field; i++) {
        char c = at[i];
        reader->field[reader->field_len++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    return count_extra(parser, len);
}

static bool field_is(const struct bb_reader *reader, const char *name) {
    return reader->field_len == strlen(name) && memcmp(reader->field, name, reader->field_len) == 0;
}

/* Where a field's value goes: only three matter here, and each at most once. */
static int on_field_complete(llhttp_t *parser) {
    struct bb_reader *reader = reader_of(parser);
    reader->value = NULL;
    if (!reader->header_done) {
        if (field_is(reader, "content-type"))
            reader->value = &reader->content_type;
        else if (field_is(reader, "expect"))
            reader->value = &reader->expect;
        else if (field_is(reader, "host"))
            reader->value = &reader->host;
    }
    reader->field_len = 0;
    if (reader->value == NULL || reader->value->data == NULL)
        return 0;
    bb_fault_set(&reader->fault, 400, "The request has a header field twice that may occur once");
    return refuse(parser);
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
    struct bb_reader *reader = reader_of(parser);
    if (reader->value != NULL && bb_buf_append(reader->value, at, len) != BB_OK) {
        bb_fault_set(&reader->fault, 431, "A field of the request header is longer than %u bytes",
                     BB_READER_VALUE_MAX);
        return refuse(parser);
    }
    return count_extra(parser, len);
}

/* Marks the field as seen even when its value is empty, and drops the white space at its end. */
static int on_value_complete(llhttp_t *parser) {
    struct bb_reader *reader = reader_of(parser);
    struct bb_buf *value = reader->value;
    if (value != NULL && bb_buf_append(value, "", 0) != BB_OK) {
        bb_fault_set(&reader->fault, 503, "There is no memory for the request just now; try again");
        return refuse(parser);
    }
    while (value != NULL && value->len > 0 && strchr(" \t", value->data[value->len - 1]) != NULL)
        value->data[--value->len] = '\0';
    reader->value = NULL;
    return 0;
}

static int on_extension(llhttp_t *parser, const char *at, size_t len) {
    (void)at;
    return count_extra(parser, len);
}

static int on_header(llhttp_t *parser) {
    struct bb_reader *reader = reader_of(parser);
    parser->upgrade = 0; /* no protocol is switched to */
    reader->header_done = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
    struct bb_reader *reader = reader_of(parser);
    reader->body_len += len;
    if (reader->body_len > reader->limits->body_bytes) {
        bb_fault_set(&reader->fault, 413, "The request body exceeds the limit body_bytes (%" PRIu64 ")",
                     reader->limits->body_bytes);
        return refuse(parser);
    }
    return reader->body(reader->arg, bb_view(at, len)) ? 0 : refuse(parser);
}

static int on_message(llhttp_t *parser) {
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_headers_complete = on_header,
    .on_body = on_body,
    .on_message_complete = on_message,
};

void bb_reader_init(struct bb_reader *reader, const struct bb_limits *limits,
                    bool (*body)(void *arg, struct bb_view bytes), void *arg) {
    *reader = (struct bb_reader){
        .body = body,
        .arg = arg,
        .limits = limits,
        .target = BB_BUF_INIT(BB_READER_TARGET_MAX),
        .content_type = BB_BUF_INIT(BB_READER_VALUE_MAX),
        .expect = BB_BUF_INIT(BB_READER_VALUE_MAX),
        .host = BB_BUF_INIT(BB_READER_VALUE_MAX),
    };
    llhttp_init(&reader->parser, HTTP_REQUEST, &settings);
    reader->parser.data = reader;
}

void bb_reader_done(struct bb_reader *reader) {
    bb_buf_done(&reader->target);
    bb_buf_done(&reader->content_type);
    bb_buf_done(&reader->expect);
    bb_buf_done(&reader->host);
}

void bb_reader_next(struct bb_reader *reader) {
    bb_reader_done(reader);
    reader->begun = reader->header_done = reader->has_body = reader->keep_alive = false;
    reader->header_len = 0;
    reader->body_len = 0;
    reader->field_len = 0;
    reader->value = NULL;
}

/* What llhttp does not judge. */
static bool header_is_good(struct bb_reader *reader) {
    const llhttp_t *parser = &reader->parser;
    if (parser->http_major == 0) {
        bb_fault_set(&reader->fault, 400, "The request line has no HTTP version");
        return false;
    }
    if (parser->http_major != 1 || parser->http_minor > 1) {
        bb_fault_set(&reader->fault, 505, "The only protocol here is HTTP 1.1");
        return false;
    }
    if (parser->http_minor == 0 && (parser->flags & F_TRANSFER_ENCODING) != 0) {
        bb_fault_set(&reader->fault, 400, "A request of HTTP 1.0 cannot have a Transfer-Encoding");
        return false;
    }
    if ((parser->flags & F_TRANSFER_ENCODING) != 0 && (parser->flags & F_CHUNKED) == 0) {
        bb_fault_set(&reader->fault, 501, "The only Transfer-Encoding here is chunked");
        return false;
    }
    if (parser->http_minor == 1 && reader->host.data == NULL) {
        bb_fault_set(&reader->fault, 400, "The request has no Host");
        return false;
    }
    if ((parser->flags & F_CONTENT_LENGTH) != 0 && parser->content_length > reader->limits->body_bytes) {
        bb_fault_set(&reader->fault, 413, "The request body exceeds the limit body_bytes (%" PRIu64 ")",
                     reader->limits->body_bytes);
        return false;
    }
    return true;
}

static enum bb_reader_event header_event(struct bb_reader *reader) {
    llhttp_t *parser = &reader->parser;
    reader->method = llhttp_method_name(llhttp_get_method(parser));
    reader->http_1_0 = parser->http_minor == 0;
    reader->has_body = (parser->flags & F_CHUNKED) != 0 ||
                       ((parser->flags & F_CONTENT_LENGTH) != 0 && parser->content_length > 0);
    reader->keep_alive = !reader->http_1_0 && llhttp_should_keep_alive(parser) != 0;
    if (reader->header_len > reader->limits->header_bytes)
        set_header_fault(reader);
    else if (header_is_good(reader))
        return BB_READER_HEADER;
    return BB_READER_REFUSED;
}

/* A refusal by llhttp itself. */
static enum bb_reader_event refusal(struct bb_reader *reader, llhttp_errno_t code) {
    if (code == HPE_USER)
        return reader->fault.status != 0 ? BB_READER_REFUSED : BB_READER_STOPPED;
    const llhttp_t *parser = &reader->parser;
    bool other_version = parser->http_major > 1 || (parser->http_major == 1 && parser->http_minor > 1);
    if (code == HPE_PAUSED_H2_UPGRADE || (code == HPE_INVALID_VERSION && other_version))
        bb_fault_set(&reader->fault, 505, "The only protocol here is HTTP 1.1");
    else if (code == HPE_UNEXPECTED_CONTENT_LENGTH || code == HPE_INVALID_CONTENT_LENGTH)
        bb_fault_set(&reader->fault, 400, "The Content-Length is not valid, or not the only length");
    else if (code == HPE_INVALID_CHUNK_SIZE)
        bb_fault_set(&reader->fault, 400, "A chunk of the request body has no valid size");
    else
        bb_fault_set(&reader->fault, 400, "This is not a well-formed HTTP request");
    return BB_READER_REFUSED;
}

enum bb_reader_event bb_reader_feed(struct bb_reader *reader, struct bb_view bytes, size_t *taken) {
    size_t len = bytes.len;
    bool in_header = !reader->header_done;
    if (in_header && len > reader->limits->header_bytes + 1 - reader->header_len)
        len = (size_t)reader->limits->header_bytes + 1 - reader->header_len;
    *taken = len;
    reader->begun = reader->begun || len > 0;
    if (reader->paused)
        llhttp_resume(&reader->parser);
    reader->paused = false;
    const char *data = (const char *)bytes.data;
    llhttp_errno_t code = llhttp_execute(&reader->parser, len > 0 ? data : "", len);
    if (code == HPE_PAUSED && len > 0)
        *taken = (size_t)(llhttp_get_error_pos(&reader->parser) - data);
    if (in_header)
        reader->header_len += *taken;
    if (code == HPE_PAUSED) {
        reader->paused = true;
        return in_header ? header_event(reader) : BB_READER_MESSAGE;
    }
    if (code != HPE_OK)
        return refusal(reader, code);
    if (in_header && reader->header_len > reader->limits->header_bytes) {
        set_header_fault(reader);
        return BB_READER_REFUSED;
    }
    return BB_READER_MORE;
}
