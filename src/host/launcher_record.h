/*
 * What a launcher writes down about its enclave (enclave.json): how `blindbox status`, `down` and the client
 * verbs find it. A record outlives a launcher that was killed; the process number together with that
 * process's start time tells.
 */
#ifndef BB_HOST_LAUNCHER_RECORD_H
#define BB_HOST_LAUNCHER_RECORD_H

#include <sys/types.h>

#include "base/bytes.h"

#define BB_RECORD_MAX_BYTES 65536u

struct bb_record {
    bool ready;         /* else it is starting */
    char address[80];   /* "127.0.0.1:8443" */
    pid_t pid;          /* the launcher */
    uint64_t pid_start; /* its start time in clock ticks since boot (proc_pid_stat(5), field 22) */
    char root[4096], measurements[4096]; /* absolute paths */
    char started[32];                    /* RFC 3339, UTC */
    char model_name[65];                 /* of the speech model */
    char model_digest[80];               /* "sha256:<64 hex>" */
};

/* As JSON, indented, with a line feed; appended to out. */
BB_MUST_USE enum bb_err bb_record_to_json(const char *name, const struct bb_record *record,
                                          struct bb_buf *out);
BB_MUST_USE enum bb_err bb_record_write(const char *name, const struct bb_record *record);
/* BB_ERR_NOT_FOUND: there is none, or the process that it names is gone. BB_ERR_JSON: damaged. */
BB_MUST_USE enum bb_err bb_record_read(const char *name, struct bb_record *out);
/* Takes the file away; that it is gone already is no failure. */
void bb_record_remove(const char *name);

/* A process's start time. BB_ERR_NOT_FOUND: no such process (or only its remains). */
BB_MUST_USE enum bb_err bb_process_start_time(pid_t pid, uint64_t *out);

#endif
