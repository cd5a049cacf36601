/* See cores.h. What cannot be read counts as "no quota". */
#include "enclave/speech/cores.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CORES_MAX   1024

/* The quota of one control group in whole cores (rounded down, at least 1), or CORES_MAX. */
static unsigned quota_of(const char *group) {
    char path[512];
    double quota, period;
    if ((size_t)snprintf(path, sizeof path, CGROUP_ROOT "%s/cpu.max", group) >= sizeof path)
        return CORES_MAX;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return CORES_MAX;
    /* "max 100000" does not match; the kernel writes nothing out of range. NOLINTNEXTLINE(cert-err34-c) */
    int fields = fscanf(file, "%lf %lf", &quota, &period);
    fclose(file);
    if (fields != 2 || !(period > 0) || !(quota / period < CORES_MAX))
        return CORES_MAX;
    return quota < period ? 1 : (unsigned)(quota / period);
}

/* The smallest quota from this process's group up to the root. */
static unsigned quota(void) {
    char line[256] = "", group[256] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file != NULL) {
        while (fgets(line, sizeof line, file) != NULL && sscanf(line, "0::%255[^\n]", group) != 1)
            continue;
        fclose(file);
    }
    unsigned smallest = quota_of("");
    while (group[0] == '/' && group[1] != '\0') {
        unsigned here = quota_of(group);
        smallest = here < smallest ? here : smallest;
        *strrchr(group, '/') = '\0';
    }
    return smallest;
}

unsigned bb_cores_available(void) {
    cpu_set_t set;
    unsigned cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        cores = (unsigned)CPU_COUNT(&set);
    unsigned allowed = quota();
    return cores < allowed ? cores : allowed;
}
