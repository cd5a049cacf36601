/* The messages between gate and speech worker (docs/ARCHITECTURE.md section 3). */
#ifndef BB_SPEECH_MESSAGE_H
#define BB_SPEECH_MESSAGE_H

#include "base/bytes.h"

#define BB_SPEECH_TEXT_MAX 32768u /* bytes of text in one segment message */

enum bb_speech_kind { BB_SPEECH_TRANSCRIBE, BB_SPEECH_CANCEL };

/* What the gate asks; views point into the message. */
struct bb_speech_message {
    enum bb_speech_kind kind;
    uint64_t id;
    uint64_t deadline_ms;
    struct bb_view language, prompt; /* empty when absent */
    double temperature;
    uint64_t max_tokens;
    bool translate;
};

/* BB_ERR_PROTOCOL for anything but a well-formed message of a known type. */
BB_MUST_USE enum bb_err bb_speech_message_read(struct bb_view bytes, struct bb_speech_message *out);

struct bb_speech_done {
    uint64_t audio_ms, tokens, queue_ms, decode_ms, infer_ms;
    const char *language;
};

/* Each writes one message into out (ceiling BB_IPC_MAX), which must be empty. Text must be valid UTF-8. */
BB_MUST_USE enum bb_err bb_speech_put_ready(struct bb_buf *out, const char *engine, const char *model,
                                            unsigned states, unsigned threads);
BB_MUST_USE enum bb_err bb_speech_put_segment(struct bb_buf *out, uint64_t id, uint64_t start_ms,
                                              uint64_t end_ms, struct bb_view text);
BB_MUST_USE enum bb_err bb_speech_put_done(struct bb_buf *out, uint64_t id,
                                           const struct bb_speech_done *done);
BB_MUST_USE enum bb_err bb_speech_put_error(struct bb_buf *out, uint64_t id, enum bb_err code,
                                            const char *message);

#endif
