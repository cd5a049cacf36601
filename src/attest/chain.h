/* The certificate chain of an attestation document (RFC 5280 section 6, without policies and revocation). */
#ifndef BB_ATTEST_CHAIN_H
#define BB_ATTEST_CHAIN_H

#include "attest/document.h"
#include "attest/policy_internal.h"
#include "crypto/cert.h"

struct bb_chain {
    struct bb_cert *certs[BB_DOCUMENT_CABUNDLE_MAX + 1]; /* root first, leaf last; NULL: not to be parsed */
    size_t count;
};

void bb_chain_done(struct bb_chain *chain);
#define BB_CLEANUP_CHAIN __attribute__((cleanup(bb_chain_done)))
/* Parses all certificates. BB_ERR_CHAIN_PARSE when one cannot be; the others are there all the same. */
BB_MUST_USE enum bb_err bb_chain_load(struct bb_chain *chain, const struct bb_document *document,
                                      struct bb_verdict *verdict);
/* Judges every certificate at the given time; the policy says which roots are trusted. The first failure. */
BB_MUST_USE enum bb_err bb_chain_check(const struct bb_chain *chain, const struct bb_policy *policy,
                                       int64_t now_ms, struct bb_verdict *verdict);
/* The leaf, or NULL. */
const struct bb_cert *bb_chain_leaf(const struct bb_chain *chain);

#endif
