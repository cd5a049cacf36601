/* The messages between gate and speech worker, gate's side: writing requests, reading answers. Pure. */
#ifndef BB_GATE_SPEECH_WIRE_H
#define BB_GATE_SPEECH_WIRE_H

#include "base/bytes.h"

enum bb_speech_type { BB_SPEECH_READY, BB_SPEECH_SEGMENT, BB_SPEECH_DONE, BB_SPEECH_ERROR };

struct bb_speech_message {
    enum bb_speech_type type;
    uint64_t id;
    struct bb_view text; /* SEGMENT: the text; ERROR: the sentence; views into the packet */
    enum bb_err err;     /* ERROR */
    uint64_t audio_ms, queue_ms, decode_ms, infer_ms; /* DONE */
};

struct bb_speech_order {
    uint64_t id;
    uint64_t deadline_ms;
    struct bb_view language; /* empty: left out */
    struct bb_view prompt;
    bool has_temperature;
    double temperature;
};

/* BB_ERR_PROTOCOL: not one of the worker's messages. */
BB_MUST_USE enum bb_err bb_speech_read(struct bb_view packet, struct bb_speech_message *out);
BB_MUST_USE enum bb_err bb_speech_write_transcribe(const struct bb_speech_order *order, struct bb_buf *out);
BB_MUST_USE enum bb_err bb_speech_write_cancel(uint64_t id, struct bb_buf *out);

#endif
