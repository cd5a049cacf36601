/* Attestation evidence as it lies about in files: a document or a server's certificate, in any usual
 * encoding. */
#ifndef BB_CLI_EVIDENCE_FILE_H
#define BB_CLI_EVIDENCE_FILE_H

#include <stdbool.h>

#include "base/bytes.h"

#define BB_CLI_EVIDENCE_FILE_MAX ((size_t)256 * 1024)

struct bb_cli_evidence {
    struct bb_buf bytes; /* an attestation document (CBOR) or a certificate (DER) */
    bool certificate;
    const char *encoding; /* "CBOR", "base64", "hex", "PEM" or "DER"; "unknown": the bytes as they are */
};

/*
 * Reads FILE ("-": standard input). Base64 may be broken into lines, unpadded or of the URL alphabet. What is
 * none of the encodings is taken as it is, for the verifier to refuse. On failure says why and returns the
 * exit status; bb_cli_evidence_done() is allowed in any case.
 */
int bb_cli_evidence_read(const char *path, struct bb_cli_evidence *evidence);
void bb_cli_evidence_done(struct bb_cli_evidence *evidence);

#endif
