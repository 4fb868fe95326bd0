/* A barrier for a team of threads that all run: it spins, and gives its processor away when the others are late. */
#ifndef RNNKIT_BARRIER_H
#define RNNKIT_BARRIER_H

#include <sched.h>

#if defined(__x86_64__) || defined(__i386__)
#define rnnkit_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define rnnkit_pause() __asm__ __volatile__("yield")
#else
#define rnnkit_pause() ((void)0)
#endif

#define RNNKIT_SPINS 1000 /* about 10 µs: a thread that is late by more is not running, and may need this processor */

/* Zero before first use; the two counters lie on cache lines of their own. */
typedef struct {
    int arrived __attribute__((aligned(64)));
    int phase __attribute__((aligned(64)));
} rnnkit_barrier;

/* Returns when all `team` threads have called it; what each wrote before is then seen by all. */
static inline void rnnkit_wait(rnnkit_barrier *barrier, int team) {
    int phase, spins = 0;
    if (team == 1)
        return;
    phase = __atomic_load_n(&barrier->phase, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == team) {
        __atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&barrier->phase, phase + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&barrier->phase, __ATOMIC_ACQUIRE) == phase) {
        if (++spins < RNNKIT_SPINS)
            rnnkit_pause();
        else
            sched_yield();
    }
}

#endif
