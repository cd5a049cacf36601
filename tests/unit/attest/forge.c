/* See forge.h. */
#include "forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "cbor/cbor.h"

#define ok(call) assert_int_equal((call), BB_OK)

#define SECOND INT64_C(1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

static const uint8_t cbor_null[] = {0xf6};
static const uint8_t header_es384[] = {0xa1, 0x01, 0x38, 0x22};
static const uint8_t header_empty[] = {0xa0};

static void init_certs(struct forge *forge, int64_t now_ms) {
    const struct forge_cert certs[FORGE_CERTS] = {
        [FORGE_ROOT] = {"forged.root", NULL, now_ms - 365 * DAY, now_ms + 3650 * DAY, true, -1},
        [FORGE_REGIONAL] = {"forged.region", NULL, now_ms - 5 * DAY, now_ms + 15 * DAY, true, 2},
        [FORGE_ZONAL] = {"forged.zone", NULL, now_ms - DAY, now_ms + 4 * DAY, true, 1},
        [FORGE_INSTANCE] = {"forged.instance", NULL, now_ms - HOUR, now_ms + 23 * HOUR, true, 0},
        [FORGE_LEAF] = {"forged.leaf", NULL, now_ms - 60 * SECOND, now_ms + 3 * HOUR, false, -1},
    };
    memcpy(forge->certs, certs, sizeof certs);
    for (size_t i = 0; i < FORGE_CERTS; i++) {
        ok(bb_key_generate(BB_CURVE_P384, &forge->certs[i].key));
        forge->certs[i].der = BB_BUF_INIT(BB_CERT_MAX);
    }
    ok(bb_key_generate(BB_CURVE_P384, &forge->stranger));
}

static struct forge_field *add_field(struct forge *forge, const char *key) {
    assert_true(forge->field_count < FORGE_FIELDS);
    struct forge_field *field = &forge->fields[forge->field_count++];
    *field = (struct forge_field){.key = key, .value = BB_BUF_INIT(8192)};
    return field;
}

/* In AWS's order. */
static void init_fields(struct forge *forge, int64_t now_ms) {
    ok(bb_cbor_put_text(&add_field(forge, "module_id")->value, "i-0123456789abcdef0-enc0123456789abcdef"));
    ok(bb_cbor_put_text(&add_field(forge, "digest")->value, "SHA384"));
    ok(bb_cbor_put_uint(&add_field(forge, "timestamp")->value, (uint64_t)now_ms));
    add_field(forge, "pcrs");
    add_field(forge, "certificate");
    add_field(forge, "cabundle");
    forge_field_add(forge, "public_key", cbor_null, sizeof cbor_null);
    forge_field_add(forge, "user_data", cbor_null, sizeof cbor_null);
    forge_field_add(forge, "nonce", cbor_null, sizeof cbor_null);
}

void forge_init(struct forge *forge, int64_t now_ms) {
    *forge = (struct forge){
        .protected_header = bb_view(header_es384, sizeof header_es384),
        .unprotected_header = bb_view(header_empty, sizeof header_empty),
        .signature_len = BB_ES384_SIGNATURE_LEN,
    };
    init_certs(forge, now_ms);
    init_fields(forge, now_ms);
    for (unsigned i = 0; i < 16; i++)
        forge_pcr_add(forge, i, 48, i < 3 || i == 4 || i == 8 ? (uint8_t)(0x10 + i) : 0);
}

void forge_done(struct forge *forge) {
    for (size_t i = 0; i < FORGE_CERTS; i++) {
        bb_key_free(forge->certs[i].key);
        bb_buf_done(&forge->certs[i].der);
    }
    for (size_t i = 0; i < forge->field_count; i++)
        bb_buf_done(&forge->fields[i].value);
    bb_key_free(forge->stranger);
    *forge = (struct forge){0};
}

static struct forge_field *find_field(struct forge *forge, const char *key) {
    for (size_t i = 0; i < forge->field_count; i++)
        if (strcmp(forge->fields[i].key, key) == 0)
            return &forge->fields[i];
    return NULL;
}

void forge_field_add(struct forge *forge, const char *key, const void *cbor, size_t len) {
    ok(bb_buf_append(&add_field(forge, key)->value, cbor, len));
}

void forge_field_set(struct forge *forge, const char *key, const void *cbor, size_t len) {
    struct forge_field *field = find_field(forge, key);
    if (field == NULL)
        field = add_field(forge, key);
    bb_buf_clear(&field->value);
    ok(bb_buf_append(&field->value, cbor, len));
}

void forge_field_set_bytes(struct forge *forge, const char *key, struct bb_view bytes) {
    struct bb_buf value BB_CLEANUP_BUF = BB_BUF_INIT(8192);
    ok(bb_cbor_put_bytes(&value, bytes));
    forge_field_set(forge, key, value.data, value.len);
}

void forge_field_remove(struct forge *forge, const char *key) {
    struct forge_field *field = find_field(forge, key);
    assert_non_null(field);
    bb_buf_done(&field->value);
    size_t after = forge->field_count - (size_t)(field - forge->fields) - 1;
    memmove(field, field + 1, after * sizeof *field);
    forge->field_count--;
}

void forge_pcr_add(struct forge *forge, uint64_t index, size_t len, uint8_t fill) {
    assert_true(forge->pcr_count < FORGE_PCRS && len <= 64);
    forge->pcrs[forge->pcr_count++] = (struct forge_pcr){index, len, fill};
}

void forge_pcr_remove(struct forge *forge, uint64_t index) {
    for (size_t i = 0; i < forge->pcr_count; i++)
        if (forge->pcrs[i].index == index) {
            forge->pcrs[i] = forge->pcrs[--forge->pcr_count];
            return;
        }
}

void forge_pcr_set(struct forge *forge, uint64_t index, uint8_t fill) {
    forge_pcr_remove(forge, index);
    forge_pcr_add(forge, index, 48, fill);
}

void forge_key_replace(struct forge *forge, unsigned cert, enum bb_curve curve) {
    bb_key_free(forge->certs[cert].key);
    forge->certs[cert].key = NULL;
    ok(bb_key_generate(curve, &forge->certs[cert].key));
}

static void rename_issuer(X509 *x509, const char *common_name) {
    X509_NAME *name = X509_NAME_new();
    assert_non_null(name);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0),
        1);
    assert_int_equal(X509_set_issuer_name(x509, name), 1);
    X509_NAME_free(name);
}

/* Opens the finished certificate again, changes it and signs it anew. */
static void edit(struct forge_cert *cert, const struct bb_key *signer) {
    const unsigned char *at = cert->der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)cert->der.len);
    assert_non_null(x509);
    if (cert->issuer_name != NULL)
        rename_issuer(x509, cert->issuer_name);
    if (cert->edit != NULL)
        cert->edit(x509);
    assert_true(X509_sign(x509, bb_key_evp(signer), cert->sha1 ? EVP_sha1() : EVP_sha384()) > 0);
    unsigned char *der = NULL;
    int len = i2d_X509(x509, &der);
    assert_true(len > 0);
    bb_buf_clear(&cert->der);
    ok(bb_buf_append(&cert->der, der, (size_t)len));
    OPENSSL_free(der);
    X509_free(x509);
}

static void issue(struct forge *forge, size_t i, struct bb_cert **parsed) {
    struct forge_cert *cert = &forge->certs[i];
    const struct bb_key *issuer_key = i == 0 ? cert->key : forge->certs[i - 1].key;
    const struct bb_key *signer = cert->signed_by_stranger ? forge->stranger : issuer_key;
    const struct bb_cert_request request = {
        .common_name = cert->common_name,
        .organization = "Forgery",
        .subject_key = cert->key,
        .issuer_key = signer,
        .issuer = i == 0 ? NULL : *parsed,
        .not_before_ms = cert->not_before_ms,
        .not_after_ms = cert->not_after_ms,
        .ca = cert->ca,
        .path_length = cert->path_length,
    };
    bb_buf_clear(&cert->der);
    ok(bb_cert_make(&request, &cert->der));
    if (cert->edit != NULL || cert->issuer_name != NULL || cert->sha1)
        edit(cert, signer);
    struct bb_cert *next = NULL;
    ok(bb_cert_parse(bb_buf_view(&cert->der), &next));
    bb_cert_free(*parsed);
    *parsed = next;
    if (cert->instead.len > 0) {
        bb_buf_clear(&cert->der);
        ok(bb_buf_append(&cert->der, cert->instead.data, cert->instead.len));
    }
}

/* Heads without a count, for the shapes that occur in genuine documents. */
static void open_container(struct forge *forge, struct bb_buf *out, bool map, size_t count) {
    static const uint8_t indefinite_map = 0xbf, indefinite_array = 0x9f;
    if (forge->indefinite)
        ok(bb_buf_append(out, map ? &indefinite_map : &indefinite_array, 1));
    else
        ok(map ? bb_cbor_put_map(out, count) : bb_cbor_put_array(out, count));
}

static void close_container(struct forge *forge, struct bb_buf *out) {
    static const uint8_t end = 0xff;
    if (forge->indefinite)
        ok(bb_buf_append(out, &end, 1));
}

static void put_pcrs(struct forge *forge, struct bb_buf *out) {
    open_container(forge, out, true, forge->pcr_count);
    for (size_t i = 0; i < forge->pcr_count; i++) {
        uint8_t value[64];
        memset(value, forge->pcrs[i].fill, sizeof value);
        ok(bb_cbor_put_uint(out, forge->pcrs[i].index));
        ok(bb_cbor_put_bytes(out, bb_view(value, forge->pcrs[i].len)));
    }
    close_container(forge, out);
}

static void put_cabundle(struct forge *forge, struct bb_buf *out) {
    open_container(forge, out, false, FORGE_LEAF - forge->first_cert);
    for (size_t i = forge->first_cert; i < FORGE_LEAF; i++)
        ok(bb_cbor_put_bytes(out, bb_buf_view(&forge->certs[i].der)));
    close_container(forge, out);
}

static void put_payload(struct forge *forge, struct bb_buf *out) {
    open_container(forge, out, true, forge->field_count);
    for (size_t i = 0; i < forge->field_count; i++) {
        struct forge_field *field = &forge->fields[i];
        ok(bb_cbor_put_text(out, field->key));
        if (field->value.len > 0)
            ok(bb_buf_append(out, field->value.data, field->value.len));
        else if (strcmp(field->key, "pcrs") == 0)
            put_pcrs(forge, out);
        else if (strcmp(field->key, "cabundle") == 0)
            put_cabundle(forge, out);
        else
            ok(bb_cbor_put_bytes(out, bb_buf_view(&forge->certs[FORGE_LEAF].der)));
    }
    close_container(forge, out);
    ok(bb_buf_append(out, forge->payload_suffix.data, forge->payload_suffix.len));
}

/* With the leaf's key when it can make such signatures, else with a stranger's. */
static void sign(struct forge *forge, struct bb_view payload, uint8_t signature[BB_ES384_SIGNATURE_LEN]) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(32768);
    ok(bb_cbor_put_array(&message, 4));
    ok(bb_cbor_put_text(&message, "Signature1"));
    ok(bb_cbor_put_bytes(&message, forge->protected_header));
    ok(bb_cbor_put_bytes(&message, bb_view(NULL, 0)));
    ok(bb_cbor_put_bytes(&message, payload));
    if (bb_key_sign_es384(forge->certs[FORGE_LEAF].key, bb_buf_view(&message), signature) != BB_OK)
        ok(bb_key_sign_es384(forge->stranger, bb_buf_view(&message), signature));
    if (forge->break_signature)
        signature[40] ^= 1;
}

void forge_build(struct forge *forge, struct bb_buf *document) {
    struct bb_buf payload BB_CLEANUP_BUF = BB_BUF_INIT(32768);
    struct bb_cert *issuer BB_CLEANUP_CERT = NULL;
    uint8_t signature[BB_ES384_SIGNATURE_LEN + 8] = {0};
    for (size_t i = 0; i < FORGE_CERTS; i++)
        issue(forge, i, &issuer);
    if (forge->payload.data != NULL)
        ok(bb_buf_append(&payload, forge->payload.data, forge->payload.len));
    else
        put_payload(forge, &payload);
    sign(forge, bb_buf_view(&payload), signature);
    bb_buf_clear(document);
    ok(bb_buf_append(document, forge->prefix.data, forge->prefix.len));
    ok(bb_cbor_put_array(document, 4));
    ok(bb_cbor_put_bytes(document, forge->protected_header));
    ok(bb_buf_append(document, forge->unprotected_header.data, forge->unprotected_header.len));
    if (forge->payload_item.len > 0)
        ok(bb_buf_append(document, forge->payload_item.data, forge->payload_item.len));
    else
        ok(bb_cbor_put_bytes(document, bb_buf_view(&payload)));
    ok(bb_cbor_put_bytes(document, bb_view(signature, forge->signature_len)));
    ok(bb_buf_append(document, forge->suffix.data, forge->suffix.len));
}

void forge_root_pem(const struct forge *forge, struct bb_buf *pem) {
    ok(bb_cert_der_to_pem(bb_buf_view(&forge->certs[forge->first_cert].der), pem));
}
