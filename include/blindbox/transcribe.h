/* Speech to text in an attested enclave (POST /v1/audio/transcriptions). */
#ifndef BLINDBOX_TRANSCRIBE_H
#define BLINDBOX_TRANSCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <blindbox/connection.h>
#include <blindbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define BB_TRANSCRIPT_MAX                                                                                    \
    ((size_t)16 * 1024 * 1024) /* bytes of an answer; a longer one is BB_ERR_TOO_LARGE */

/* What bb_audio.read returns when it cannot go on; the request then ends with BB_ERR_IO. */
#define BB_READ_FAILED SIZE_MAX

/*
 * A recording in any format that the enclave decodes (WAV, FLAC, Ogg Vorbis, Opus, MP3): either bytes in
 * memory, or a function that hands them out in order. All of it is borrowed for the time of the call.
 */
struct bb_audio {
    const uint8_t *bytes; /* looked at when read is NULL */
    uint64_t len;         /* bytes in all; with read, BB_AUDIO_LEN_UNKNOWN is allowed */
    /* Writes at most room bytes to out and returns how many; 0 at the end. */
    size_t (*read)(void *context, uint8_t *out, size_t room);
    /* Starts again at the first byte, for the case that a kept connection turns out closed; may be NULL. */
    bool (*rewind)(void *context);
    void *context;
};
#define BB_AUDIO_LEN_UNKNOWN UINT64_MAX

/* A NULL pointer, or a struct of zeros apart from temperature, asks for the server's defaults. */
struct bb_transcribe_options {
    const char *model;    /* NULL: "whisper-1", which every BlindBox service answers to */
    const char *language; /* ISO 639-1 ("en") */
    const char *prompt;   /* text that precedes the recording */
    double temperature;   /* 0..1; negative or 0: the server's default (no sampling) */
    /*
     * Called at least once a second while the call lasts, with the bytes of the request sent so far and in
     * all (total 0: not known). Returning false ends the call with BB_ERR_CANCELLED.
     */
    bool (*progress)(void *context, uint64_t sent, uint64_t total);
    void *progress_context;
};

struct bb_transcript;

/*
 * Sends the recording and returns what was said in it. On BB_OK *transcript is to be freed with
 * bb_transcript_free(). BB_ERR_HTTP_STATUS: the server answered with an error; bb_connection_http_status(),
 * _error_text() (the server's sentence) and _retry_after_s() tell more. BB_ERR_HTTP_FORM: not the promised
 * answer. BB_ERR_CANCELLED, _TIMEOUT, _CLOSED and everything that bb_connection_attest() returns. Neither the
 * recording's file name nor anything else that is not in the arguments is sent.
 */
BB_MUST_USE enum bb_err bb_transcribe(struct bb_connection *connection, const struct bb_audio *audio,
                                      const struct bb_transcribe_options *options,
                                      struct bb_transcript **transcript);

/* UTF-8, terminated; *len (may be NULL) without the terminator. Lives as long as the transcript. */
const char *bb_transcript_text(const struct bb_transcript *transcript, size_t *len);
/* Wipes and frees. NULL is allowed. */
void bb_transcript_free(struct bb_transcript *transcript);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
