/*
 * Messages between the enclave's processes: one CBOR map per packet on a SOCK_SEQPACKET socket, with at most
 * one descriptor beside it. docs/ARCHITECTURE.md section 3 lists the messages.
 */
#ifndef BB_ENCLAVE_IPC_H
#define BB_ENCLAVE_IPC_H

#include "base/bytes.h"

#define BB_IPC_MAX 65536u /* bytes of one message */

/* A connected pair, both ends close-on-exec and non-blocking. */
BB_MUST_USE enum bb_err bb_ipc_pair(int fds[2]);
/*
 * Sends one message; pass_fd is -1 or a descriptor that the receiver gets a copy of (the sender keeps its
 * own). timeout_ms 0: BB_ERR_BUSY when the socket's buffer is full; -1: wait. BB_ERR_CLOSED when the peer is
 * gone.
 */
BB_MUST_USE enum bb_err bb_ipc_send(int fd, struct bb_view message, int pass_fd, int timeout_ms);
/*
 * Receives one message into buf (cleared first; give it a ceiling of BB_IPC_MAX). *passed_fd is the
 * descriptor that came along (close-on-exec) or -1. timeout_ms 0: BB_ERR_TIMEOUT when none is waiting; -1:
 * wait. BB_ERR_CLOSED when the peer is gone.
 */
BB_MUST_USE enum bb_err bb_ipc_receive(int fd, struct bb_buf *buf, int *passed_fd, int timeout_ms);
/* Reads the "type" of a message: a view into it. BB_ERR_PROTOCOL when there is none. */
BB_MUST_USE enum bb_err bb_ipc_type(struct bb_view message, struct bb_view *type);

#endif
