/* See server.h: contexts. The certificate is our own; nothing of a client's is trusted here. */
#include "tls/server.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "tls/server_internal.h"

static void *memory_new(size_t len, const char *file, int line) {
    (void)file;
    (void)line;
    return len == 0 ? NULL : malloc(len);
}

static void memory_free(void *memory, const char *file, int line) {
    (void)file;
    (void)line;
    if (memory != NULL)
        bb_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

/* Never realloc(): it could leave the old bytes behind. */
static void *memory_resize(void *memory, size_t len, const char *file, int line) {
    if (len == 0) {
        memory_free(memory, file, line);
        return NULL;
    }
    void *resized = malloc(len);
    if (resized == NULL || memory == NULL)
        return resized;
    size_t old_len = malloc_usable_size(memory);
    memcpy(resized, memory, old_len < len ? old_len : len);
    memory_free(memory, file, line);
    return resized;
}

enum bb_err bb_tls_wipe_memory(void) {
    return CRYPTO_set_mem_functions(memory_new, memory_resize, memory_free) == 1 ? BB_OK : BB_ERR_CRYPTO;
}

/* HTTP/1.1 or an alert; clients that offer no list are not asked. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned in_len, void *arg) {
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *selected;
    if (SSL_select_next_proto(&selected, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = selected;
    return SSL_TLSEXT_ERR_OK;
}

static bool configure(SSL_CTX *ctx) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                 SSL_OP_SINGLE_ECDH_USE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
        SSL_CTX_set_max_early_data(ctx, 0) != 1)
        return false;
    /* OpenSSL before 3.5 has no ML-KEM. */
    return SSL_CTX_set1_groups_list(ctx, "X25519MLKEM768:X25519:P-256") == 1 ||
           SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1;
}

enum bb_err bb_tls_server_new(const struct bb_key *key, struct bb_view certificate,
                              struct bb_tls_server **out) {
    struct bb_tls_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return BB_ERR_NO_MEMORY;
    server->ctx = SSL_CTX_new(TLS_server_method());
    if (server->ctx == NULL || !configure(server->ctx) || certificate.len > INT32_MAX ||
        SSL_CTX_use_certificate_ASN1(server->ctx, (int)certificate.len, certificate.data) != 1 ||
        SSL_CTX_use_PrivateKey(server->ctx, bb_key_evp(key)) != 1 ||
        SSL_CTX_check_private_key(server->ctx) != 1) {
        bb_tls_server_free(server);
        return BB_ERR_CRYPTO;
    }
    *out = server;
    return BB_OK;
}

void bb_tls_server_free(struct bb_tls_server *server) {
    if (server == NULL)
        return;
    SSL_CTX_free(server->ctx);
    free(server);
}
