/* All of libblindbox: #include <blindbox/blindbox.h>, compile and link with `pkg-config --cflags --libs
 * blindbox`. */
#ifndef BLINDBOX_BLINDBOX_H
#define BLINDBOX_BLINDBOX_H

#include <blindbox/connection.h>
#include <blindbox/error.h>
#include <blindbox/policy.h>
#include <blindbox/text.h>
#include <blindbox/transcribe.h>
#include <blindbox/tunnel.h>
#include <blindbox/verify.h>
#include <blindbox/version.h>

#endif
