/* See sounds.h. */
#include "sounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sndfile.h>

#include "base/fd.h"

/*
 * Leaks of libraries that are not ours to mend, for builds with the address sanitizer: libsndfile forgets a
 * Vorbis decoder whose headers are damaged (docs/KNOWN_RISKS.md); its encoder is used by tests only.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:vorbis_info_init\nleak:vorbis_encode_setup_init\n";
}

static void insist(bool what, const char *said) {
    if (!what) {
        fprintf(stderr, "cannot make a test file: %s\n", said);
        abort();
    }
}

/* A growing file in memory. */
struct memory {
    struct bb_buf bytes;
    sf_count_t at;
};

static sf_count_t memory_len(void *user) {
    const struct memory *memory = user;
    return (sf_count_t)memory->bytes.len;
}

static sf_count_t memory_seek(sf_count_t offset, int whence, void *user) {
    struct memory *memory = user;
    sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? memory->at : memory_len(user);
    memory->at = base + offset;
    return memory->at;
}

static sf_count_t memory_read(void *out, sf_count_t count, void *user) {
    struct memory *memory = user;
    sf_count_t left = memory_len(user) - memory->at;
    sf_count_t n = count < left ? count : left;
    if (n <= 0)
        return 0;
    memcpy(out, memory->bytes.data + memory->at, (size_t)n);
    memory->at += n;
    return n;
}

static sf_count_t memory_write(const void *data, sf_count_t count, void *user) {
    struct memory *memory = user;
    size_t end = (size_t)(memory->at + count);
    if (end > memory->bytes.len) {
        uint8_t *to;
        insist(bb_buf_reserve(&memory->bytes, end - memory->bytes.len, &to) == BB_OK, "too large");
        memset(to, 0, end - memory->bytes.len);
        bb_buf_commit(&memory->bytes, end - memory->bytes.len);
    }
    memcpy(memory->bytes.data + memory->at, data, (size_t)count);
    memory->at += count;
    return count;
}

static sf_count_t memory_tell(void *user) {
    const struct memory *memory = user;
    return memory->at;
}

struct bb_buf sound_file_of(const struct sound *sound, const float *samples, size_t frames) {
    static SF_VIRTUAL_IO io = {memory_len, memory_seek, memory_read, memory_write, memory_tell};
    struct memory memory = {.bytes = BB_BUF_INIT(SOUND_MAX)};
    SF_INFO info = {.samplerate = sound->rate, .channels = sound->channels, .format = sound->format};
    SNDFILE *file = sf_open_virtual(&io, SFM_WRITE, &info, &memory);
    insist(file != NULL, sf_strerror(NULL));
    /* In pieces: the Vorbis encoder keeps what one call brings on the stack. */
    for (size_t done = 0; done < frames; done += 4096) {
        sf_count_t n = (sf_count_t)(frames - done < 4096 ? frames - done : 4096);
        insist(sf_writef_float(file, samples + done * (size_t)sound->channels, n) == n, sf_strerror(file));
    }
    sf_close(file);
    return memory.bytes;
}

struct bb_buf sound_file(const struct sound *sound) {
    size_t channels = (size_t)sound->channels, frames = (size_t)(sound->seconds * sound->rate);
    float *samples = calloc(frames * channels + 1, sizeof *samples);
    insist(samples != NULL, "out of memory");
    for (size_t i = 0; i < frames; i++)
        for (size_t c = 0; c < channels; c++)
            samples[i * channels + c] = (float)(0.5 * sin(2 * M_PI * sound->hertz * (double)i / sound->rate));
    struct bb_buf made = sound_file_of(sound, samples, frames);
    free(samples);
    return made;
}

struct bb_buf file_bytes(const char *path) {
    struct bb_buf bytes = BB_BUF_INIT(SOUND_MAX);
    insist(bb_file_read(path, &bytes) == BB_OK, path);
    return bytes;
}

int sealed_file(struct bb_view bytes) {
    int fd;
    insist(bb_memfd_new("test", &fd) == BB_OK && bb_fd_write_all(fd, bytes, -1) == BB_OK &&
               bb_memfd_seal(fd) == BB_OK,
           "memory file");
    return fd;
}
