/* See boot.h. */
#include "enclave/boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "crypto/hash.h"
#include "enclave/model_fetch.h"
#include "enclave/say.h"

#define CONNECT_MS 5000

/* Appends "what: why" and gives the code back. */
static enum bb_err explain(enum bb_err err, const char *what, const char *why, struct bb_buf *reason) {
    return bb_buf_printf(reason, "%s: %s", what, why) == BB_OK ? err : BB_ERR_NO_MEMORY;
}

enum bb_err bb_boot_read_config(const char *path, struct bb_buf *yaml, struct bb_config *out,
                                struct bb_buf *reason) {
    enum bb_err err = bb_file_read(path, yaml);
    if (err == BB_ERR_TOO_LARGE)
        return explain(BB_ERR_CONFIG, path, "larger than the 65536 bytes that are allowed", reason);
    if (err != BB_OK)
        return explain(err, path, strerror(errno), reason);
    return bb_config_parse(bb_buf_view(yaml), out, reason);
}

static enum bb_err seal(struct bb_view bytes, int *out) {
    int fd BB_CLEANUP_FD = -1;
    enum bb_err err = bb_memfd_new("blindbox-config", &fd);
    if (err == BB_OK)
        err = bb_fd_write_all(fd, bytes, -1);
    if (err == BB_OK)
        err = bb_memfd_seal(fd);
    if (err == BB_OK)
        *out = bb_fd_take(&fd);
    return err;
}

static enum bb_err load_config(const char *path, struct bb_boot *boot, uint8_t digest[BB_SHA256_LEN],
                               struct bb_buf *reason) {
    struct bb_buf yaml BB_CLEANUP_BUF = BB_BUF_INIT(BB_CONFIG_MAX);
    enum bb_err err = bb_boot_read_config(path, &yaml, &boot->config, reason);
    if (err != BB_OK)
        return err;
    err = bb_sha256(bb_buf_view(&yaml), digest);
    if (err == BB_OK)
        err = seal(bb_buf_view(&yaml), &boot->config_fd);
    return err == BB_OK ? err : explain(err, path, bb_err_sentence(err), reason);
}

static enum bb_err load_model(const struct bb_endpoint *endpoint, struct bb_boot *boot,
                              struct bb_buf *reason) {
    enum bb_err err = bb_endpoint_connect(endpoint, CONNECT_MS, &boot->store_fd);
    if (err != BB_OK)
        return explain(err, "the store cannot be reached", bb_err_sentence(err), reason);
    const struct bb_model_fetch limits = BB_MODEL_FETCH_DEFAULT;
    return bb_model_fetch(boot->store_fd, boot->config.speech_model_sha256, &limits, &boot->model_fd, reason);
}

static enum bb_err connect_nsm(const struct bb_endpoint *endpoint, struct bb_boot *boot,
                               struct bb_buf *reason) {
    int fd = -1;
    enum bb_err err = bb_endpoint_connect(endpoint, CONNECT_MS, &fd);
    if (err != BB_OK)
        return explain(err, "the NSM cannot be reached", bb_err_sentence(err), reason);
    bb_nsm_init(&boot->nsm, fd);
    return BB_OK;
}

/* PCR16, 17 and 18 hold what runs here, for good. */
static enum bb_err record(struct bb_boot *boot, const uint8_t config_digest[BB_SHA256_LEN],
                          struct bb_buf *reason) {
    const struct {
        uint16_t index;
        struct bb_view digest;
    } registers[] = {
        {BB_PCR_SPEECH_MODEL, bb_view(boot->config.speech_model_sha256, BB_SHA256_LEN)},
        {BB_PCR_TEXT_MODEL, bb_view(NULL, 0)},
        {BB_PCR_CONFIG, bb_view(config_digest, BB_SHA256_LEN)},
    };
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++) {
        enum bb_err err = bb_nsm_record(&boot->nsm, registers[i].index, registers[i].digest, reason);
        if (err != BB_OK && err != BB_ERR_NSM)
            return explain(err, "the NSM does not answer", bb_err_sentence(err), reason);
        if (err != BB_OK)
            return err;
    }
    return BB_OK;
}

static enum bb_err start_listening(const struct bb_endpoint *endpoint, struct bb_boot *boot,
                                   struct bb_buf *reason) {
    char what[320];
    snprintf(what, sizeof what, "cannot listen on %s port %s", endpoint->host, endpoint->port);
    enum bb_err err = bb_endpoint_listen(endpoint, SOMAXCONN, &boot->listen_fd);
    if (err != BB_OK)
        return explain(err, what, err == BB_ERR_IO ? strerror(errno) : bb_err_sentence(err), reason);
    err = bb_endpoint_bound_address(boot->listen_fd, boot->address, sizeof boot->address);
    return err == BB_OK ? err : explain(err, what, bb_err_sentence(err), reason);
}

enum bb_err bb_boot(const struct bb_boot_options *options, struct bb_boot *out, struct bb_buf *reason) {
    uint8_t config_digest[BB_SHA256_LEN];
    *out =
        (struct bb_boot){.nsm = {.fd = -1}, .store_fd = -1, .config_fd = -1, .model_fd = -1, .listen_fd = -1};
    enum bb_err err = connect_nsm(&options->nsm, out, reason);
    if (err == BB_OK && out->nsm.simulated)
        bb_say("SIMULATED: an emulator plays the NSM; documents prove nothing about hardware");
    if (err == BB_OK)
        err = load_config(options->config_path, out, config_digest, reason);
    if (err == BB_OK)
        err = load_model(&options->store, out, reason);
    if (err == BB_OK)
        err = record(out, config_digest, reason);
    if (err == BB_OK)
        err = start_listening(&options->listen, out, reason);
    if (err == BB_OK)
        bb_say("model %s fetched, registers locked, listening on %s", out->config.speech_name, out->address);
    return err;
}

void bb_boot_done(struct bb_boot *boot) {
    bb_nsm_done(&boot->nsm);
    bb_fd_close(&boot->store_fd);
    bb_fd_close(&boot->config_fd);
    bb_fd_close(&boot->model_fd);
    bb_fd_close(&boot->listen_fd);
}
