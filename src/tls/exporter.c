/* See exporter.h. */
#include "tls/exporter.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum bb_err bb_tls_exporter(struct ssl_st *ssl, uint8_t out[BB_FRESH_EXPORTER_LEN]) {
    static const char label[] = BB_FRESH_EXPORTER_LABEL;
    uint8_t made[BB_FRESH_EXPORTER_LEN];
    /* An empty context, not none: TLS 1.3 makes no difference (RFC 8446 section 7.5), older versions do. */
    if (SSL_version(ssl) != TLS1_3_VERSION ||
        SSL_export_keying_material(ssl, made, sizeof made, label, sizeof label - 1, (const uint8_t *)"", 0,
                                   1) != 1) {
        ERR_clear_error();
        return BB_ERR_CRYPTO;
    }
    for (size_t i = 0; i < sizeof made; i++)
        out[i] = made[i];
    bb_wipe(made, sizeof made);
    return BB_OK;
}
