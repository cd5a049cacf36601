/*
 * See show.h. What is printed may be a stranger's: bytes come out in hexadecimal, text with control
 * characters replaced.
 */
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/hex.h"
#include "cli/text.h"
#include "crypto/cert.h"
#include "crypto/hash.h"

#define BYTES_MAX      BB_DOCUMENT_MAX /* no field is longer than its document */
#define NAME_MAX_BYTES 4096u

const char *bb_cli_time_text(int64_t time_ms, char out[BB_CLI_TIME_MAX]) {
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm broken_down;
    if (gmtime_r(&seconds, &broken_down) == NULL)
        return memcpy(out, "?", 2);
    size_t len = strftime(out, BB_CLI_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &broken_down);
    if (time_ms % 1000 == 0)
        snprintf(out + len, BB_CLI_TIME_MAX - len, "Z");
    else
        snprintf(out + len, BB_CLI_TIME_MAX - len, ".%03dZ", abs((int)(time_ms % 1000)));
    return out;
}

json_t *bb_cli_json_text(const char *text) {
    if (text == NULL)
        return json_null();
    json_t *string = json_string(text);
    return string != NULL ? string : json_string("(not UTF-8)");
}

/* Hexadecimal digits of at most BYTES_MAX bytes, "" of no bytes. */
static const char *hex_of(struct bb_view bytes, char out[2 * BYTES_MAX + 1]) {
    bb_hex_encode(bb_view(bytes.data, bytes.len < BYTES_MAX ? bytes.len : BYTES_MAX), out);
    return out;
}

static bool is_printable(struct bb_view bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.data[i] < ' ' || bytes.data[i] > '~')
            return false;
    return bytes.len > 0;
}

/* How enclaves bind a certificate and an application in user_data: two SHA-256, each after a prefix. */
static const struct layout {
    const char *first, *second;
    size_t first_len, second_len;
} layouts[] = {
    {"sha256:", ";sha256:", 7, 8},
    {"\x12\x20", "\x12\x20", 2, 2}, /* multihash */
};

static bool follows(struct bb_view bytes, const struct layout *layout) {
    size_t second = layout->first_len + BB_SHA256_LEN;
    return bytes.len == second + layout->second_len + BB_SHA256_LEN &&
           memcmp(bytes.data, layout->first, layout->first_len) == 0 &&
           memcmp(bytes.data + second, layout->second, layout->second_len) == 0;
}

static void print_known_layout(struct bb_view bytes) {
    char hex[2 * BYTES_MAX + 1];
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        if (!follows(bytes, &layouts[i]))
            continue;
        size_t first = layouts[i].first_len, second = bytes.len - BB_SHA256_LEN;
        printf("    SHA-256 of a certificate   %s\n",
               hex_of(bb_view(bytes.data + first, BB_SHA256_LEN), hex));
        printf("    SHA-256 of an application  %s\n",
               hex_of(bb_view(bytes.data + second, BB_SHA256_LEN), hex));
    }
}

static void print_bytes(const char *name, const uint8_t *data, size_t len) {
    char hex[2 * BYTES_MAX + 1];
    if (data == NULL) {
        printf("  %-11s absent\n", name);
        return;
    }
    printf("  %-11s %zu byte%s%s%s\n", name, len, len == 1 ? "" : "s", len > 0 ? ": " : "",
           hex_of(bb_view(data, len), hex));
    if (is_printable(bb_view(data, len)))
        printf("    as text  \"%.*s\"\n", (int)len, (const char *)data);
    print_known_layout(bb_view(data, len));
}

static void print_line(const char *indent, const char *name, const char *text) {
    printf("%s%-11s ", indent, name);
    bb_cli_print_safely(stdout, text);
    putchar('\n');
}

/* A certificate in words. */
struct words {
    struct bb_cert *cert;
    struct bb_buf issuer, key;
    char from[BB_CLI_TIME_MAX], to[BB_CLI_TIME_MAX], sha256[2 * BB_SHA256_LEN + 1];
};

static void words_done(struct words *words) {
    bb_cert_free(words->cert);
    bb_buf_done(&words->issuer);
    bb_buf_done(&words->key);
}

static bool describe(const uint8_t *der, size_t len, struct words *words) {
    uint8_t digest[BB_SHA256_LEN];
    *words = (struct words){.issuer = BB_BUF_INIT(NAME_MAX_BYTES), .key = BB_BUF_INIT(NAME_MAX_BYTES)};
    if (der == NULL || bb_cert_parse(bb_view(der, len), &words->cert) != BB_OK ||
        bb_cert_issuer_text(words->cert, &words->issuer) != BB_OK ||
        bb_cert_key_text(words->cert, &words->key) != BB_OK || bb_sha256(bb_view(der, len), digest) != BB_OK)
        return false;
    bb_cli_time_text(bb_cert_not_before_ms(words->cert), words->from);
    bb_cli_time_text(bb_cert_not_after_ms(words->cert), words->to);
    bb_hex_encode(bb_view(digest, sizeof digest), words->sha256);
    return true;
}

void bb_cli_certificate_print(const char *indent, const uint8_t *der, size_t len) {
    struct words words __attribute__((cleanup(words_done)));
    if (!describe(der, len, &words)) {
        print_line(indent, "certificate", der == NULL ? "absent" : "cannot be parsed");
        return;
    }
    print_line(indent, "subject", bb_cert_subject_text(words.cert));
    print_line(indent, "issuer", bb_buf_str(&words.issuer));
    printf("%s%-11s %s to %s\n", indent, "valid", words.from, words.to);
    print_line(indent, "key", bb_buf_str(&words.key));
    print_line(indent, "SHA-256", words.sha256);
}

json_t *bb_cli_certificate_to_json(const uint8_t *der, size_t len) {
    struct words words __attribute__((cleanup(words_done)));
    if (!describe(der, len, &words))
        return json_null();
    return json_pack("{s:o, s:o, s:s, s:s, s:o, s:s}", "subject",
                     bb_cli_json_text(bb_cert_subject_text(words.cert)), "issuer",
                     bb_cli_json_text(bb_buf_str(&words.issuer)), "not_before", words.from, "not_after",
                     words.to, "key", bb_cli_json_text(bb_buf_str(&words.key)), "sha256", words.sha256);
}

static void print_certificates(const struct bb_document *document) {
    size_t count = bb_document_certificate_count(document);
    for (size_t i = 0; i < count; i++) {
        size_t len;
        const uint8_t *der = bb_document_certificate(document, i, &len);
        printf("  certificate %zu of %zu%s\n", i + 1, count,
               i + 1 == count ? " (the leaf, which signs)" : "");
        bb_cli_certificate_print("    ", der, len);
    }
}

void bb_cli_document_print(const struct bb_document *document) {
    char made[BB_CLI_TIME_MAX], hex[2 * BYTES_MAX + 1];
    int64_t timestamp_ms = bb_document_timestamp_ms(document);
    const char *id = bb_document_module_id(document), *digest = bb_document_digest(document);
    size_t len;
    print_line("  ", "module id", id != NULL ? id : "cannot be read");
    print_line("  ", "time", timestamp_ms != 0 ? bb_cli_time_text(timestamp_ms, made) : "cannot be read");
    print_line("  ", "digest", digest[0] != '\0' ? digest : "cannot be read");
    for (unsigned i = 0; i < BB_PCR_COUNT; i++) {
        const uint8_t *pcr = bb_document_pcr(document, i);
        if (pcr != NULL)
            printf("  PCR%-8u %s\n", i, hex_of(bb_view(pcr, BB_PCR_LEN), hex));
    }
    const uint8_t *data = bb_document_public_key(document, &len);
    print_bytes("public key", data, len);
    data = bb_document_user_data(document, &len);
    print_bytes("user data", data, len);
    data = bb_document_nonce(document, &len);
    print_bytes("nonce", data, len);
    print_certificates(document);
}

static json_t *bytes_to_json(const uint8_t *data, size_t len) {
    char hex[2 * BYTES_MAX + 1];
    return data == NULL ? json_null() : json_string(hex_of(bb_view(data, len), hex));
}

static json_t *pcrs_to_json(const struct bb_document *document) {
    json_t *pcrs = json_object();
    for (unsigned i = 0; i < BB_PCR_COUNT; i++) {
        const uint8_t *value = bb_document_pcr(document, i);
        char name[8];
        snprintf(name, sizeof name, "PCR%u", i);
        if (value != NULL && json_object_set_new(pcrs, name, bytes_to_json(value, BB_PCR_LEN)) != 0) {
            json_decref(pcrs);
            return NULL;
        }
    }
    return pcrs;
}

static json_t *certificates_to_json(const struct bb_document *document) {
    json_t *list = json_array();
    for (size_t i = 0; i < bb_document_certificate_count(document); i++) {
        size_t len;
        const uint8_t *der = bb_document_certificate(document, i, &len);
        if (json_array_append_new(list, bb_cli_certificate_to_json(der, len)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *bb_cli_document_to_json(const struct bb_document *document) {
    size_t key_len, data_len, nonce_len;
    const uint8_t *key = bb_document_public_key(document, &key_len);
    const uint8_t *data = bb_document_user_data(document, &data_len);
    const uint8_t *nonce = bb_document_nonce(document, &nonce_len);
    return json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "module_id",
                     bb_cli_json_text(bb_document_module_id(document)), "timestamp_ms",
                     (json_int_t)bb_document_timestamp_ms(document), "digest",
                     bb_cli_json_text(bb_document_digest(document)), "pcrs", pcrs_to_json(document),
                     "public_key", bytes_to_json(key, key_len), "user_data", bytes_to_json(data, data_len),
                     "nonce", bytes_to_json(nonce, nonce_len), "certificates",
                     certificates_to_json(document));
}
