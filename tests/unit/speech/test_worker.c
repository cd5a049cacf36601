/*
 * The real blindbox-speech over its socket: answers, order, the queue's limit, deadlines, cancellation that
 * stops the cores, and what it does when the gate talks nonsense or goes away.
 *
 *     test_worker PATH-OF-blindbox-speech
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sndfile.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cbor/cbor.h"
#include "enclave/ipc.h"
#include "messages.h"
#include "sounds.h"
#include "worker_process.h"

static const char *program;
static struct bb_buf model, sample, five_minutes;

static struct worker_process start(const char *speech, const char *limits) {
    struct worker_process worker = worker_start(program, bb_buf_view(&model), speech, limits);
    struct heard_message ready = hear_next(worker.gate_fd, 30000);
    assert_int_equal(ready.kind, HEARD_READY);
    assert_string_equal(ready.text, "demo-speech");
    assert_true(ready.states >= 1);
    return worker;
}

static void ends_well(struct worker_process *worker) {
    int status = worker_stop(worker);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void sample_is_answered(struct worker_process *worker, uint64_t id) {
    char text[4096];
    ask_for(worker->gate_fd, &(struct ask){.id = id}, bb_buf_view(&sample));
    struct heard_message done = hear_answer(worker->gate_fd, id, text, sizeof text);
    assert_int_equal(done.kind, HEARD_DONE);
    assert_non_null(strstr(text, "aspirin"));
    assert_string_equal(done.text, "en");
    assert_true(done.audio_ms >= 2000 && done.audio_ms <= 4000);
    assert_true(done.tokens >= 5 && done.tokens <= 40);
    assert_true(done.infer_ms > 0);
}

static void transcribes(void **state) {
    (void)state;
    struct worker_process worker = start("states: 2", NULL);
    for (uint64_t id = 1; id <= 3; id++)
        sample_is_answered(&worker, id * 1000000007);
    ends_well(&worker);
}

#define TEXT_MAX 4096u

static void append(char text[TEXT_MAX], const char *more) {
    assert_true(strlen(text) + strlen(more) < TEXT_MAX);
    strcat(text, more);
}

/* Eight at once on two states: all answered, each with its own words. */
static void serves_many_at_once(void **state) {
    (void)state;
    struct worker_process worker = start("states: 2", NULL);
    static const char *const names[] = {"consultation", "meeting", "prescription"};
    static const char *const words[] = {"nausea", "Friday", "aspirin"};
    char text[8][TEXT_MAX] = {{0}};
    for (uint64_t id = 0; id < 8; id++) {
        char path[512];
        snprintf(path, sizeof path, BB_MODELS "/samples/%s.wav", names[id % 3]);
        struct bb_buf file BB_CLEANUP_BUF = file_bytes(path);
        ask_for(worker.gate_fd, &(struct ask){.id = id}, bb_buf_view(&file));
    }
    for (int done = 0; done < 8;) {
        struct heard_message message = hear_next(worker.gate_fd, 60000);
        assert_true(message.kind == HEARD_SEGMENT || message.kind == HEARD_DONE);
        assert_true(message.id < 8);
        if (message.kind == HEARD_SEGMENT)
            append(text[message.id], message.text);
        else
            done++;
    }
    for (int id = 0; id < 8; id++)
        assert_non_null(strstr(text[id], words[id % 3]));
    ends_well(&worker);
}

static void first_come_first_served(void **state) {
    (void)state;
    struct worker_process worker = start("states: 1", NULL);
    for (uint64_t id = 10; id > 5; id--)
        ask_for(worker.gate_fd, &(struct ask){.id = id}, bb_buf_view(&sample));
    uint64_t waited = 0;
    for (uint64_t id = 10; id > 5; id--) {
        struct heard_message done = hear_answer(worker.gate_fd, id, NULL, 0);
        assert_int_equal(done.kind, HEARD_DONE);
        assert_true(done.queue_ms >= waited);
        waited = done.queue_ms;
    }
    assert_true(waited > 0);
    ends_well(&worker);
}

/* Bad audio, a bad language: an error with the right code each, and the next request is served. */
static void errors_are_answers(void **state) {
    (void)state;
    struct worker_process worker = start("states: 1", "audio_seconds: 60");
    struct {
        struct ask ask;
        struct bb_view audio;
        enum bb_err code;
        const char *message;
    } cases[] = {
        {{.id = 1}, bb_view_str("not audio"), BB_ERR_AUDIO_FORMAT, "not an audio file"},
        {{.id = 2}, bb_view(NULL, 0), BB_ERR_AUDIO_EMPTY, "The audio file is empty"},
        {{.id = 3}, bb_view(sample.data, 3000), BB_ERR_AUDIO_TRUNCATED, "The audio file is truncated"},
        {{.id = 4}, bb_view(sample.data, 40), BB_ERR_AUDIO_FORMAT, "not an audio file"},
        {{.id = 5},
         bb_buf_view(&five_minutes),
         BB_ERR_AUDIO_TOO_LONG,
         "The recording is longer than the limit audio_seconds (60)"},
        {{.id = 6, .language = "xx"},
         bb_buf_view(&sample),
         BB_ERR_ARGUMENT,
         "The model knows English only: the language must be en or auto"},
        {{.id = 7, .temperature = 3},
         bb_buf_view(&sample),
         BB_ERR_ARGUMENT,
         "The temperature must be from 0 to 1"},
        {{.id = 8, .deadline_ms = 1},
         bb_buf_view(&sample),
         BB_ERR_TIMEOUT,
         "The request took longer than the limit request_ms (600000)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask_for(worker.gate_fd, &cases[i].ask, cases[i].audio);
        struct heard_message answer = hear_answer(worker.gate_fd, cases[i].ask.id, NULL, 0);
        assert_int_equal(answer.kind, HEARD_ERROR);
        assert_int_equal(answer.code, cases[i].code);
        assert_string_equal(answer.text, cases[i].message);
    }
    sample_is_answered(&worker, 9);
    ends_well(&worker);
}

static void a_full_queue_says_so(void **state) {
    (void)state;
    struct worker_process worker = start("states: 1", "queue: 2");
    for (uint64_t id = 1; id <= 4; id++) /* one runs, two wait */
        ask_for(worker.gate_fd, &(struct ask){.id = id}, bb_buf_view(&five_minutes));
    struct heard_message refused;
    do
        refused = hear_next(worker.gate_fd, 10000);
    while (refused.kind == HEARD_SEGMENT);
    assert_int_equal(refused.kind, HEARD_ERROR);
    assert_int_equal(refused.id, 4);
    assert_int_equal(refused.code, BB_ERR_BUSY);
    assert_string_equal(refused.text, "Too many requests are waiting: the limit queue (2) is reached");
    for (uint64_t id = 1; id <= 3; id++)
        cancel(worker.gate_fd, id);
    sample_is_answered(&worker, 5);
    ends_well(&worker);
}

/* Whether the worker used no processor time for half a second, within ten. */
static bool comes_to_rest(const struct worker_process *worker) {
    for (int i = 0; i < 20; i++) {
        long before = worker_cpu_ms(worker);
        usleep(500000);
        if (worker_cpu_ms(worker) - before <= 20)
            return true;
    }
    return false;
}

static void wait_for_work(const struct worker_process *worker) {
    long begun = worker_cpu_ms(worker);
    for (int i = 0; i < 200 && worker_cpu_ms(worker) < begun + 300; i++)
        usleep(50000);
    assert_true(worker_cpu_ms(worker) >= begun + 300);
}

static void cancelling_stops_the_cores(void **state) {
    (void)state;
    struct worker_process worker = start("states: 2", NULL);
    for (uint64_t id = 1; id <= 6; id++) /* two run, four wait */
        ask_for(worker.gate_fd, &(struct ask){.id = id, .deadline_ms = 600000}, bb_buf_view(&five_minutes));
    wait_for_work(&worker);
    for (uint64_t id = 6; id > 0; id--)
        cancel(worker.gate_fd, id);
    cancel(worker.gate_fd, 99); /* nobody's: it may have been answered a moment ago */
    assert_true(comes_to_rest(&worker));
    sample_is_answered(&worker, 7); /* no answer to what was cancelled comes in between: see hear_answer */
    ends_well(&worker);
}

/* The deadline counts from arrival, waiting included, and is kept to the moment although the engine is busy.
 */
static void deadlines_are_kept(void **state) {
    (void)state;
    struct worker_process worker = start("states: 1", "request_ms: 700");
    int64_t begun = bb_clock_monotonic_ms();
    ask_for(worker.gate_fd, &(struct ask){.id = 1, .deadline_ms = 700}, bb_buf_view(&five_minutes));
    ask_for(worker.gate_fd, &(struct ask){.id = 2, .deadline_ms = 400}, bb_buf_view(&sample));
    int64_t answered_ms[3] = {0};
    for (int answers = 0; answers < 2;) {
        struct heard_message message = hear_next(worker.gate_fd, 10000);
        if (message.kind == HEARD_SEGMENT)
            continue;
        assert_int_equal(message.kind, HEARD_ERROR);
        assert_int_equal(message.code, BB_ERR_TIMEOUT);
        assert_string_equal(message.text, "The request took longer than the limit request_ms (700)");
        assert_true(message.id >= 1 && message.id <= 2);
        answered_ms[message.id] = bb_clock_monotonic_ms() - begun;
        answers++;
    }
    assert_true(answered_ms[2] >= 395 && answered_ms[2] <= 2000);
    assert_true(answered_ms[1] >= 695 && answered_ms[1] <= 3000);
    assert_true(comes_to_rest(&worker));
    sample_is_answered(&worker, 3);
    ends_well(&worker);
}

static void dies_when_the_gate_closes(void **state) {
    (void)state;
    struct worker_process worker = start("states: 2", NULL);
    ask_for(worker.gate_fd, &(struct ask){.id = 1}, bb_buf_view(&five_minutes));
    wait_for_work(&worker);
    int64_t begun = bb_clock_monotonic_ms();
    ends_well(&worker); /* in the middle of the work */
    assert_true(bb_clock_monotonic_ms() - begun < 3000);
}

static void can_be_killed(void **state) {
    (void)state;
    struct worker_process worker = start("states: 1", NULL);
    ask_for(worker.gate_fd, &(struct ask){.id = 1}, bb_buf_view(&five_minutes));
    bb_child_signal(&worker.child, SIGKILL);
    struct heard_message message;
    do
        message = hear_next(worker.gate_fd, 10000);
    while (message.kind == HEARD_SEGMENT);
    assert_int_equal(message.kind, HEARD_END);
    int status = worker_stop(&worker);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Builds {"type": type, "id": 1, "deadline_ms": 1000, key: 1}. */
static void put_odd(struct bb_buf *out, const char *type, const char *key) {
    assert_int_equal(bb_cbor_put_map(out, 4), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "type"), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, type), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "id"), BB_OK);
    assert_int_equal(bb_cbor_put_uint(out, 1), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, "deadline_ms"), BB_OK);
    assert_int_equal(bb_cbor_put_uint(out, 1000), BB_OK);
    assert_int_equal(bb_cbor_put_text(out, key), BB_OK);
    assert_int_equal(bb_cbor_put_uint(out, 1), BB_OK);
}

enum audio { NO_AUDIO, SEALED, OPEN, PIPE };

static int audio_fd(enum audio kind) {
    int ends[2], fd;
    switch (kind) {
    case SEALED:
        return sealed_file(bb_buf_view(&sample));
    case OPEN:
        assert_int_equal(bb_memfd_new("test", &fd), BB_OK);
        assert_int_equal(bb_fd_write_all(fd, bb_buf_view(&sample), -1), BB_OK);
        return fd;
    case PIPE:
        assert_int_equal(pipe(ends), 0);
        close(ends[1]);
        return ends[0];
    default:
        return -1;
    }
}

/* A message that breaks the protocol ends the worker with status 1. */
static void breaks_off(struct bb_view message, enum audio kind) {
    struct worker_process worker = start("states: 1", NULL);
    int fd BB_CLEANUP_FD = audio_fd(kind);
    send_raw(worker.gate_fd, message, fd);
    assert_int_equal(hear_next(worker.gate_fd, 10000).kind, HEARD_END);
    int status = worker_stop(&worker);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void nonsense_ends_the_worker(void **state) {
    (void)state;
    static uint8_t large[BB_IPC_MAX];
    breaks_off(bb_view_str("hello"), NO_AUDIO);
    breaks_off(bb_view("\xa0", 1), NO_AUDIO);
    breaks_off(bb_view(large, sizeof large), NO_AUDIO);
    static const char *const odd[][2] = {{"transcribe", "colour"},
                                         {"transcribe", "id"},
                                         {"transcribe", "language"},
                                         {"sing", "x"},
                                         {"cancel", "x"}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct bb_buf message BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
        put_odd(&message, odd[i][0], odd[i][1]);
        breaks_off(bb_buf_view(&message), SEALED);
    }
    struct bb_buf good BB_CLEANUP_BUF = BB_BUF_INIT(BB_IPC_MAX);
    put_odd(&good, "transcribe", "max_tokens");
    breaks_off(bb_buf_view(&good), NO_AUDIO); /* no recording */
    breaks_off(bb_buf_view(&good), OPEN);     /* one that could still change */
    breaks_off(bb_buf_view(&good), PIPE);     /* no file at all */
    assert_int_equal(bb_buf_append_str(&good, "x"), BB_OK);
    breaks_off(bb_buf_view(&good), SEALED);
}

static void an_id_twice_ends_the_worker(void **state) {
    (void)state;
    struct worker_process worker = start("states: 1", NULL);
    ask_for(worker.gate_fd, &(struct ask){.id = 1}, bb_buf_view(&five_minutes));
    ask_for(worker.gate_fd, &(struct ask){.id = 1}, bb_buf_view(&sample));
    struct heard_message message;
    do
        message = hear_next(worker.gate_fd, 10000);
    while (message.kind == HEARD_SEGMENT);
    assert_int_equal(message.kind, HEARD_END);
    int status = worker_stop(&worker);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void a_damaged_model_is_not_served(void **state) {
    (void)state;
    struct worker_process worker =
        worker_start(program, bb_view(model.data, model.len - 1000), "states: 1", NULL);
    assert_int_equal(hear_next(worker.gate_fd, 10000).kind, HEARD_END);
    int status = worker_stop(&worker);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static int set_up(void **state) {
    (void)state;
    model = file_bytes(BB_MODELS "/demo-speech.bin");
    sample = file_bytes(BB_MODELS "/samples/prescription.wav");
    five_minutes = sound_file(&(struct sound){SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 8000, 1, 300, 440});
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    bb_buf_done(&model);
    bb_buf_done(&sample);
    bb_buf_done(&five_minutes);
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transcribes),
        cmocka_unit_test(serves_many_at_once),
        cmocka_unit_test(first_come_first_served),
        cmocka_unit_test(errors_are_answers),
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(cancelling_stops_the_cores),
        cmocka_unit_test(deadlines_are_kept),
        cmocka_unit_test(dies_when_the_gate_closes),
        cmocka_unit_test(can_be_killed),
        cmocka_unit_test(nonsense_ends_the_worker),
        cmocka_unit_test(an_id_twice_ends_the_worker),
        cmocka_unit_test(a_damaged_model_is_not_served),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: test_worker PATH-OF-blindbox-speech\n");
        return 2;
    }
    program = argv[1];
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
