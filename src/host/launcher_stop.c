/* Ending an enclave from outside: see launcher.h. A pidfd makes sure that no other process is hit, ever. */
#include "host/launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define KILLED_MS 5000 /* for the kernel to end a killed launcher and its children */

static bool ends_within(int pidfd, int timeout_ms) {
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    int count;
    do
        count = poll(&entry, 1, timeout_ms);
    while (count < 0 && errno == EINTR);
    return count > 0;
}

static enum bb_err send_signal(int pidfd, int number) {
    if (syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) == 0)
        return BB_OK;
    return errno == ESRCH ? BB_ERR_NOT_FOUND : BB_ERR_IO;
}

enum bb_err bb_launch_stop(const char *name, bool *killed) {
    struct bb_record record;
    uint64_t start = 0;
    enum bb_err err = bb_record_read(name, &record);
    if (err != BB_OK)
        return err;
    int pidfd BB_CLEANUP_FD = (int)syscall(SYS_pidfd_open, record.pid, 0);
    if (pidfd < 0)
        return errno == ESRCH ? BB_ERR_NOT_FOUND : BB_ERR_IO;
    /* now that the number is pinned, make sure once more that it is still the same process */
    err = bb_process_start_time(record.pid, &start);
    if (err == BB_OK && start != record.pid_start)
        err = BB_ERR_NOT_FOUND;
    if (err == BB_OK)
        err = send_signal(pidfd, SIGTERM);
    if (err != BB_OK)
        return err;
    *killed = false;
    if (ends_within(pidfd, BB_LAUNCH_STOP_MS))
        return BB_OK;
    *killed = true;
    err = send_signal(pidfd, SIGKILL);
    if (err == BB_OK && !ends_within(pidfd, KILLED_MS))
        err = BB_ERR_TIMEOUT;
    return err == BB_ERR_NOT_FOUND ? BB_OK : err;
}
