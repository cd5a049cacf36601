/* What server.c and server_stream.c share. */
#ifndef BB_TLS_SERVER_INTERNAL_H
#define BB_TLS_SERVER_INTERNAL_H

#include <openssl/ssl.h>

struct bb_tls_server {
    SSL_CTX *ctx;
};

#endif
