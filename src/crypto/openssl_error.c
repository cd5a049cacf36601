/* See openssl_error.h. */
#include "crypto/openssl_error.h"

#include <openssl/err.h>
#include <stdbool.h>

enum bb_err bb_openssl_error(enum bb_err otherwise) {
    bool no_memory = false;
    for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error())
        no_memory = no_memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    return no_memory ? BB_ERR_NO_MEMORY : otherwise;
}
