/*
 * Every limit of the enclave: its name in blindbox.yml and in error texts, its default, and what it bounds.
 * What exceeds a limit gets an answer that names it; nothing else is lost.
 */
#ifndef BB_ENCLAVE_LIMITS_H
#define BB_ENCLAVE_LIMITS_H

#include <stdint.h>

/* X(name, default, lowest, highest, meaning) */
#define BB_LIMIT_LIST(X)                                                                                     \
    X(connections, 1024, 1, 65536, "open TLS connections; further ones are closed at once")                  \
    X(header_bytes, 32768, 1024, 1048576, "request line and header fields together")                         \
    X(body_bytes, 25000000, 1024, 1073741824, "request body")                                                \
    X(memory_bytes, 1073741824, 1048576, 1099511627776, "request bodies in memory, all together")            \
    X(form_field_bytes, 65536, 64, 1048576, "one form field that is not a file")                             \
    X(audio_seconds, 3600, 1, 86400, "length of a recording after decoding")                                 \
    X(queue, 64, 1, 4096, "requests that wait for a free inference state")                                   \
    X(handshake_ms, 10000, 100, 600000, "from accept to the end of the TLS handshake")                       \
    X(header_ms, 15000, 100, 600000, "from a request's first byte to the end of its header")                 \
    X(idle_ms, 75000, 100, 3600000, "a connection without a request")                                        \
    X(body_ms, 120000, 100, 3600000, "from the end of a request's header to the end of its body")            \
    X(request_ms, 600000, 100, 86400000, "from the end of a request to its answer")                          \
    X(write_ms, 30000, 100, 3600000, "a client that does not read its answer")

struct bb_limits {
#define BB_LIMIT_FIELD(name, value, lowest, highest, meaning) uint64_t name;
    BB_LIMIT_LIST(BB_LIMIT_FIELD)
#undef BB_LIMIT_FIELD
};

#endif
