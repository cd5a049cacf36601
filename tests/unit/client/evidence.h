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
void evidence_done(struct evidence *evidence);

#endif
