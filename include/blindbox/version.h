/* The version of libblindbox. */
#ifndef BLINDBOX_VERSION_H
#define BLINDBOX_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* The version of the library that runs ("0.1.0"); static storage. */
const char *bb_version(void);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
