/* How many processor cores this process may really use. */
#ifndef BB_SPEECH_CORES_H
#define BB_SPEECH_CORES_H

/* Cores of the affinity mask, cut to the control group's CPU quota (cgroup v2) where there is one; ≥ 1. */
unsigned bb_cores_available(void);

#endif
