/*
 * Evidence for tests, made by the parts that make it in the product: documents by the NSM emulator under a
 * development root, evidence certificates by src/crypto. Each fault is something that a client must notice.
 */
#ifndef BB_TEST_CLIENT_EVIDENCE_H
#define BB_TEST_CLIENT_EVIDENCE_H

#include <blindbox/policy.h>

#include "base/bytes.h"
#include "crypto/key.h"

enum evidence_fault {
    EVIDENCE_GOOD,
    EVIDENCE_NONE,                /* a certificate without the extension */
    EVIDENCE_GARBAGE,             /* the extension is no document */
    EVIDENCE_FOR_OTHER_KEY,       /* somebody else's document */
    EVIDENCE_OLD,                 /* the document is two hours old */
    EVIDENCE_EXPIRED_CHAIN,       /* a day old, its chain expired */
    EVIDENCE_CERTIFICATE_EXPIRED, /* good evidence in a certificate of yesterday */
    EVIDENCE_P384,                /* a key of another kind */
};

/* What can be wrong with the answer to a request for fresh evidence. */
enum fresh_fault {
    FRESH_GOOD,
    FRESH_UNKNOWN_ROUTE,      /* 404 */
    FRESH_BUSY_ONCE,          /* 503, and good when asked again */
    FRESH_BUSY,               /* 503 for ever */
    FRESH_REPLAYED,           /* each time what was good the first time */
    FRESH_OTHER_EXPORTER,     /* bound to another connection */
    FRESH_OTHER_KEY,          /* of another enclave with the same measurements */
    FRESH_OTHER_CERTIFICATE,  /* the key's, but of the certificate before or after a renewal */
    FRESH_OLD,                /* two hours old */
    FRESH_OTHER_MEASUREMENTS, /* the key's, but measured differently */
    FRESH_WITHOUT_USER_DATA,
    FRESH_OTHER_LAYOUT, /* user_data as /enclave/attestation has it */
    FRESH_GARBAGE,      /* no document */
    FRESH_TEXT,         /* not application/cbor */
    FRESH_TALKATIVE,    /* bytes behind the answer */
    FRESH_HUGE,         /* announces half a gigabyte */
    FRESH_CHUNKED,      /* no length */
    FRESH_ENDLESS_HEAD,
    FRESH_NOT_HTTP,
    FRESH_SILENT, /* no answer at all */
    FRESH_HANGS_UP,
};

struct evidence {
    struct bb_key *key;
    struct bb_buf certificate; /* DER */
};

/* A development root in a folder of its own; the folder is removed at once. */
struct evidence_source {
    struct bb_devroot *root;
    struct bb_measurements *measured;
};

void evidence_source_init(struct evidence_source *source);
void evidence_source_done(struct evidence_source *source);
/* Trusts source's root and demands its PCR0..2. */
struct bb_policy *evidence_policy(const struct evidence_source *source);

void evidence_make(const struct evidence_source *source, enum evidence_fault fault, struct evidence *out);
/* The connection that fresh evidence is about. */
struct fresh_request {
    struct bb_view nonce;
    uint8_t exporter[32];
    const struct bb_key *key;
    struct bb_view certificate;
};
/* A document as the gate has it made, with the fault. */
void evidence_fresh(const struct evidence_source *source, enum fresh_fault fault,
                    const struct fresh_request *request, struct bb_buf *out);
void evidence_done(struct evidence *evidence);

#endif
