/* A recording on its way out: a file or standard input, read as it is sent. */
#ifndef BB_CLI_RECORDING_H
#define BB_CLI_RECORDING_H

#include <stdint.h>

#include <blindbox/transcribe.h>

struct bb_cli_recording {
    const char *name; /* for messages on this side; never sent */
    int fd;
    int64_t start; /* offset of the first byte, -1 when it cannot be read twice */
    uint64_t len;  /* or BB_AUDIO_LEN_UNKNOWN */
};

/* path "-": standard input. Returns BB_CLI_GOOD, or says what is wrong and returns the exit status. */
int bb_cli_recording_open(const char *path, struct bb_cli_recording *recording);
void bb_cli_recording_close(struct bb_cli_recording *recording);
/* Lives as long as the recording. */
struct bb_audio bb_cli_recording_audio(struct bb_cli_recording *recording);

#endif
