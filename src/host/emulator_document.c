/* See emulator_document.h. */
#include "host/emulator_document.h"

#include "cbor/cbor.h"

static const uint8_t protected_header[] = {0xa1, 0x01, 0x38, 0x22}; /* {1 (alg): -35 (ES384)} */

static enum bb_err put_pcrs(const struct bb_emulator_document *document, struct bb_buf *out) {
    enum bb_err err = bb_cbor_put_text(out, "pcrs");
    if (err == BB_OK)
        err = bb_cbor_put_map(out, (size_t)__builtin_popcount(document->listed));
    for (uint64_t i = 0; err == BB_OK && i < BB_NSM_PCR_COUNT; i++) {
        if ((document->listed & UINT32_C(1) << i) == 0)
            continue;
        err = bb_cbor_put_uint(out, i);
        if (err == BB_OK)
            err = bb_cbor_put_bytes(out, bb_view(document->pcrs[i], BB_NSM_PCR_LEN));
    }
    return err;
}

static enum bb_err put_certificates(const struct bb_emulator_chain *chain, struct bb_buf *out) {
    enum bb_err err = bb_cbor_put_text(out, "certificate");
    if (err == BB_OK)
        err = bb_cbor_put_bytes(out, bb_cert_der(chain->levels[BB_LEVEL_LEAF].cert));
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "cabundle");
    if (err == BB_OK)
        err = bb_cbor_put_array(out, 1 + BB_LEVEL_LEAF);
    if (err == BB_OK)
        err = bb_cbor_put_bytes(out, bb_cert_der(bb_devroot_cert(chain->root)));
    for (size_t level = 0; err == BB_OK && level < BB_LEVEL_LEAF; level++)
        err = bb_cbor_put_bytes(out, bb_cert_der(chain->levels[level].cert));
    return err;
}

static enum bb_err put_optional(struct bb_buf *out, const char *key, struct bb_view bytes) {
    enum bb_err err = bb_cbor_put_text(out, key);
    if (err != BB_OK)
        return err;
    return bytes.data == NULL ? bb_cbor_put_null(out) : bb_cbor_put_bytes(out, bytes);
}

static enum bb_err put_payload(const struct bb_emulator_document *document, struct bb_buf *out) {
    enum bb_err err = bb_cbor_put_map(out, 9);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "module_id");
    if (err == BB_OK)
        err = bb_cbor_put_text(out, document->module_id);
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "digest");
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "SHA384");
    if (err == BB_OK)
        err = bb_cbor_put_text(out, "timestamp");
    if (err == BB_OK)
        err = bb_cbor_put_int(out, document->timestamp_ms);
    if (err == BB_OK)
        err = put_pcrs(document, out);
    if (err == BB_OK)
        err = put_certificates(document->chain, out);
    if (err == BB_OK)
        err = put_optional(out, "public_key", document->public_key);
    if (err == BB_OK)
        err = put_optional(out, "user_data", document->user_data);
    return err == BB_OK ? put_optional(out, "nonce", document->nonce) : err;
}

/* ["Signature1", protected header, no additional data, payload] (RFC 9052 section 4.4), signed by the leaf.
 */
static enum bb_err sign(const struct bb_emulator_chain *chain, struct bb_view payload,
                        uint8_t signature[BB_ES384_SIGNATURE_LEN]) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX + 64);
    enum bb_err err = bb_cbor_put_array(&message, 4);
    if (err == BB_OK)
        err = bb_cbor_put_text(&message, "Signature1");
    if (err == BB_OK)
        err = bb_cbor_put_bytes(&message, bb_view(protected_header, sizeof protected_header));
    if (err == BB_OK)
        err = bb_cbor_put_bytes(&message, bb_view("", 0));
    if (err == BB_OK)
        err = bb_cbor_put_bytes(&message, payload);
    return err == BB_OK
               ? bb_key_sign_es384(chain->levels[BB_LEVEL_LEAF].key, bb_buf_view(&message), signature)
               : err;
}

enum bb_err bb_emulator_document_write(const struct bb_emulator_document *document, struct bb_buf *out) {
    struct bb_buf payload BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    uint8_t signature[BB_ES384_SIGNATURE_LEN];
    enum bb_err err = put_payload(document, &payload);
    if (err == BB_OK)
        err = sign(document->chain, bb_buf_view(&payload), signature);
    if (err == BB_OK)
        err = bb_cbor_put_array(out, 4);
    if (err == BB_OK)
        err = bb_cbor_put_bytes(out, bb_view(protected_header, sizeof protected_header));
    if (err == BB_OK)
        err = bb_cbor_put_map(out, 0);
    if (err == BB_OK)
        err = bb_cbor_put_bytes(out, bb_buf_view(&payload));
    return err == BB_OK ? bb_cbor_put_bytes(out, bb_view(signature, sizeof signature)) : err;
}
