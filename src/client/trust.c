/*
 * The judge inside the handshake: hands the server's certificate to the verifier, keeps the report and, when
 * the verdict is good, the document and the certificate.
 */
#include "client/tunnel.h"

#include "attest/report.h"
#include "base/clock.h"
#include "crypto/cert.h"

void bb_client_trust_forget(struct bb_client_trust *trust) {
    bb_document_free(trust->document);
    trust->document = NULL;
    bb_buf_done(&trust->certificate);
    bb_buf_done(&trust->pem);
    bb_buf_done(&trust->evidence);
}

void bb_client_trust_done(struct bb_client_trust *trust) {
    bb_client_trust_forget(trust);
    bb_report_free(trust->report);
    trust->report = NULL;
}

enum bb_err bb_client_trust_add(struct bb_client_trust *trust, const struct bb_report *fresh) {
    return bb_report_add_all(trust->report, "Fresh evidence: ", fresh);
}

/* Keeps what callers may ask for later. */
static enum bb_err keep(struct bb_client_trust *trust, struct bb_view der) {
    struct bb_cert *cert BB_CLEANUP_CERT = NULL;
    struct bb_view evidence = {0};
    enum bb_err err = bb_buf_append(&trust->certificate, der.data, der.len);
    if (err == BB_OK)
        err = bb_cert_der_to_pem(der, &trust->pem);
    if (err == BB_OK)
        err = bb_cert_parse(der, &cert);
    if (err == BB_OK)
        err = bb_cert_extension(cert, BB_OID_EVIDENCE, &evidence);
    if (err == BB_OK)
        err = bb_buf_append(&trust->evidence, evidence.data, evidence.len);
    return err;
}

enum bb_err bb_client_judge(void *pointer, struct bb_view certificate) {
    struct bb_tunnel *tunnel = pointer;
    struct bb_client_trust *trust = &tunnel->trust;
    trust->report = bb_report_new();
    if (trust->report == NULL)
        return BB_ERR_NO_MEMORY;
    struct bb_document *document = NULL;
    enum bb_err err = bb_verify_certificate(certificate.data, certificate.len, tunnel->policy,
                                            bb_clock_wall_ms(), trust->report, &document);
    if (err != BB_OK)
        return err;
    err = keep(trust, certificate);
    if (err != BB_OK) {
        bb_document_free(document);
        return err;
    }
    trust->document = document;
    return BB_OK;
}
