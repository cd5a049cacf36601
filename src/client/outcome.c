/* What a call came to: codes and sentences; see tunnel.h. */
#include <stdarg.h>
#include <stdio.h>

#include "client/tunnel.h"

/* A peer's words must not move a terminal's cursor: C0 and C1 control characters become '?'. */
static void make_printable(char *text) {
    unsigned char before = 0;
    for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++) {
        bool c1 = before == 0xc2 && *at >= 0x80 && *at <= 0x9f;
        before = *at;
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        if (c1)
            at[-1] = at[0] = '?';
    }
}

enum bb_err bb_client_fail(struct bb_client_outcome *outcome, enum bb_err err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(outcome->text, sizeof outcome->text, format, args);
    va_end(args);
    make_printable(outcome->text);
    outcome->err = err;
    return err;
}

void bb_client_outcome_clear(struct bb_client_outcome *outcome) {
    outcome->err = BB_OK;
    outcome->text[0] = '\0';
    outcome->attestation_failed = false;
    outcome->retry_after_s = -1;
}

enum bb_err bb_tunnel_fail(struct bb_tunnel *tunnel, enum bb_err err) {
    return bb_client_fail(&tunnel->outcome, err, "%s: %s", tunnel->address, bb_err_sentence(err));
}

enum bb_err bb_tunnel_fail_attestation(struct bb_tunnel *tunnel, enum bb_err err) {
    static const char heading[] = "Attestation verification failed";
    if (err == BB_ERR_NO_MEMORY)
        return bb_tunnel_fail(tunnel, err);
    const char *reason = tunnel->trust.report != NULL ? bb_report_failure(tunnel->trust.report) : NULL;
    tunnel->outcome.attestation_failed = true;
    if (reason == NULL && err == BB_ERR_CERTIFICATE && tunnel->tls.certificates != 1)
        return bb_client_fail(&tunnel->outcome, err, "%s: the server sent %d certificates, expected 1",
                              heading, tunnel->tls.certificates);
    return bb_client_fail(&tunnel->outcome, err, "%s: %s", heading,
                          reason != NULL ? reason : bb_err_sentence(err));
}
