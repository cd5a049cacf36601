/* Which names of models the gate answers to. */
#ifndef BB_GATE_MODELS_H
#define BB_GATE_MODELS_H

#include "enclave/config.h"
#include "enclave/gate/fault.h"

/* What programs written for OpenAI's interface call their speech model. */
#define BB_MODELS_ALIAS "whisper-1"

bool bb_models_has(const struct bb_config *config, struct bb_view id);
void bb_models_unknown(const struct bb_config *config, struct bb_fault *fault);

#endif
