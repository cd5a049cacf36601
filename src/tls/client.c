/* See client.h. */
#include "tls/client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

/* Unpacking what a stranger packed is a risk that saves nothing here; OpenSSL before 3.2 never does it. */
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
#define NO_PACKED_CERTIFICATES SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
#else
#define NO_PACKED_CERTIFICATES 0
#endif

/* Post-quantum first; OpenSSL before 3.5 does not know that group and refuses the whole list. */
static const char *const groups[] = {"X25519MLKEM768:X25519:P-256", "X25519:P-256"};

static enum bb_err judge_certificate(struct bb_tls_client *client, X509_STORE_CTX *peer) {
    X509 *certificate = X509_STORE_CTX_get0_cert(peer);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(peer);
    client->certificates = sent == NULL ? 0 : sk_X509_num(sent);
    if (certificate == NULL || client->certificates != 1)
        return BB_ERR_CERTIFICATE;
    unsigned char *der = NULL;
    int len = i2d_X509(certificate, &der);
    if (len < 0)
        return BB_ERR_NO_MEMORY;
    enum bb_err err = client->judge(client->context, bb_view(der, (size_t)len));
    OPENSSL_free(der);
    return err;
}

/* Replaces the X.509 path validation: returns 1 to go on, 0 to end the handshake with an alert. */
static int verify(X509_STORE_CTX *peer, void *pointer) {
    struct bb_tls_client *client = pointer;
    client->verdict = judge_certificate(client, peer);
    bool good = client->verdict == BB_OK;
    X509_STORE_CTX_set_error(peer, good ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return good ? 1 : 0;
}

static bool set_groups(SSL_CTX *context) {
    bool done = false;
    ERR_set_mark(); /* a refused list leaves an entry that a later SSL_get_error() would take for its own */
    for (size_t i = 0; i < sizeof groups / sizeof *groups && !done; i++)
        done = SSL_CTX_set1_groups_list(context, groups[i]) == 1;
    ERR_pop_to_mark();
    return done;
}

enum bb_err bb_tls_client_prepare(struct ssl_ctx_st *context, struct bb_tls_client *client) {
    client->verdict = BB_ERR_TLS;
    client->certificates = 0;
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 || !set_groups(context))
        return BB_ERR_CRYPTO;
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | NO_PACKED_CERTIFICATES);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_sess_set_new_cb(context, NULL);
    (void)SSL_CTX_set_max_cert_list(context, BB_TLS_CERTIFICATE_MAX);
    SSL_CTX_set_keylog_callback(context, NULL);
    /* VERIFY_NONE would let the handshake go on whatever the callback says. */
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, verify, client);
    return BB_OK;
}
