/* Preparing a launch: see launcher.h. */
#include "host/launcher.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hex.h"
#include "base/program.h"
#include "host/devroot.h"
#include "host/launcher_config.h"
#include "host/launcher_internal.h"
#include "host/model_cache.h"
#include "host/state_dir.h"

#define CONFIG_MAX_BYTES 65536u
#define PCR_SPEECH_MODEL 16u
#define PCR_TEXT_MODEL   17u
#define PCR_CONFIG       18u

/* Appends "what: why" and gives the code back. */
static enum bb_err explain(enum bb_err err, const char *what, const char *why, struct bb_buf *reason) {
    return bb_buf_printf(reason, "%s: %s", what, why) == BB_OK ? err : BB_ERR_NO_MEMORY;
}

static enum bb_err claim(struct bb_launch *launch, struct bb_buf *reason) {
    enum bb_err err = bb_state_enclave_claim(launch->name, &launch->lock);
    if (err == BB_ERR_BUSY)
        return explain(err, launch->name, "an enclave of that name is already up", reason);
    if (err == BB_ERR_ARGUMENT)
        return explain(err, launch->name, "not a name (1 to 32 of a-z, 0-9 and -)", reason);
    if (err == BB_ERR_NOT_FOUND)
        return explain(err, "no state directory", "neither HOME nor XDG_STATE_HOME is set", reason);
    if (err != BB_OK)
        return explain(err, "the state directory cannot be made", strerror(errno), reason);
    err = bb_state_dir(&launch->state);
    if (err == BB_OK)
        err = bb_cache_dir(&launch->cache);
    if (err == BB_OK)
        err = bb_state_enclave_path(launch->name, BB_STATE_CONFIG, &launch->config);
    if (err == BB_OK)
        err = bb_state_enclave_path(launch->name, BB_STATE_MEASUREMENTS, &launch->measurements);
    return err;
}

static enum bb_err find_programs(struct bb_launch *launch, struct bb_buf *reason) {
    static const char *const daemon[] = {"../enclave/blindboxd", "../libexec/blindbox/blindboxd",
                                         "blindboxd"};
    static const char *const speech[] = {"../enclave/speech/blindbox-speech",
                                         "../libexec/blindbox/blindbox-speech", "blindbox-speech"};
    enum bb_err err = bb_program_find(daemon, sizeof daemon / sizeof *daemon, &launch->blindboxd);
    if (err != BB_OK)
        return explain(err, "blindboxd", "the program is not beside blindbox", reason);
    err = bb_program_find(speech, sizeof speech / sizeof *speech, &launch->speech);
    return err == BB_OK ? err : explain(err, "blindbox-speech", "the program is not beside blindbox", reason);
}

/* Says early and plainly what init would find out only after loading the model. */
static enum bb_err probe_port(const struct bb_endpoint *listen, struct bb_buf *reason) {
    int fd BB_CLEANUP_FD = -1;
    char what[300];
    snprintf(what, sizeof what, "cannot listen on %s port %s", listen->host, listen->port);
    enum bb_err err = bb_endpoint_listen(listen, 1, &fd);
    if (err == BB_OK)
        return BB_OK;
    return explain(err, what, err == BB_ERR_IO ? strerror(errno) : bb_err_sentence(err), reason);
}

static enum bb_err import_model(struct bb_launch *launch, const char *path, uint8_t digest[BB_SHA256_LEN],
                                struct bb_buf *reason) {
    struct bb_model_cache *cache BB_CLEANUP_MODEL_CACHE = NULL;
    uint64_t size = 0;
    enum bb_err err = bb_model_cache_new(bb_buf_str(&launch->cache), &cache);
    if (err != BB_OK)
        return explain(err, bb_buf_str(&launch->cache), strerror(errno), reason);
    err = bb_model_cache_import(cache, path, digest, &size);
    if (err == BB_ERR_NOT_FOUND)
        return explain(err, path, "no such model file", reason);
    return err == BB_OK ? err : explain(err, path, bb_err_sentence(err), reason);
}

/* The enclave's own copy of the configuration: made, or taken over as it is. */
static enum bb_err write_config(struct bb_launch *launch, const struct bb_launch_options *options,
                                const uint8_t digest[BB_SHA256_LEN], struct bb_buf *yaml,
                                struct bb_buf *reason) {
    enum bb_err err;
    if (options->config != NULL) {
        err = bb_file_read(options->config, yaml);
        if (err != BB_OK)
            return explain(err, options->config,
                           err == BB_ERR_TOO_LARGE ? bb_err_sentence(err) : strerror(errno), reason);
    } else {
        err = bb_launch_config_write(options->model, digest, options->settings, options->setting_count, yaml,
                                     reason);
        if (err != BB_OK)
            return err;
    }
    err = bb_file_write(bb_buf_str(&launch->config), bb_buf_view(yaml), 0600);
    return err == BB_OK ? err : explain(err, bb_buf_str(&launch->config), strerror(errno), reason);
}

static enum bb_err measure(struct bb_launch *launch, struct bb_view yaml, struct bb_buf *reason) {
    const char *runtime[] = {bb_buf_str(&launch->blindboxd), bb_buf_str(&launch->speech)};
    const char *service[] = {bb_buf_str(&launch->config)};
    uint8_t model[BB_SHA256_LEN];
    uint8_t config[BB_SHA256_LEN];
    struct bb_buf json BB_CLEANUP_BUF = BB_BUF_INIT(CONFIG_MAX_BYTES);
    enum bb_err err = bb_measure_process(runtime, 2, service, 1, &launch->expected);
    if (err == BB_OK)
        err =
            bb_hex_decode(bb_view_str(launch->record.model_digest + strlen("sha256:")), model, sizeof model);
    if (err == BB_OK)
        err = bb_sha256(yaml, config);
    if (err == BB_OK)
        err = bb_measure_register(&launch->expected, PCR_SPEECH_MODEL, bb_view(model, sizeof model));
    if (err == BB_OK)
        err = bb_measure_register(&launch->expected, PCR_CONFIG, bb_view(config, sizeof config));
    launch->expected.present |= 1u << PCR_TEXT_MODEL; /* zero: there is none */
    if (err == BB_OK)
        err = bb_measurements_to_json(&launch->expected, &json);
    if (err == BB_OK)
        err = bb_file_write(bb_buf_str(&launch->measurements), bb_buf_view(&json), 0600);
    return err == BB_OK ? err : explain(err, "the enclave cannot be measured", bb_err_sentence(err), reason);
}

static enum bb_err fill_record(struct bb_launch *launch, struct bb_buf *reason) {
    struct bb_record *record = &launch->record;
    struct tm parts;
    time_t now = time(NULL);
    int root = snprintf(record->root, sizeof record->root, "%s/%s", bb_buf_str(&launch->state),
                        BB_DEVROOT_CERT_NAME);
    int measurements =
        snprintf(record->measurements, sizeof record->measurements, "%s", bb_buf_str(&launch->measurements));
    if (root >= (int)sizeof record->root || measurements >= (int)sizeof record->measurements)
        return explain(BB_ERR_TOO_LARGE, bb_buf_str(&launch->state), "the path is too long", reason);
    if (gmtime_r(&now, &parts) == NULL ||
        strftime(record->started, sizeof record->started, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return BB_ERR_IO;
    return BB_OK;
}

static enum bb_err prepare(struct bb_launch *launch, const struct bb_launch_options *options,
                           struct bb_buf *reason) {
    struct bb_buf yaml BB_CLEANUP_BUF = BB_BUF_INIT(CONFIG_MAX_BYTES);
    uint8_t digest[BB_SHA256_LEN] = {0};
    enum bb_err err = claim(launch, reason);
    if (err == BB_OK)
        err = find_programs(launch, reason);
    if (err == BB_OK)
        err = probe_port(&launch->listen, reason);
    if (err == BB_OK && options->model != NULL)
        err = import_model(launch, options->model, digest, reason);
    if (err == BB_OK)
        err = write_config(launch, options, digest, &yaml, reason);
    if (err == BB_OK)
        err = bb_launch_config_ask(bb_buf_str(&launch->blindboxd), bb_buf_str(&launch->config),
                                   &launch->record, reason);
    if (err == BB_OK)
        err = measure(launch, bb_buf_view(&yaml), reason);
    return err == BB_OK ? fill_record(launch, reason) : err;
}

enum bb_err bb_launch_prepare(const struct bb_launch_options *options, struct bb_launch **out,
                              struct bb_buf *reason) {
    if (options->model == NULL && options->config == NULL)
        return BB_ERR_ARGUMENT;
    struct bb_launch *launch BB_CLEANUP_LAUNCH = calloc(1, sizeof *launch);
    if (launch == NULL)
        return BB_ERR_NO_MEMORY;
    *launch = (struct bb_launch){.name = options->name, .lock = -1, .listen = options->listen};
    struct bb_buf *const paths[] = {&launch->state,  &launch->cache,  &launch->blindboxd,
                                    &launch->speech, &launch->config, &launch->measurements};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        *paths[i] = BB_BUF_INIT(BB_STATE_PATH_MAX);
    enum bb_err err = prepare(launch, options, reason);
    if (err != BB_OK)
        return err;
    *out = launch;
    launch = NULL;
    return BB_OK;
}

void bb_launch_free(struct bb_launch *launch) {
    if (launch == NULL)
        return;
    struct bb_buf *const paths[] = {&launch->state,  &launch->cache,  &launch->blindboxd,
                                    &launch->speech, &launch->config, &launch->measurements};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        bb_buf_done(paths[i]);
    bb_fd_close(&launch->lock);
    free(launch);
}

void bb_launch_cleanup(struct bb_launch **launch) {
    bb_launch_free(*launch);
}

const struct bb_measurements *bb_launch_measurements(const struct bb_launch *launch) {
    return &launch->expected;
}
