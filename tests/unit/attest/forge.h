/*
 * Makes attestation documents as the Nitro Security Module does, under a five-certificate P-384 chain of its
 * own, with every part changeable: what the verifier must accept and what it must refuse. The forged
 * signatures are real ones. Helpers fail the running test when anything goes wrong.
 */
#ifndef BB_TEST_FORGE_H
#define BB_TEST_FORGE_H

#include <openssl/x509.h>

#include "base/bytes.h"
#include "crypto/cert.h"
#include "crypto/key.h"

#define FORGE_CERTS  5u
#define FORGE_FIELDS 16u
#define FORGE_PCRS   40u

enum { FORGE_ROOT, FORGE_REGIONAL, FORGE_ZONAL, FORGE_INSTANCE, FORGE_LEAF };

struct forge_cert {
    const char *common_name;
    const char *issuer_name; /* NULL: the subject of the one above */
    int64_t not_before_ms, not_after_ms;
    bool ca;
    int path_length;
    struct bb_key *key;
    bool signed_by_stranger; /* with the issuer's name on it */
    bool sha1;               /* signed with ecdsa-with-SHA1 */
    void (*edit)(X509 *);    /* the last change before it is signed again */
    struct bb_view instead;  /* these bytes in place of a certificate */
    struct bb_buf der;       /* made by forge_build() */
};

struct forge_field {
    const char *key;
    struct bb_buf value; /* encoded CBOR; empty: filled in by forge_build() */
};

struct forge_pcr {
    uint64_t index;
    size_t len;
    uint8_t fill;
};

struct forge {
    struct forge_cert certs[FORGE_CERTS];
    size_t first_cert; /* the chain starts here */
    struct bb_key *stranger;
    struct forge_field fields[FORGE_FIELDS];
    size_t field_count;
    struct forge_pcr pcrs[FORGE_PCRS];
    size_t pcr_count;
    bool indefinite;                   /* the payload's map, its pcrs and its cabundle */
    struct bb_view prefix;             /* before the array: a tag */
    struct bb_view protected_header;   /* content of the byte string */
    struct bb_view unprotected_header; /* encoded */
    struct bb_view payload;            /* in place of the fields' map, when not empty */
    struct bb_view payload_item;       /* encoded, in place of the payload's byte string */
    struct bb_view payload_suffix;     /* after the map, inside the payload */
    struct bb_view suffix;             /* after the message */
    bool break_signature;
    size_t signature_len;
};

void forge_init(struct forge *forge, int64_t now_ms);
void forge_done(struct forge *forge);
#define FORGE_CLEANUP __attribute__((cleanup(forge_done)))

/* Replaces (or adds) a field by encoded bytes; forge_field_add() adds one more of that name. */
void forge_field_set(struct forge *forge, const char *key, const void *cbor, size_t len);
void forge_field_set_bytes(struct forge *forge, const char *key, struct bb_view bytes);
void forge_field_add(struct forge *forge, const char *key, const void *cbor, size_t len);
void forge_field_remove(struct forge *forge, const char *key);
/* Sets a PCR to bytes of one value, or adds it. */
void forge_pcr_set(struct forge *forge, uint64_t index, uint8_t fill);
void forge_pcr_add(struct forge *forge, uint64_t index, size_t len, uint8_t fill);
void forge_pcr_remove(struct forge *forge, uint64_t index);
void forge_key_replace(struct forge *forge, unsigned cert, enum bb_curve curve);

/* Issues the chain and signs the document. */
void forge_build(struct forge *forge, struct bb_buf *document);
/* After forge_build(): the first certificate of the chain. */
void forge_root_pem(const struct forge *forge, struct bb_buf *pem);

#endif
