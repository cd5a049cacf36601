/* See meeting.h. */
#include "client/meeting.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "client/curl.h"

#define BROKEN_FROM  0x075800u /* 7.88.0 */
#define BROKEN_UNTIL 0x080000u /* 8.0.0 */
#define BACKLOG      16

bool bb_meeting_is_needed(void) {
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
    return version >= BROKEN_FROM && version < BROKEN_UNTIL;
}

void bb_meeting_cancel(struct bb_meeting *meeting) {
    bb_fd_close(&meeting->listener);
}

enum bb_err bb_meeting_arrange(struct bb_meeting *meeting, struct sockaddr_in *address, int *guest) {
    bb_meeting_cancel(meeting);
    int listener BB_CLEANUP_FD = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int made BB_CLEANUP_FD = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof where;
    if (listener < 0 || made < 0 || bind(listener, (struct sockaddr *)&where, len) != 0 ||
        listen(listener, BACKLOG) != 0 || getsockname(listener, (struct sockaddr *)&where, &len) != 0)
        return BB_ERR_IO;
    *address = where;
    meeting->listener = bb_fd_take(&listener);
    meeting->guest = made;
    *guest = bb_fd_take(&made);
    return BB_OK;
}

static bool is_guest(int guest, const struct sockaddr_in *peer) {
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    return getsockname(guest, (struct sockaddr *)&own, &len) == 0 && own.sin_family == AF_INET &&
           own.sin_port == peer->sin_port && own.sin_addr.s_addr == peer->sin_addr.s_addr;
}

enum bb_err bb_meeting_hold(struct bb_meeting *meeting, int *fd) {
    int listener BB_CLEANUP_FD = bb_fd_take(&meeting->listener);
    for (;;) {
        struct sockaddr_in peer;
        socklen_t len = sizeof peer;
        int made BB_CLEANUP_FD = accept4(listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
        if (made < 0)
            return BB_ERR_CONNECT;
        if (!is_guest(meeting->guest, &peer))
            continue;
        *fd = bb_fd_take(&made);
        return BB_OK;
    }
}
