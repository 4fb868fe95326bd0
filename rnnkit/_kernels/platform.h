/* What plain Cython cannot say: the compiler's instruction set, the thread team, the flush-to-zero bits. */
#ifndef RNNKIT_PLATFORM_H
#define RNNKIT_PLATFORM_H

#ifdef _OPENMP
#include <omp.h>
#define rnnkit_thread() omp_get_thread_num()
#define rnnkit_team() omp_get_num_threads()
#define rnnkit_openmp 1
#else
#define rnnkit_thread() 0
#define rnnkit_team() 1
#define rnnkit_openmp 0
#endif

/* Bytes of a tile's row that, times six rows, fit the vector registers: 24 of 32, or 12 of 16. */
#if defined(__AVX512F__)
#define RNNKIT_TILE_BYTES 256
#elif defined(__AVX__) || defined(__aarch64__)
#define RNNKIT_TILE_BYTES 64
#else
#define RNNKIT_TILE_BYTES 32
#endif

/* Bring a cache line near, to be written too; what it holds is wanted some thousand cycles later. */
#define rnnkit_prefetch(line) __builtin_prefetch(line, 1, 2)

/* A worker computes with denormals as zero, since each costs a hundred cycles, and puts the caller's mode back. */
#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
static inline unsigned rnnkit_flush_denormals(void) {
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ, DAZ */
    return mode;
}
static inline void rnnkit_restore(unsigned mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__) && defined(__GNUC__)
static inline void rnnkit_restore(unsigned mode) {
    /* The upper half of the register is reserved; the clobber keeps what is stored on its side of the change. */
    __asm__ __volatile__("msr fpcr, %0" ::"r"((unsigned long)mode) : "memory");
}
static inline unsigned rnnkit_flush_denormals(void) {
    unsigned long mode;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode));
    rnnkit_restore((unsigned)mode | 1u << 24); /* FZ, of operands and of results */
    return (unsigned)mode;
}
#else
static inline unsigned rnnkit_flush_denormals(void) { return 0; }
static inline void rnnkit_restore(unsigned mode) { (void)mode; }
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
/* What x86-64-v3 has besides vectors; lzcnt is worse than missing elsewhere: it runs as bsr, with another result. */
static inline int rnnkit_has_scalars_of_v3(void) {
    unsigned a, b, c, d, extended;
    return __get_cpuid(1, &a, &b, &c, &d) && __get_cpuid(0x80000001, &a, &b, &extended, &d) &&
           (c >> 22 & 1) && (c >> 29 & 1) && (extended >> 5 & 1); /* movbe, f16c, lzcnt */
}
#endif

/* 4, 3 or 1: the x86-64 level that both the processor and the operating system support (1 elsewhere). */
static inline int rnnkit_level(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (!rnnkit_has_scalars_of_v3())
        return 1;
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
          __builtin_cpu_supports("bmi2")))
        return 1;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return 4;
    return 3;
#else
    return 1;
#endif
}

#endif
