/* Recordings for tests, made on the fly with libsndfile. */
#ifndef BB_TEST_SOUNDS_H
#define BB_TEST_SOUNDS_H

#include "base/bytes.h"

#define SOUND_MAX (64u << 20)

struct sound {
    int format; /* libsndfile's */
    int rate, channels;
    double seconds;
    double hertz; /* of the tone in every channel; 0: silence */
};

/* A file's bytes; ends the test program when libsndfile cannot write it. The caller frees the buffer. */
struct bb_buf sound_file(const struct sound *sound);
/* The same from given samples, interleaved. */
struct bb_buf sound_file_of(const struct sound *sound, const float *samples, size_t frames);
/* A whole file. */
struct bb_buf file_bytes(const char *path);
/* A sealed memory file with these bytes. */
int sealed_file(struct bb_view bytes);

#endif
