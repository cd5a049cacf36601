/*
 * The Nitro Security Module's requests and responses (CBOR; aws-nitro-enclaves-nsm-api, src/api/mod.rs), both
 * directions: the enclave writes requests and reads responses, the emulator the other way round.
 *
 * Nothing is allocated for reading: views in a message point into the bytes it was read from. Readers trust
 * nothing and refuse unknown operations and keys, duplicates, values out of range and bytes after the end;
 * only DescribeNSM's response may carry unknown keys, because later versions of the module may describe more.
 */
#ifndef BB_NSM_MESSAGES_H
#define BB_NSM_MESSAGES_H

#include "base/bytes.h"

#define BB_NSM_REQUEST_MAX  0x1000u /* bytes; Linux drivers/misc/nsm.c */
#define BB_NSM_RESPONSE_MAX 0x3000u
#define BB_NSM_PCR_COUNT    32u
#define BB_NSM_PCR_LEN      48u
#define BB_NSM_RANDOM_LEN   256u /* bytes that one GetRandom gives */

/* What an attestation request may carry (attestation_process.md, section 3.1). */
#define BB_NSM_PUBLIC_KEY_MAX 1024u
#define BB_NSM_USER_DATA_MAX  512u
#define BB_NSM_NONCE_MAX      512u

enum bb_nsm_operation {
    BB_NSM_DESCRIBE_PCR,
    BB_NSM_EXTEND_PCR,
    BB_NSM_LOCK_PCR,
    BB_NSM_LOCK_PCRS,
    BB_NSM_DESCRIBE_NSM,
    BB_NSM_ATTESTATION,
    BB_NSM_GET_RANDOM,
    BB_NSM_ERROR, /* responses only */
};

enum bb_nsm_error {
    BB_NSM_INVALID_ARGUMENT,
    BB_NSM_INVALID_INDEX,
    BB_NSM_INVALID_RESPONSE,
    BB_NSM_READ_ONLY_INDEX,
    BB_NSM_INVALID_OPERATION,
    BB_NSM_BUFFER_TOO_SMALL,
    BB_NSM_INPUT_TOO_LARGE,
    BB_NSM_INTERNAL_ERROR,
};

/* "DescribePCR" …, "Error"; "InvalidArgument" …: static storage, never NULL. */
const char *bb_nsm_operation_name(enum bb_nsm_operation operation);
const char *bb_nsm_error_name(enum bb_nsm_error error);

struct bb_nsm_request {
    enum bb_nsm_operation operation;
    union {
        struct {
            uint16_t index;
        } describe_pcr;
        struct {
            uint16_t index;
            struct bb_view data;
        } extend_pcr;
        struct {
            uint16_t index;
        } lock_pcr;
        struct {
            uint16_t range; /* PCRs 0..range-1 */
        } lock_pcrs;
        struct { /* data NULL: null (an empty byte string has a pointer) */
            struct bb_view user_data;
            struct bb_view nonce;
            struct bb_view public_key;
        } attestation;
    } of;
};

struct bb_nsm_response {
    enum bb_nsm_operation operation;
    union {
        struct {
            bool lock;
            struct bb_view data; /* BB_NSM_PCR_LEN bytes */
        } describe_pcr;
        struct {
            struct bb_view data; /* the new value, BB_NSM_PCR_LEN bytes */
        } extend_pcr;
        struct {
            uint16_t version_major, version_minor, version_patch;
            struct bb_view module_id; /* text */
            uint16_t max_pcrs;        /* ≤ BB_NSM_PCR_COUNT */
            uint32_t locked_pcrs;     /* bit i: PCR i is locked */
            struct bb_view digest;    /* text, "SHA384" */
        } describe_nsm;
        struct {
            struct bb_view document;
        } attestation;
        struct {
            struct bb_view random;
        } get_random;
        enum bb_nsm_error error;
    } of;
};

/*
 * Errors: BB_ERR_PROTOCOL for an operation, error name or value that does not exist, else those of
 * src/cbor. Sizes of byte strings are the module's to judge, not the reader's.
 */
BB_MUST_USE enum bb_err bb_nsm_request_read(struct bb_view bytes, struct bb_nsm_request *out);
BB_MUST_USE enum bb_err bb_nsm_response_read(struct bb_view bytes, struct bb_nsm_response *out);

/* Append to out; when that fails out may hold a part of the message. Errors: those of bb_buf_append(). */
BB_MUST_USE enum bb_err bb_nsm_request_write(const struct bb_nsm_request *request, struct bb_buf *out);
BB_MUST_USE enum bb_err bb_nsm_response_write(const struct bb_nsm_response *response, struct bb_buf *out);

#endif
