/* See evidence_file.h. The encoding is told by the first bytes; nothing here judges what is inside. */
#include "cli/evidence_file.h"

#include <string.h>

#include "base/fd.h"
#include "base/hex.h"
#include "cli/text.h"
#include "cli/verbs.h"
#include "crypto/cert.h"
#include "crypto/hash.h"

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A DER SEQUENCE with a length of two bytes or more; '0' in text is never followed by such a byte. */
static bool is_der(struct bb_view bytes) {
    return bytes.len > 1 && bytes.data[0] == 0x30 && bytes.data[1] > 0x80;
}

/* An array of four, of any number, or tagged as a COSE_Sign1: what no text begins with. */
static bool is_cose(struct bb_view bytes) {
    return bytes.len > 0 && (bytes.data[0] == 0x84 || bytes.data[0] == 0x9f || bytes.data[0] == 0xd2);
}

static enum bb_err without_space(struct bb_view text, struct bb_buf *out) {
    enum bb_err err = BB_OK;
    for (size_t i = 0; err == BB_OK && i < text.len; i++)
        if (!is_space(text.data[i]))
            err = bb_buf_append(out, &text.data[i], 1);
    return err;
}

static enum bb_err decode_hex(struct bb_view text, struct bb_buf *out) {
    uint8_t *to;
    if (text.len > 2 && memcmp(text.data, "0x", 2) == 0)
        text = bb_view(text.data + 2, text.len - 2);
    if (text.len % 2 != 0)
        return BB_ERR_HEX;
    enum bb_err err = bb_buf_reserve(out, text.len / 2, &to);
    if (err == BB_OK)
        err = bb_hex_decode(text, to, text.len / 2);
    if (err == BB_OK)
        bb_buf_commit(out, text.len / 2);
    return err;
}

static enum bb_err decode_base64(struct bb_view text, struct bb_buf *out) {
    struct bb_buf standard BB_CLEANUP_BUF = BB_BUF_INIT(BB_CLI_EVIDENCE_FILE_MAX + 4);
    enum bb_err err = bb_buf_append(&standard, text.data, text.len);
    for (size_t i = 0; i < standard.len; i++)
        if (standard.data[i] == '-' || standard.data[i] == '_')
            standard.data[i] = standard.data[i] == '-' ? '+' : '/';
    while (err == BB_OK && standard.len % 4 != 0)
        err = bb_buf_append(&standard, "=", 1);
    return err == BB_OK ? bb_base64_decode(bb_buf_view(&standard), out) : err;
}

static const struct encoding {
    const char *name;
    enum bb_err (*decode)(struct bb_view text, struct bb_buf *out);
} encodings[] = {{"hex", decode_hex}, {"base64", decode_base64}};

/* BB_ERR_NOT_FOUND: the text holds no evidence in any encoding. */
static enum bb_err decode_text(struct bb_view text, struct bb_cli_evidence *evidence) {
    struct bb_buf dense BB_CLEANUP_BUF = BB_BUF_INIT(BB_CLI_EVIDENCE_FILE_MAX);
    enum bb_err err = without_space(text, &dense);
    for (size_t i = 0; err == BB_OK && i < sizeof encodings / sizeof *encodings; i++) {
        bb_buf_clear(&evidence->bytes);
        err = encodings[i].decode(bb_buf_view(&dense), &evidence->bytes);
        if (err == BB_ERR_NO_MEMORY)
            return err;
        struct bb_view decoded = bb_buf_view(&evidence->bytes);
        if (err == BB_OK && (is_cose(decoded) || is_der(decoded))) {
            evidence->certificate = is_der(decoded);
            evidence->encoding = encodings[i].name;
            return BB_OK;
        }
        err = BB_OK;
    }
    bb_buf_clear(&evidence->bytes);
    return err == BB_OK ? BB_ERR_NOT_FOUND : err;
}

static enum bb_err decode_pem(struct bb_view pem, struct bb_cli_evidence *evidence) {
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_view rest;
    enum bb_err err = bb_cert_parse_pem(pem, &cert, &rest);
    if (err != BB_OK)
        return err;
    evidence->certificate = true;
    evidence->encoding = "PEM";
    return bb_buf_append(&evidence->bytes, bb_cert_der(cert).data, bb_cert_der(cert).len);
}

static enum bb_err take_as_it_is(struct bb_view bytes, const char *encoding,
                                 struct bb_cli_evidence *evidence) {
    evidence->encoding = encoding;
    evidence->certificate = is_der(bytes);
    return bb_buf_append(&evidence->bytes, bytes.data, bytes.len);
}

static enum bb_err decode(struct bb_view bytes, struct bb_cli_evidence *evidence) {
    static const char pem[] = "-----BEGIN ";
    if (is_der(bytes))
        return take_as_it_is(bytes, "DER", evidence);
    if (is_cose(bytes))
        return take_as_it_is(bytes, "CBOR", evidence);
    if (bytes.len > 0 && memmem(bytes.data, bytes.len, pem, sizeof pem - 1) != NULL)
        return decode_pem(bytes, evidence);
    enum bb_err err = decode_text(bytes, evidence);
    return err == BB_ERR_NOT_FOUND ? take_as_it_is(bytes, "unknown", evidence) : err;
}

int bb_cli_evidence_read(const char *path, struct bb_cli_evidence *evidence) {
    struct bb_buf file BB_CLEANUP_BUF = BB_BUF_INIT(BB_CLI_EVIDENCE_FILE_MAX);
    *evidence = (struct bb_cli_evidence){.bytes = BB_BUF_INIT(BB_CLI_EVIDENCE_FILE_MAX)};
    enum bb_err err = bb_file_read(path, &file);
    if (err != BB_OK)
        return bb_cli_fail_file(path, err);
    err = decode(bb_buf_view(&file), evidence);
    return err == BB_OK ? BB_CLI_GOOD : bb_cli_fail("%s: %s", path, bb_err_sentence(err));
}

void bb_cli_evidence_done(struct bb_cli_evidence *evidence) {
    bb_buf_done(&evidence->bytes);
}
