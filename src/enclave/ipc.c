/* See ipc.h. */
#include "enclave/ipc.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "cbor/cbor.h"

enum bb_err bb_ipc_pair(int fds[2]) {
    int made[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, made) != 0)
        return BB_ERR_IO;
    fds[0] = made[0];
    fds[1] = made[1];
    return BB_OK;
}

static enum bb_err wait_for(int fd, short events, int timeout_ms) {
    struct pollfd entry = {.fd = fd, .events = events};
    int ready;
    do
        ready = poll(&entry, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return BB_ERR_IO;
    return ready == 0 ? BB_ERR_TIMEOUT : BB_OK;
}

/* Room for one descriptor beside a message, aligned as CMSG_FIRSTHDR wants it. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

enum bb_err bb_ipc_send(int fd, struct bb_view message, int pass_fd, int timeout_ms) {
    if (message.len == 0 || message.len > BB_IPC_MAX)
        return BB_ERR_TOO_LARGE;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message.data, .iov_len = message.len};
    union control control = {0};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    if (pass_fd >= 0) {
        packet.msg_control = control.bytes;
        packet.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&packet);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &pass_fd, sizeof pass_fd);
    }
    for (;;) {
        if (sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return BB_OK;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return BB_ERR_CLOSED;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return BB_ERR_IO;
        if (timeout_ms == 0)
            return BB_ERR_BUSY;
        enum bb_err err = wait_for(fd, POLLOUT, timeout_ms);
        if (err != BB_OK)
            return err;
    }
}

/* The descriptor in a received packet, or -1. The kernel delivers at most what the control buffer has room
 * for. */
static int passed_descriptor(struct msghdr *packet) {
    struct cmsghdr *head = CMSG_FIRSTHDR(packet);
    if (head == NULL || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

enum bb_err bb_ipc_receive(int fd, struct bb_buf *buf, int *passed_fd, int timeout_ms) {
    bb_buf_clear(buf);
    enum bb_err err = wait_for(fd, POLLIN, timeout_ms);
    if (err != BB_OK)
        return err;
    uint8_t *to;
    err = bb_buf_reserve(buf, BB_IPC_MAX, &to);
    if (err != BB_OK)
        return err;
    struct iovec part = {.iov_base = to, .iov_len = BB_IPC_MAX};
    union control control = {0};
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            /* not sizeof: alignment would leave room for a second descriptor */
                            .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t n;
    do
        n = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? BB_ERR_TIMEOUT : errno == ECONNRESET ? BB_ERR_CLOSED : BB_ERR_IO;
    if (n == 0)
        return BB_ERR_CLOSED;
    int passed BB_CLEANUP_FD = passed_descriptor(&packet);
    if ((packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return BB_ERR_PROTOCOL;
    bb_buf_commit(buf, (size_t)n);
    *passed_fd = bb_fd_take(&passed);
    return BB_OK;
}

enum bb_err bb_ipc_type(struct bb_view message, struct bb_view *type) {
    struct bb_cbor reader;
    bb_cbor_init(&reader, message);
    struct bb_view found = {0};
    struct bb_cbor_field fields[] = {{.key = "type", .type = BB_CBOR_TEXT, .out = &found, .required = true}};
    if (bb_cbor_read_fields(&reader, fields, 1, true) != BB_OK)
        return BB_ERR_PROTOCOL;
    *type = found;
    return BB_OK;
}
