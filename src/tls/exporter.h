/* The channel binding tls-exporter (RFC 9266), for both ends. */
#ifndef BB_TLS_EXPORTER_H
#define BB_TLS_EXPORTER_H

#include "base/bytes.h"
#include "crypto/fresh.h"

struct ssl_st;

/* Of a connection whose handshake is over. BB_ERR_CRYPTO. */
BB_MUST_USE enum bb_err bb_tls_exporter(struct ssl_st *ssl, uint8_t out[BB_FRESH_EXPORTER_LEN]);

#endif
