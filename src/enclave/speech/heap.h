/* The worker's heap: what is freed is wiped. */
#ifndef BB_SPEECH_HEAP_H
#define BB_SPEECH_HEAP_H

/* Sets the allocator up; call before threads start. */
void bb_heap_init(void);

#endif
