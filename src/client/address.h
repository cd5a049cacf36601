/* Addresses of enclaves as users write them. */
#ifndef BB_CLIENT_ADDRESS_H
#define BB_CLIENT_ADDRESS_H

#include "base/bytes.h"

#define BB_CLIENT_PORT_DEFAULT "443"

/*
 * Brings an address (include/blindbox/connection.h) into the form "HOST:PORT" or "[V6]:PORT" that fits into a
 * URL as it is: letters, digits, '.', '-', '_' in names, digits, ':', '.' in brackets. BB_ERR_ARGUMENT.
 */
BB_MUST_USE enum bb_err bb_client_address(const char *text, struct bb_buf *out);

#endif
