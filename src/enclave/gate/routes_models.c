/* /v1/models and /v1/models/{id}: OpenAI's list and object. */
#include <string.h>

#include "enclave/gate/json.h"
#include "enclave/gate/models.h"
#include "enclave/gate/request.h"

#define ANSWER_MAX 4096u

bool bb_models_has(const struct bb_config *config, struct bb_view id) {
    return bb_view_equal(id, bb_view_str(config->speech_name)) ||
           bb_view_equal(id, bb_view_str(BB_MODELS_ALIAS));
}

void bb_models_unknown(const struct bb_config *config, struct bb_fault *fault) {
    bb_fault_set(fault, 404, "There is no such model here; there is %s, also called " BB_MODELS_ALIAS,
                 config->speech_name);
    fault->param = "model";
    fault->code = "model_not_found";
}

static json_t *model(const struct bb_gate *gate, const char *id) {
    return json_pack("{s:s, s:s, s:I, s:s}", "id", id, "object", "model", "created",
                     (json_int_t)gate->started_s, "owned_by", "blindbox");
}

static void say(struct bb_request *request, json_t *value) {
    struct bb_buf text BB_CLEANUP_BUF = BB_BUF_INIT(ANSWER_MAX);
    struct bb_fault fault;
    if (bb_json_write(&text, value) == BB_OK) {
        bb_request_say(request, "application/json", bb_buf_view(&text));
        return;
    }
    bb_fault_set(&fault, 500, "The answer cannot be written");
    bb_request_fail(request, &fault);
}

void bb_route_models(struct bb_request *request) {
    const struct bb_gate *gate = request->gate;
    say(request, json_pack("{s:s, s:[o]}", "object", "list", "data", model(gate, gate->config.speech_name)));
}

void bb_route_model(struct bb_request *request) {
    const struct bb_gate *gate = request->gate;
    if (bb_models_has(&gate->config, bb_view_str(request->parameter))) {
        say(request, model(gate, request->parameter));
        return;
    }
    struct bb_fault fault;
    bb_models_unknown(&gate->config, &fault);
    bb_request_fail(request, &fault);
}
