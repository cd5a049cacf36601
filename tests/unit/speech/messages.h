/* What the gate says and hears, in a test's words. */
#ifndef BB_TEST_MESSAGES_H
#define BB_TEST_MESSAGES_H

#include "base/bytes.h"

struct ask {
    uint64_t id;
    uint64_t deadline_ms; /* 0: a minute */
    const char *language, *prompt;
    double temperature; /* sent when not 0 */
    uint64_t max_tokens;
};

/* Sends a request with the bytes as a sealed memory file. */
void ask_for(int fd, const struct ask *ask, struct bb_view audio);
void cancel(int fd, uint64_t id);
/* Sends bytes as they are; audio_fd -1 or a descriptor beside them. */
void send_raw(int fd, struct bb_view bytes, int audio_fd);

enum heard_kind { HEARD_READY, HEARD_SEGMENT, HEARD_DONE, HEARD_ERROR, HEARD_END };

struct heard_message {
    enum heard_kind kind;
    uint64_t id, states, start_ms, end_ms, audio_ms, queue_ms, infer_ms, tokens, code;
    char text[4096]; /* segment's text, error's message, done's language */
};

/* The next message, within timeout_ms (else the test fails); HEARD_END when the worker has closed. */
struct heard_message hear_next(int fd, int timeout_ms);
/* Reads to the end of one request; *text collects its segments. Other requests' messages fail the test. */
struct heard_message hear_answer(int fd, uint64_t id, char *text, size_t text_max);

#endif
