/*
 * The judge inside the handshake: hands the server's certificate to the verifier, keeps the report and, when
 * the verdict is good, the document and the certificate. Nothing of an earlier handshake survives the start
 * of a new one.
 */
#include "client/connection.h"

#include <stdlib.h>

#include "base/clock.h"
#include "crypto/cert.h"

static void forget_server(struct bb_client_trust *trust) {
    bb_document_free(trust->document);
    trust->document = NULL;
    bb_buf_done(&trust->certificate);
    bb_buf_done(&trust->pem);
    bb_buf_done(&trust->evidence);
    trust->proven = false;
}

void bb_client_trust_clear(struct bb_client_trust *trust) {
    forget_server(trust);
    bb_report_free(trust->report);
    trust->report = NULL;
}

void bb_client_trust_prove(struct bb_client_trust *trust) {
    if (!trust->proven)
        trust->handshakes++;
    trust->proven = true;
}

void bb_client_trust_settle(struct bb_client_trust *trust) {
    if (!trust->proven)
        forget_server(trust);
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
    struct bb_connection *connection = pointer;
    struct bb_client_trust *trust = &connection->trust;
    trust->report = bb_report_new();
    if (trust->report == NULL)
        return BB_ERR_NO_MEMORY;
    struct bb_document *document = NULL;
    enum bb_err err = bb_verify_certificate(certificate.data, certificate.len, connection->policy,
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

const struct bb_report *bb_connection_report(const struct bb_connection *connection) {
    return connection->trust.report;
}

const struct bb_document *bb_connection_document(const struct bb_connection *connection) {
    return connection->trust.document;
}

const uint8_t *bb_connection_evidence(const struct bb_connection *connection, size_t *len) {
    *len = connection->trust.evidence.len;
    return connection->trust.evidence.data;
}

const uint8_t *bb_connection_certificate_der(const struct bb_connection *connection, size_t *len) {
    *len = connection->trust.certificate.len;
    return connection->trust.certificate.data;
}

const char *bb_connection_certificate_pem(const struct bb_connection *connection, size_t *len) {
    *len = connection->trust.pem.len;
    return (const char *)connection->trust.pem.data;
}

unsigned bb_connection_handshakes(const struct bb_connection *connection) {
    return connection->trust.handshakes;
}
