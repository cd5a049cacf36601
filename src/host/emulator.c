/* See emulator.h. */
#include "host/emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/hex.h"
#include "host/emulator_document.h"
#include "nsm/messages.h"

#define FIRST_OPEN_PCR  16u /* the ones before are the hypervisor's, locked from the start */
#define INSTANCE_PCR    4u
#define INSTANCE_ID_LEN 19u /* i-<17 hex> */
#define MODULE_ID_LEN   (INSTANCE_ID_LEN + 4 + 16)
#define DIGEST_NAME     "SHA384"
#define BIT(i)          (UINT32_C(1) << (i))

_Static_assert(BB_NSM_PCR_COUNT == BB_MEASURE_PCR_COUNT && BB_NSM_PCR_LEN == BB_SHA384_LEN,
               "registers and measurements have one shape");

struct bb_emulator {
    struct bb_time_source clock;
    char instance_id[INSTANCE_ID_LEN + 1];
    char module_id[MODULE_ID_LEN + 1];
    uint8_t pcrs[BB_NSM_PCR_COUNT][BB_NSM_PCR_LEN];
    uint32_t locked;
    struct bb_emulator_chain chain;
};

/* An answer on its way: views in the response may point into `bytes`. */
struct answer {
    struct bb_nsm_response response;
    struct bb_buf bytes;
};

static void refuse(struct answer *answer, enum bb_nsm_error error) {
    answer->response = (struct bb_nsm_response){.operation = BB_NSM_ERROR, .of.error = error};
}

static bool is_locked(const struct bb_emulator *emulator, unsigned index) {
    return (emulator->locked & BIT(index)) != 0;
}

/* Refuses registers that do not exist and, for changes, those that are locked. */
static bool may_use(const struct bb_emulator *emulator, unsigned index, bool change, struct answer *answer) {
    if (index >= BB_NSM_PCR_COUNT) {
        refuse(answer, BB_NSM_INVALID_INDEX);
        return false;
    }
    if (change && is_locked(emulator, index)) {
        refuse(answer, BB_NSM_READ_ONLY_INDEX);
        return false;
    }
    return true;
}

static void describe_pcr(struct bb_emulator *emulator, const struct bb_nsm_request *request,
                         struct answer *answer) {
    unsigned index = request->of.describe_pcr.index;
    if (!may_use(emulator, index, false, answer))
        return;
    answer->response.of.describe_pcr.lock = is_locked(emulator, index);
    answer->response.of.describe_pcr.data = bb_view(emulator->pcrs[index], BB_NSM_PCR_LEN);
}

static void extend_pcr(struct bb_emulator *emulator, const struct bb_nsm_request *request,
                       struct answer *answer) {
    unsigned index = request->of.extend_pcr.index;
    if (!may_use(emulator, index, true, answer))
        return;
    if (bb_pcr_extend(emulator->pcrs[index], request->of.extend_pcr.data) != BB_OK) {
        refuse(answer, BB_NSM_INTERNAL_ERROR);
        return;
    }
    answer->response.of.extend_pcr.data = bb_view(emulator->pcrs[index], BB_NSM_PCR_LEN);
}

static void lock_pcr(struct bb_emulator *emulator, const struct bb_nsm_request *request,
                     struct answer *answer) {
    unsigned index = request->of.lock_pcr.index;
    if (may_use(emulator, index, true, answer))
        emulator->locked |= BIT(index);
}

static void lock_pcrs(struct bb_emulator *emulator, const struct bb_nsm_request *request,
                      struct answer *answer) {
    unsigned range = request->of.lock_pcrs.range;
    if (range > BB_NSM_PCR_COUNT) {
        refuse(answer, BB_NSM_INVALID_INDEX);
        return;
    }
    for (unsigned i = 0; i < range; i++)
        emulator->locked |= BIT(i);
}

static void describe_nsm(struct bb_emulator *emulator, const struct bb_nsm_request *request,
                         struct answer *answer) {
    (void)request;
    answer->response.of.describe_nsm.version_major = 1;
    answer->response.of.describe_nsm.module_id = bb_view_str(emulator->module_id);
    answer->response.of.describe_nsm.max_pcrs = BB_NSM_PCR_COUNT;
    answer->response.of.describe_nsm.locked_pcrs = emulator->locked;
    answer->response.of.describe_nsm.digest = bb_view_str(DIGEST_NAME);
}

static void get_random(struct bb_emulator *emulator, const struct bb_nsm_request *request,
                       struct answer *answer) {
    (void)emulator;
    (void)request;
    uint8_t *to;
    if (bb_buf_reserve(&answer->bytes, BB_NSM_RANDOM_LEN, &to) != BB_OK ||
        bb_random(to, BB_NSM_RANDOM_LEN) != BB_OK) {
        refuse(answer, BB_NSM_INTERNAL_ERROR);
        return;
    }
    bb_buf_commit(&answer->bytes, BB_NSM_RANDOM_LEN);
    answer->response.of.get_random.random = bb_buf_view(&answer->bytes);
}

static void attest(struct bb_emulator *emulator, const struct bb_nsm_request *request,
                   struct answer *answer) {
    if (request->of.attestation.user_data.len > BB_NSM_USER_DATA_MAX ||
        request->of.attestation.nonce.len > BB_NSM_NONCE_MAX ||
        request->of.attestation.public_key.len > BB_NSM_PUBLIC_KEY_MAX) {
        refuse(answer, BB_NSM_INPUT_TOO_LARGE);
        return;
    }
    int64_t now_ms = emulator->clock.now_ms(emulator->clock.context);
    struct bb_emulator_document document = {
        .module_id = emulator->module_id,
        .timestamp_ms = now_ms,
        .pcrs = (const uint8_t (*)[BB_NSM_PCR_LEN])emulator->pcrs,
        .listed = emulator->locked,
        .chain = &emulator->chain,
        .public_key = request->of.attestation.public_key,
        .user_data = request->of.attestation.user_data,
        .nonce = request->of.attestation.nonce,
    };
    enum bb_err err = bb_emulator_chain_renew(&emulator->chain, now_ms);
    if (err == BB_OK)
        err = bb_emulator_document_write(&document, &answer->bytes);
    if (err != BB_OK) {
        refuse(answer, err == BB_ERR_TOO_LARGE ? BB_NSM_INPUT_TOO_LARGE : BB_NSM_INTERNAL_ERROR);
        return;
    }
    answer->response.of.attestation.document = bb_buf_view(&answer->bytes);
}

static void (*const handlers[])(struct bb_emulator *, const struct bb_nsm_request *, struct answer *) = {
    [BB_NSM_DESCRIBE_PCR] = describe_pcr, [BB_NSM_EXTEND_PCR] = extend_pcr,     [BB_NSM_LOCK_PCR] = lock_pcr,
    [BB_NSM_LOCK_PCRS] = lock_pcrs,       [BB_NSM_DESCRIBE_NSM] = describe_nsm, [BB_NSM_ATTESTATION] = attest,
    [BB_NSM_GET_RANDOM] = get_random,
};

enum bb_err bb_emulator_handle(struct bb_emulator *emulator, struct bb_view request,
                               struct bb_buf *response) {
    struct answer answer = {.bytes = BB_BUF_INIT(BB_NSM_RESPONSE_MAX)};
    struct bb_nsm_request message;
    if (request.len > BB_NSM_REQUEST_MAX) {
        refuse(&answer, BB_NSM_INPUT_TOO_LARGE);
    } else if (bb_nsm_request_read(request, &message) != BB_OK) {
        refuse(&answer, BB_NSM_INVALID_OPERATION);
    } else {
        answer.response.operation = message.operation;
        handlers[message.operation](emulator, &message, &answer);
    }
    bb_buf_clear(response);
    enum bb_err err = bb_nsm_response_write(&answer.response, response);
    if (err != BB_OK) {
        refuse(&answer, err == BB_ERR_TOO_LARGE ? BB_NSM_INPUT_TOO_LARGE : BB_NSM_INTERNAL_ERROR);
        bb_buf_clear(response);
        err = bb_nsm_response_write(&answer.response, response);
    }
    bb_buf_done(&answer.bytes);
    return err;
}

enum bb_err bb_emulator_serve_one(struct bb_emulator *emulator, int fd) {
    struct bb_buf request BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_REQUEST_MAX);
    struct bb_buf response BB_CLEANUP_BUF = BB_BUF_INIT(BB_NSM_RESPONSE_MAX);
    enum bb_err err = bb_frame_read(fd, &request, BB_EMULATOR_FRAME_MS);
    if (err == BB_OK)
        err = bb_emulator_handle(emulator, bb_buf_view(&request), &response);
    return err == BB_OK ? bb_frame_write(fd, bb_buf_view(&response), BB_EMULATOR_FRAME_MS) : err;
}

/* i-<17 hex> and -enc<16 hex>: 33 random digits. */
static enum bb_err make_identity(struct bb_emulator *emulator) {
    uint8_t random[17];
    char hex[2 * sizeof random + 1];
    enum bb_err err = bb_random(random, sizeof random);
    if (err != BB_OK)
        return err;
    bb_hex_encode(bb_view(random, sizeof random), hex);
    snprintf(emulator->instance_id, sizeof emulator->instance_id, "i-%.17s", hex);
    snprintf(emulator->module_id, sizeof emulator->module_id, "%s-enc%.16s", emulator->instance_id, hex + 17);
    return BB_OK;
}

static enum bb_err set_registers(struct bb_emulator *emulator, const struct bb_measurements *measured) {
    for (unsigned i = 0; i < FIRST_OPEN_PCR; i++) {
        if ((measured->present & BIT(i)) != 0)
            memcpy(emulator->pcrs[i], measured->pcr[i], BB_NSM_PCR_LEN);
        emulator->locked |= BIT(i);
    }
    memset(emulator->pcrs[INSTANCE_PCR], 0, BB_NSM_PCR_LEN);
    return bb_pcr_extend(emulator->pcrs[INSTANCE_PCR], bb_view_str(emulator->instance_id));
}

enum bb_err bb_emulator_new(const struct bb_devroot *root, const struct bb_measurements *measured,
                            struct bb_time_source clock, struct bb_emulator **out) {
    struct bb_emulator *emulator = calloc(1, sizeof *emulator);
    if (emulator == NULL)
        return BB_ERR_NO_MEMORY;
    emulator->clock = clock;
    enum bb_err err = make_identity(emulator);
    if (err == BB_OK)
        err = set_registers(emulator, measured);
    if (err != BB_OK) {
        bb_emulator_free(emulator);
        return err;
    }
    bb_emulator_chain_init(&emulator->chain, root, emulator->instance_id, emulator->module_id);
    *out = emulator;
    return BB_OK;
}

void bb_emulator_free(struct bb_emulator *emulator) {
    if (emulator == NULL)
        return;
    bb_emulator_chain_done(&emulator->chain);
    free(emulator);
}

void bb_emulator_cleanup(struct bb_emulator **emulator) {
    bb_emulator_free(*emulator);
}

const char *bb_emulator_module_id(const struct bb_emulator *emulator) {
    return emulator->module_id;
}
