/* See recording.h. */
#include "cli/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/text.h"
#include "cli/verbs.h"

int bb_cli_recording_open(const char *path, struct bb_cli_recording *recording) {
    bool standard_input = strcmp(path, "-") == 0;
    struct bb_cli_recording made = {
        .name = standard_input ? "standard input" : path, .start = -1, .len = BB_AUDIO_LEN_UNKNOWN};
    made.fd = standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    if (made.fd < 0)
        return bb_cli_fail("%s: %s", made.name, strerror(errno));
    struct stat about;
    if (fstat(made.fd, &about) != 0 || S_ISDIR(about.st_mode)) {
        bb_cli_recording_close(&made);
        return bb_cli_fail("%s: %s", made.name, strerror(EISDIR));
    }
    if (S_ISREG(about.st_mode)) {
        made.start = lseek(made.fd, 0, SEEK_CUR);
        if (made.start >= 0 && made.start <= about.st_size)
            made.len = (uint64_t)(about.st_size - made.start);
    }
    *recording = made;
    return BB_CLI_GOOD;
}

void bb_cli_recording_close(struct bb_cli_recording *recording) {
    if (recording->fd >= 0)
        close(recording->fd);
    recording->fd = -1;
}

static size_t read_some(void *context, uint8_t *out, size_t room) {
    const struct bb_cli_recording *recording = context;
    ssize_t len;
    do
        len = read(recording->fd, out, room);
    while (len < 0 && errno == EINTR);
    return len < 0 ? BB_READ_FAILED : (size_t)len;
}

static bool start_again(void *context) {
    const struct bb_cli_recording *recording = context;
    return recording->start >= 0 && lseek(recording->fd, recording->start, SEEK_SET) == recording->start;
}

struct bb_audio bb_cli_recording_audio(struct bb_cli_recording *recording) {
    return (struct bb_audio){
        .len = recording->len, .read = read_some, .rewind = start_again, .context = recording};
}
