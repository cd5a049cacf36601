/* See confine.h. One table; a system call is listed with who needs it while serving, and why where that is
 * not plain. */
#include "enclave/confine.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include <seccomp.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define GATE   BB_ROLE_GATE
#define SPEECH BB_ROLE_SPEECH
#define BOTH   (BB_ROLE_GATE | BB_ROLE_SPEECH)

static const struct allowed {
    int call;
    unsigned roles;
} allowed[] = {
    /* bytes through descriptors that are there already */
    {SCMP_SYS(read), BOTH},
    {SCMP_SYS(write), BOTH},
    {SCMP_SYS(readv), BOTH},
    {SCMP_SYS(writev), BOTH},
    {SCMP_SYS(pread64), BOTH},
    {SCMP_SYS(lseek), BOTH},
    {SCMP_SYS(close), BOTH},
    {SCMP_SYS(fcntl), BOTH},
    {SCMP_SYS(fstat), BOTH},
    {SCMP_SYS(dup), BOTH},
    {SCMP_SYS(recvmsg), BOTH},
    {SCMP_SYS(sendmsg), BOTH},
    {SCMP_SYS(poll), BOTH},
    {SCMP_SYS(ppoll), BOTH},
    /* the gate's connections, its event loop, and the memory files for uploads */
    {SCMP_SYS(accept4), GATE},
    {SCMP_SYS(accept), GATE},
    {SCMP_SYS(shutdown), GATE},
    {SCMP_SYS(recvfrom), GATE},
    {SCMP_SYS(sendto), GATE},
    {SCMP_SYS(getsockopt), GATE},
    {SCMP_SYS(setsockopt), GATE},
    {SCMP_SYS(getsockname), GATE},
    {SCMP_SYS(getpeername), GATE},
    {SCMP_SYS(ioctl), GATE}, /* FIONREAD, by which libevent sizes its reads */
    {SCMP_SYS(epoll_ctl), GATE},
    {SCMP_SYS(epoll_wait), GATE},
    {SCMP_SYS(epoll_pwait), GATE},
    {SCMP_SYS(epoll_pwait2), GATE},
    {SCMP_SYS(timerfd_settime), GATE},
    {SCMP_SYS(memfd_create), GATE},
    {SCMP_SYS(ftruncate), GATE},
    {SCMP_SYS(fallocate), GATE},
    {SCMP_SYS(pwrite64), GATE},
    /* the worker's threads */
    {SCMP_SYS(set_robust_list), SPEECH},
    {SCMP_SYS(rseq), SPEECH},
    {SCMP_SYS(set_tid_address), SPEECH},
    {SCMP_SYS(sched_getaffinity), BOTH}, /* sysconf(3), libgomp */
    {SCMP_SYS(sched_setaffinity), SPEECH},
    {SCMP_SYS(sched_getparam), SPEECH},
    {SCMP_SYS(sched_getscheduler), SPEECH},
    {SCMP_SYS(sched_setscheduler), SPEECH},
    {SCMP_SYS(getcpu), SPEECH},
    {SCMP_SYS(set_mempolicy), SPEECH},
    {SCMP_SYS(get_mempolicy), SPEECH},
    {SCMP_SYS(getdents64), SPEECH}, /* libgomp counts processors below /sys */
    {SCMP_SYS(readlink), SPEECH},
    {SCMP_SYS(readlinkat), SPEECH},
    {SCMP_SYS(access), SPEECH},
    {SCMP_SYS(faccessat2), SPEECH},
    {SCMP_SYS(statx), SPEECH},
    {SCMP_SYS(sysinfo), BOTH},
    {SCMP_SYS(getrusage), BOTH},
    {SCMP_SYS(uname), BOTH},
    /* memory, without PROT_EXEC: see below */
    {SCMP_SYS(munmap), BOTH},
    {SCMP_SYS(mremap), BOTH},
    {SCMP_SYS(madvise), BOTH},
    {SCMP_SYS(brk), BOTH},
    /* time, locks, signals, the end */
    {SCMP_SYS(futex), BOTH},
    {SCMP_SYS(membarrier), BOTH},
    {SCMP_SYS(sched_yield), BOTH},
    {SCMP_SYS(clock_gettime), BOTH},
    {SCMP_SYS(clock_getres), BOTH},
    {SCMP_SYS(clock_nanosleep), BOTH},
    {SCMP_SYS(nanosleep), BOTH},
    {SCMP_SYS(gettimeofday), BOTH},
    {SCMP_SYS(time), BOTH},
    {SCMP_SYS(getrandom), BOTH},
    {SCMP_SYS(getpid), BOTH},
    {SCMP_SYS(gettid), BOTH},
    {SCMP_SYS(rt_sigaction), BOTH},
    {SCMP_SYS(rt_sigprocmask), BOTH},
    {SCMP_SYS(rt_sigreturn), BOTH},
    {SCMP_SYS(sigaltstack), BOTH},
    {SCMP_SYS(restart_syscall), BOTH},
    {SCMP_SYS(tgkill), BOTH}, /* abort(3) */
    {SCMP_SYS(exit), BOTH},
    {SCMP_SYS(exit_group), BOTH},
};

/* libseccomp's errors are negative errno values. */
static enum bb_err judged(int result) {
    return result == 0 ? BB_OK : result == -ENOMEM ? BB_ERR_NO_MEMORY : BB_ERR_IO;
}

static enum bb_err allow_table(scmp_filter_ctx filter, unsigned role) {
    enum bb_err err = BB_OK;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed && err == BB_OK; i++)
        if ((allowed[i].roles & role) != 0)
            err = judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i].call, 0));
    return err;
}

/* Memory that is not executable. */
static enum bb_err allow_memory(scmp_filter_ctx filter) {
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    enum bb_err err = judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable));
    return err == BB_OK
               ? judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_executable))
               : err;
}

/* fstat(3) is newfstatat on an empty path; libraries that look for files in the gate find none. */
static enum bb_err allow_files(scmp_filter_ctx filter, unsigned role) {
    const int refused = SCMP_ACT_ERRNO(EACCES);
    const struct scmp_arg_cmp read_only =
        SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY);
    enum bb_err err = judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 0));
    if (err != BB_OK)
        return err;
    if (role == SPEECH)
        return judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, read_only));
    const int calls[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(access), SCMP_SYS(readlink),
                         SCMP_SYS(stat)};
    for (size_t i = 0; i < sizeof calls / sizeof *calls && err == BB_OK; i++)
        err = judged(seccomp_rule_add(filter, (uint32_t)refused, calls[i], 0));
    return err;
}

/*
 * Threads, not processes. clone3's flags are behind a pointer that a filter cannot follow; without it the C
 * library falls back to clone.
 */
static enum bb_err allow_threads(scmp_filter_ctx filter, unsigned role) {
    if (role != SPEECH)
        return BB_OK;
    const struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
    enum bb_err err = judged(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
    if (err == BB_OK)
        err = judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, thread));
    /* PR_SET_NAME of a thread, PR_SET_VMA of the heap's parts */
    if (err == BB_OK)
        err = judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 0));
    /* ggml asks for the tile registers of processors with AMX; when, is its own business */
    const struct scmp_arg_cmp tiles = SCMP_A0(SCMP_CMP_EQ, ARCH_REQ_XCOMP_PERM);
    return err == BB_OK ? judged(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(arch_prctl), 1, tiles))
                        : err;
}

static enum bb_err build(scmp_filter_ctx filter, unsigned role) {
    enum bb_err err = judged(seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1));
    if (err == BB_OK)
        err = allow_table(filter, role);
    if (err == BB_OK)
        err = allow_memory(filter);
    if (err == BB_OK)
        err = allow_files(filter, role);
    return err == BB_OK ? allow_threads(filter, role) : err;
}

enum bb_err bb_role_confine(enum bb_role_kind role) {
    if (SANITIZED)
        return BB_OK;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL)
        return BB_ERR_NO_MEMORY;
    enum bb_err err = build(filter, role);
    if (err == BB_OK)
        err = judged(seccomp_load(filter));
    seccomp_release(filter);
    return err;
}
