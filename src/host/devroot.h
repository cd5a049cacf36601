/*
 * The development root: a P-384 certificate authority of this user on this machine, under which the NSM
 * emulator signs. Made once, it lives in the state directory as dev-root.pem and dev-root.key. Its key proves
 * nothing about hardware; clients trust it only when its owner names it.
 *
 * Refused: a key file that others than its owner can read, a key that does not belong to the certificate, an
 * expired certificate.
 */
#ifndef BB_HOST_DEVROOT_H
#define BB_HOST_DEVROOT_H

#include "base/bytes.h"
#include "crypto/cert.h"
#include "crypto/key.h"

#define BB_DEVROOT_CERT_NAME "dev-root.pem"
#define BB_DEVROOT_KEY_NAME  "dev-root.key"
#define BB_DEVROOT_LOCK_NAME "dev-root.lock" /* empty; held while the root is opened or made */

struct bb_devroot;

/*
 * Opens the root in state_dir (made with mode 0700 where missing), making it first when there is none;
 * processes that do this at the same time get the same root. On failure a sentence is appended to reason (may
 * be NULL).
 */
BB_MUST_USE enum bb_err bb_devroot_open(const char *state_dir, int64_t now_ms, struct bb_devroot **out,
                                        struct bb_buf *reason);
void bb_devroot_free(struct bb_devroot *root);
void bb_devroot_cleanup(struct bb_devroot **root);
#define BB_CLEANUP_DEVROOT __attribute__((cleanup(bb_devroot_cleanup)))

/* Both live as long as the root. */
const struct bb_key *bb_devroot_key(const struct bb_devroot *root);
const struct bb_cert *bb_devroot_cert(const struct bb_devroot *root);

#endif
