/* Tests of the gate's link to the speech worker, over real sockets; the test speaks the worker's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/event.h>
#include <unistd.h>

#include "base/fd.h"
#include "cbor/cbor.h"
#include "enclave/gate/speech.h"
#include "enclave/gate/speech_wire.h"
#include "enclave/ipc.h"

static const struct bb_limits limits = {.queue = 2, .request_ms = 60000};

struct link {
    struct event_base *base;
    struct bb_metrics metrics;
    struct bb_speech *speech;
    int worker_fd;
    unsigned ready;
    unsigned answers;
    enum bb_err last_err;
    char last_text[256];
};

static void on_ready(void *arg) {
    struct link *link = arg;
    link->ready++;
}

static void on_done(void *arg, enum bb_err err, struct bb_view detail,
                    const struct bb_speech_result *result) {
    struct link *link = arg;
    struct bb_view text = result != NULL ? result->text : detail;
    link->answers++;
    link->last_err = err;
    assert_true(text.len < sizeof link->last_text);
    if (text.len > 0)
        memcpy(link->last_text, text.data, text.len);
    link->last_text[text.len] = '\0';
}

static void link_init(struct link *link) {
    *link = (struct link){.base = event_base_new(), .worker_fd = -1};
    assert_non_null(link->base);
    assert_int_equal(bb_speech_new(link->base, &limits, &link->metrics, on_ready, link, &link->speech),
                     BB_OK);
}

static void link_done(struct link *link) {
    bb_speech_free(link->speech);
    event_base_free(link->base);
    bb_fd_close(&link->worker_fd);
    assert_int_equal(link->metrics.speech_held, 0);
    assert_int_equal(link->metrics.speech_working, 0);
}

static void attach(struct link *link) {
    int fds[2];
    assert_int_equal(bb_ipc_pair(fds), BB_OK);
    bb_fd_close(&link->worker_fd);
    link->worker_fd = fds[1];
    bb_speech_attach(link->speech, fds[0]);
}

static void turn(struct link *link) {
    assert_true(event_base_loop(link->base, EVLOOP_ONCE) >= 0);
}

/* Sends text fields in pairs, numbers likewise: a message as the worker writes it. */
struct pair {
    const char *key, *text; /* text NULL: number */
    uint64_t number;
};

static void say(struct link *link, const struct pair *pairs, size_t count) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    assert_int_equal(bb_cbor_put_map(&message, count), BB_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(bb_cbor_put_text(&message, pairs[i].key), BB_OK);
        assert_int_equal(pairs[i].text != NULL ? bb_cbor_put_text(&message, pairs[i].text)
                                               : bb_cbor_put_uint(&message, pairs[i].number),
                         BB_OK);
    }
    assert_int_equal(bb_ipc_send(link->worker_fd, bb_buf_view(&message), -1, 1000), BB_OK);
    turn(link);
}

#define SAY(link, ...)                                                                                       \
    say(link, (const struct pair[]){__VA_ARGS__},                                                            \
        sizeof((const struct pair[]){__VA_ARGS__}) / sizeof(struct pair))

static void say_ready(struct link *link) {
    SAY(link, {"type", "ready", 0}, {"engine", "e", 0}, {"model", "m", 0}, {"states", NULL, 1},
        {"threads", NULL, 1});
}

static void say_segment(struct link *link, uint64_t id, const char *text) {
    SAY(link, {"type", "segment", 0}, {"id", NULL, id}, {"start_ms", NULL, 0}, {"end_ms", NULL, 1},
        {"text", text, 0});
}

static void say_done(struct link *link, uint64_t id) {
    SAY(link, {"type", "done", 0}, {"id", NULL, id}, {"audio_ms", NULL, 2000}, {"language", "en", 0},
        {"tokens", NULL, 3}, {"queue_ms", NULL, 1}, {"decode_ms", NULL, 1}, {"infer_ms", NULL, 500});
}

/* What the worker gets: its type and id. The audio that came along must be sealed. */
static uint64_t hear(struct link *link, const char *expected_type) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int fd BB_CLEANUP_FD = -1;
    struct bb_view type;
    uint64_t id = 0, len;
    assert_int_equal(bb_ipc_receive(link->worker_fd, &message, &fd, 1000), BB_OK);
    struct bb_cbor reader;
    bb_cbor_init(&reader, bb_buf_view(&message));
    struct bb_cbor_field fields[] = {{"type", BB_CBOR_TEXT, &type, true, false},
                                     {"id", BB_CBOR_UINT, &id, true, false}};
    assert_int_equal(bb_cbor_read_fields(&reader, fields, 2, true), BB_OK);
    assert_true(bb_view_equal(type, bb_view_str(expected_type)));
    if (strcmp(expected_type, "transcribe") == 0) {
        assert_int_equal(bb_memfd_check_sealed(fd, 100, &len), BB_OK);
        assert_int_equal(len, 5);
    }
    return id;
}

static void hear_nothing(struct link *link) {
    struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    int fd = -1;
    assert_int_equal(bb_ipc_receive(link->worker_fd, &message, &fd, 0), BB_ERR_TIMEOUT);
}

static enum bb_err submit(struct link *link, struct bb_speech_job **job) {
    int fd;
    assert_int_equal(bb_memfd_new("test", &fd), BB_OK);
    assert_int_equal(bb_fd_write_all(fd, bb_view_str("audio"), 1000), BB_OK);
    assert_int_equal(bb_memfd_seal(fd), BB_OK);
    struct bb_speech_request request = {
        .audio_fd = fd, .language = bb_view_str("en"), .prompt = bb_view_str("p")};
    enum bb_err err = bb_speech_submit(link->speech, &request, on_done, link, job);
    assert_int_equal(request.audio_fd, -1);
    return err;
}

static void text_comes_back_whole(void **state) {
    (void)state;
    struct link link;
    struct bb_speech_job *job;
    link_init(&link);
    attach(&link);
    assert_false(bb_speech_is_ready(link.speech));
    say_ready(&link);
    assert_true(bb_speech_is_ready(link.speech));
    assert_int_equal(link.ready, 1);
    assert_int_equal(submit(&link, &job), BB_OK);
    uint64_t id = hear(&link, "transcribe");
    assert_int_equal(link.metrics.speech_working, 1);
    say_segment(&link, id, " Hello");
    say_segment(&link, id + 7, "another caller's");
    say_segment(&link, id, " there.");
    assert_int_equal(link.answers, 0);
    say_done(&link, id);
    assert_int_equal(link.answers, 1);
    assert_int_equal(link.last_err, BB_OK);
    assert_string_equal(link.last_text, " Hello there.");
    assert_true(link.metrics.speech_audio_seconds == 2);
    link_done(&link);
}

static void an_error_comes_back_with_its_sentence(void **state) {
    (void)state;
    struct link link;
    struct bb_speech_job *job;
    link_init(&link);
    attach(&link);
    say_ready(&link);
    assert_int_equal(submit(&link, &job), BB_OK);
    uint64_t id = hear(&link, "transcribe");
    SAY(&link, {"type", "error", 0}, {"id", NULL, id}, {"code", NULL, BB_ERR_AUDIO_RATE},
        {"message", "Too fast", 0});
    assert_int_equal(link.last_err, BB_ERR_AUDIO_RATE);
    assert_string_equal(link.last_text, "Too fast");
    link_done(&link);
}

static void a_dying_worker_fails_what_it_had_and_no_more(void **state) {
    (void)state;
    struct link link;
    struct bb_speech_job *job, *held;
    link_init(&link);
    attach(&link);
    say_ready(&link);
    assert_int_equal(submit(&link, &job), BB_OK);
    (void)hear(&link, "transcribe");
    bb_fd_close(&link.worker_fd);
    turn(&link);
    assert_int_equal(link.answers, 1);
    assert_int_equal(link.last_err, BB_ERR_CLOSED);
    assert_false(bb_speech_is_ready(link.speech));
    /* While there is none, requests wait, as many as the queue may have. */
    assert_int_equal(submit(&link, &held), BB_OK);
    assert_int_equal(submit(&link, &job), BB_OK);
    assert_int_equal(submit(&link, &job), BB_ERR_BUSY);
    assert_int_equal(link.metrics.speech_held, 2);
    attach(&link);
    say_ready(&link);
    assert_int_equal(link.metrics.speech_restarts, 1);
    assert_int_equal(link.metrics.speech_held, 0);
    uint64_t first = hear(&link, "transcribe");
    assert_true(hear(&link, "transcribe") > first);
    say_segment(&link, first, "served");
    say_done(&link, first);
    assert_string_equal(link.last_text, "served");
    link_done(&link);
}

static void a_cancelled_request_is_told_to_the_worker(void **state) {
    (void)state;
    struct link link;
    struct bb_speech_job *job;
    link_init(&link);
    attach(&link);
    assert_int_equal(submit(&link, &job), BB_OK);
    bb_speech_cancel(job); /* not sent yet: the worker never hears of it */
    say_ready(&link);
    hear_nothing(&link);
    assert_int_equal(submit(&link, &job), BB_OK);
    uint64_t id = hear(&link, "transcribe");
    bb_speech_cancel(job);
    assert_int_equal(hear(&link, "cancel"), id);
    say_done(&link, id); /* too late, and ignored */
    assert_int_equal(link.answers, 0);
    assert_true(bb_speech_is_ready(link.speech));
    link_done(&link);
}

static void a_worker_that_breaks_the_protocol_is_dropped(void **state) {
    (void)state;
    static const struct pair bad[][2] = {
        {{"type", "unheard-of", 0}, {"id", NULL, 1}},
        {{"type", "error", 0}, {"id", NULL, 1}},
        {{"type", "segment", 0}, {"id", NULL, 1}},
        {{"id", NULL, 1}, {"code", NULL, 2}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct link link;
        link_init(&link);
        attach(&link);
        say_ready(&link);
        say(&link, bad[i], 2);
        assert_false(bb_speech_is_ready(link.speech));
        link_done(&link);
    }
}

static void error_codes_are_checked(void **state) {
    (void)state;
    for (uint64_t code = 0; code <= BB_ERR_COUNT; code += BB_ERR_COUNT) {
        struct link link;
        link_init(&link);
        attach(&link);
        say_ready(&link);
        SAY(&link, {"type", "error", 0}, {"id", NULL, 1}, {"code", NULL, code}, {"message", "", 0});
        assert_false(bb_speech_is_ready(link.speech));
        link_done(&link);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back_whole),
        cmocka_unit_test(an_error_comes_back_with_its_sentence),
        cmocka_unit_test(a_dying_worker_fails_what_it_had_and_no_more),
        cmocka_unit_test(a_cancelled_request_is_told_to_the_worker),
        cmocka_unit_test(a_worker_that_breaks_the_protocol_is_dropped),
        cmocka_unit_test(error_codes_are_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
