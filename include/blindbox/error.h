/*
 * Error codes of libblindbox: one code per reason that a caller or a test could tell apart.
 *
 * Every fallible function returns an `enum bb_err` that the compiler refuses to let you drop. Zero is
 * success, and no other value means "valid": a verifier that forgets to look sees a compiler warning, not a
 * pass.
 */
#ifndef BLINDBOX_ERROR_H
#define BLINDBOX_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/*
 * X(code, sentence). The order is part of the library's ABI: add at the end of a group only before a release,
 * at the end of the list afterwards.
 */
#define BB_ERR_LIST(X)                                                                                       \
    X(BB_OK, "success")                                                                                      \
    /* general */                                                                                            \
    X(BB_ERR_NO_MEMORY, "out of memory")                                                                     \
    X(BB_ERR_ARGUMENT, "an argument is outside what the function accepts")                                   \
    X(BB_ERR_TOO_LARGE, "a size exceeds its named limit")                                                    \
    X(BB_ERR_IO, "an input or output operation failed")                                                      \
    X(BB_ERR_TIMEOUT, "the time limit passed")                                                               \
    X(BB_ERR_CANCELLED, "the operation was cancelled")                                                       \
    X(BB_ERR_CLOSED, "the peer closed the connection")                                                       \
    X(BB_ERR_NOT_FOUND, "no such thing")                                                                     \
    X(BB_ERR_BUSY, "the queue is full")                                                                      \
    X(BB_ERR_PROTOCOL, "the peer broke the protocol")                                                        \
    X(BB_ERR_CONFIG, "the configuration is not valid")                                                       \
    X(BB_ERR_CRYPTO, "a cryptographic library call failed")                                                  \
    X(BB_ERR_UNSUPPORTED, "not supported")                                                                   \
    /* encodings */                                                                                          \
    X(BB_ERR_TRUNCATED, "the input ends in the middle of an item")                                           \
    X(BB_ERR_TRAILING, "bytes follow the end of the item")                                                   \
    X(BB_ERR_CBOR, "not well-formed CBOR")                                                                   \
    X(BB_ERR_CBOR_TYPE, "a CBOR item has another type than expected")                                        \
    X(BB_ERR_CBOR_DEPTH, "CBOR items are nested too deeply")                                                 \
    X(BB_ERR_CBOR_DUPLICATE, "a CBOR map has the same key twice")                                            \
    X(BB_ERR_CBOR_KEY, "a CBOR map lacks a key or has an unknown one")                                       \
    X(BB_ERR_HEX, "not hexadecimal")                                                                         \
    X(BB_ERR_BASE64, "not base64")                                                                           \
    X(BB_ERR_JSON, "not valid JSON of the expected shape")                                                   \
    X(BB_ERR_PEM, "not a PEM file of the expected kind")                                                     \
    /* COSE_Sign1 (RFC 9052 section 4.2) */                                                                  \
    X(BB_ERR_COSE_FORM, "not a COSE_Sign1 structure")                                                        \
    X(BB_ERR_COSE_ALGORITHM, "the signature algorithm is not ES384")                                         \
    X(BB_ERR_COSE_CRITICAL, "the protected header marks a parameter as critical")                            \
    X(BB_ERR_COSE_SIGNATURE_LENGTH, "the signature is not 96 bytes long")                                    \
    X(BB_ERR_COSE_SIGNATURE, "the signature does not verify with the leaf certificate")                      \
    /* attestation document */                                                                               \
    X(BB_ERR_DOCUMENT_FORM, "the attestation document is not well-formed")                                   \
    X(BB_ERR_DOCUMENT_FIELD, "a field of the attestation document is missing or not of its type or length")  \
    X(BB_ERR_DOCUMENT_NOT_ENCLAVE, "the document does not come from a Nitro Enclave")                        \
    X(BB_ERR_DOCUMENT_DIGEST, "the digest algorithm is not SHA384")                                          \
    X(BB_ERR_DOCUMENT_OLD, "the document is older than the policy allows")                                   \
    X(BB_ERR_DOCUMENT_FUTURE, "the document is dated in the future")                                         \
    /* certificate chain (RFC 5280 section 6) */                                                             \
    X(BB_ERR_CHAIN_PARSE, "a certificate of the chain cannot be parsed")                                     \
    X(BB_ERR_CHAIN_LENGTH, "the chain has too many or too few certificates")                                 \
    X(BB_ERR_CHAIN_ROOT, "the chain does not start at a root that the policy trusts")                        \
    X(BB_ERR_CHAIN_SIGNATURE, "a certificate is not signed by the one before it")                            \
    X(BB_ERR_CHAIN_ISSUER, "a certificate's issuer is not the subject of the one before it")                 \
    X(BB_ERR_CHAIN_EXPIRED, "a certificate of the chain has expired")                                        \
    X(BB_ERR_CHAIN_NOT_YET_VALID, "a certificate of the chain is not valid yet")                             \
    X(BB_ERR_CHAIN_NOT_CA, "an issuing certificate is not a CA certificate")                                 \
    X(BB_ERR_CHAIN_PATH_LENGTH, "a CA certificate's path length constraint is exceeded")                     \
    X(BB_ERR_CHAIN_KEY_USAGE, "a certificate's key usage does not permit its use")                           \
    X(BB_ERR_CHAIN_CRITICAL, "a certificate has an unknown critical extension")                              \
    X(BB_ERR_CHAIN_CURVE, "a key of the chain is not on the curve P-384")                                    \
    X(BB_ERR_CHAIN_LEAF_IS_CA, "the leaf certificate is a CA certificate")                                   \
    /* policy */                                                                                             \
    X(BB_ERR_POLICY_EMPTY, "the policy names no measurement, and an empty policy accepts nothing")           \
    X(BB_ERR_POLICY_NO_ROOT, "the policy names no root")                                                     \
    X(BB_ERR_DEBUG_MODE, "the enclave runs in debug mode")                                                   \
    X(BB_ERR_PCR_MISSING, "the document lacks a PCR that the policy names")                                  \
    X(BB_ERR_PCR_MISMATCH, "a PCR differs from the policy")                                                  \
    /* binding */                                                                                            \
    X(BB_ERR_EVIDENCE_MISSING, "the certificate carries no attestation evidence")                            \
    X(BB_ERR_EVIDENCE_FORM, "the certificate's evidence extension is not well-formed")                       \
    X(BB_ERR_KEY_BINDING, "the evidence is for another public key")                                          \
    X(BB_ERR_CERTIFICATE, "the server's certificate is not a well-formed evidence certificate")              \
    X(BB_ERR_CERTIFICATE_EXPIRED, "the server's certificate has expired")                                    \
    X(BB_ERR_CERTIFICATE_NOT_YET_VALID, "the server's certificate is not valid yet")                         \
    X(BB_ERR_NONCE, "the document's nonce is not the one that was sent")                                     \
    X(BB_ERR_USER_DATA, "the document's user data is not what it must be")                                   \
    X(BB_ERR_CHANNEL_BINDING, "the evidence is bound to another connection")                                 \
    X(BB_ERR_CERTIFICATE_BINDING, "the evidence is bound to another certificate")                            \
    X(BB_ERR_FRESH_MISSING, "the server gave no fresh evidence")                                             \
    /* transport */                                                                                          \
    X(BB_ERR_RESOLVE, "the host name cannot be resolved")                                                    \
    X(BB_ERR_CONNECT, "the connection cannot be made")                                                       \
    X(BB_ERR_TLS, "the TLS handshake failed")                                                                \
    X(BB_ERR_HTTP_STATUS, "the server answered with an error")                                               \
    X(BB_ERR_HTTP_FORM, "the server's answer is not what the interface promises")                            \
    /* audio and engines */                                                                                  \
    X(BB_ERR_AUDIO_FORMAT, "not an audio file")                                                              \
    X(BB_ERR_AUDIO_TRUNCATED, "the audio file is truncated")                                                 \
    X(BB_ERR_AUDIO_EMPTY, "the audio file holds no samples")                                                 \
    X(BB_ERR_AUDIO_RATE, "the sample rate or channel count is outside what is supported")                    \
    X(BB_ERR_AUDIO_TOO_LONG, "the recording is longer than the limit audio_seconds")                         \
    X(BB_ERR_MODEL, "the model cannot be loaded")                                                            \
    X(BB_ERR_MODEL_DIGEST, "the model's SHA-256 is not the configured one")                                  \
    X(BB_ERR_ENGINE, "the inference engine failed")                                                          \
    X(BB_ERR_NSM, "the Nitro Security Module refused the request")

#define BB_ERR_ENUM(code, sentence) code,
#if defined(__GNUC__)
#define BB_MUST_USE __attribute__((warn_unused_result))
#else
#define BB_MUST_USE
#endif

enum bb_err { BB_ERR_LIST(BB_ERR_ENUM) BB_ERR_COUNT };

/* The code's name ("BB_ERR_PCR_MISMATCH"); static storage, never NULL. */
const char *bb_err_name(enum bb_err err);

/* One sentence without a full stop ("a PCR differs from the policy"); static storage, never NULL. */
const char *bb_err_sentence(enum bb_err err);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
