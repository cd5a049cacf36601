/* Clocks. Monotonic time for deadlines, wall time for certificates and documents. */
#ifndef BB_BASE_CLOCK_H
#define BB_BASE_CLOCK_H

#include <stdint.h>

int64_t bb_clock_monotonic_ms(void);
int64_t bb_clock_wall_ms(void); /* since 1970-01-01T00:00:00Z */

#endif
