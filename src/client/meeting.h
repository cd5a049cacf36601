/*
 * How libcurl 7.88 gets a tunnel's socket: these versions call connect(2) even on a socket that they were
 * told is connected already. So they get one that is not, and an address on this machine's loopback where it
 * will be met, by its port and nobody else.
 */
#ifndef BB_CLIENT_MEETING_H
#define BB_CLIENT_MEETING_H

#include "base/bytes.h"

struct sockaddr_in;

struct bb_meeting {
    int listener; /* -1: none is arranged */
    int guest;    /* the socket that will connect; the caller's, not ours to close */
};

/* Does the libcurl that runs need this? */
bool bb_meeting_is_needed(void);
/* *guest is an unconnected socket, the caller's, which is to connect to *address. BB_ERR_IO. */
BB_MUST_USE enum bb_err bb_meeting_arrange(struct bb_meeting *meeting, struct sockaddr_in *address,
                                           int *guest);
/* The other end of the guest, once that has connected; whoever else came is turned away. Ends the meeting.
 * BB_ERR_CONNECT. */
BB_MUST_USE enum bb_err bb_meeting_hold(struct bb_meeting *meeting, int *fd);
void bb_meeting_cancel(struct bb_meeting *meeting);

#endif
