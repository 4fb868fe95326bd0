/* Products of bfloat16 numbers with float32 sums (AVX512-BF16), and the way of float32 numbers into pairs of them.
 *
 * The instruction multiplies pairs, so K runs two numbers at a time: a row of A holds its pairs one after the other,
 * row k of a panel P holds the pair (2k, 2k+1) of each column side by side, LANES columns to a register.
 * Only compiled where the compiler may use AVX-512, only called where rnnkit_has_bfloat16() says so. */
#ifndef RNNKIT_BFLOAT16_H
#define RNNKIT_BFLOAT16_H

#include <stdint.h>
#include <stddef.h>
#include <string.h>

typedef uint16_t rnnkit_half;

#if defined(__AVX512F__) && defined(__GNUC__) && !defined(RNNKIT_NO_BFLOAT16)
#include <immintrin.h>

#define RNNKIT_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define RNNKIT_BF16_INLINE static inline __attribute__((always_inline)) RNNKIT_BF16

static int rnnkit_has_bfloat16(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") != 0;
}

/* C[rows, 16 groups] += A P with K = 2 × runs × run.  IN A: where each row begins, its pair k of run n at
 * n*a_run + k*a_k halves; P: a pair of every column per row, ldp halves apart.  INOUT C: rows of 64 floats. */
RNNKIT_BF16_INLINE void rnnkit_dot_tile(const int rows, const int groups, ptrdiff_t runs, ptrdiff_t run,
                                        const rnnkit_half *const *A, ptrdiff_t a_k, ptrdiff_t a_run,
                                        const rnnkit_half *P, ptrdiff_t ldp, float *C) {
    __m512 sum[6][4];
    const rnnkit_half *row[6];
    int r, g;
    ptrdiff_t n, k, at;
#pragma GCC unroll 6
    for (r = 0; r < rows; r++) {
        row[r] = A[r];
#pragma GCC unroll 4
        for (g = 0; g < groups; g++)
            sum[r][g] = _mm512_loadu_ps(C + 64 * r + 16 * g);
    }
    for (n = 0; n < runs; n++) {
        at = 0;
        for (k = 0; k < run; k++) {
            __m512bh p[4];
#pragma GCC unroll 4
            for (g = 0; g < groups; g++)
                p[g] = (__m512bh)_mm512_loadu_si512(P + 32 * g);
#pragma GCC unroll 6
            for (r = 0; r < rows; r++) {
                int32_t pair;
                __m512bh a;
                memcpy(&pair, row[r] + at, sizeof(pair));
                a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
                for (g = 0; g < groups; g++)
                    sum[r][g] = _mm512_dpbf16_ps(sum[r][g], a, p[g]);
            }
            at += a_k;
            P += ldp;
        }
#pragma GCC unroll 6
        for (r = 0; r < rows; r++)
            row[r] += a_run;
    }
#pragma GCC unroll 6
    for (r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (g = 0; g < groups; g++)
            _mm512_storeu_ps(C + 64 * r + 16 * g, sum[r][g]);
}

#define RNNKIT_DOT_CASE(rows, groups)                                                                                  \
    case 8 * rows + groups:                                                                                            \
        rnnkit_dot_tile(rows, groups, runs, run, A, a_k, a_run, P, ldp, C);                                            \
        break;
#define RNNKIT_DOT_CASES(rows)                                                                                         \
    RNNKIT_DOT_CASE(rows, 1) RNNKIT_DOT_CASE(rows, 2) RNNKIT_DOT_CASE(rows, 3) RNNKIT_DOT_CASE(rows, 4)

RNNKIT_BF16 static void rnnkit_dot(int rows, int groups, ptrdiff_t runs, ptrdiff_t run, const rnnkit_half *const *A,
                                   ptrdiff_t a_k, ptrdiff_t a_run, const rnnkit_half *P, ptrdiff_t ldp, float *C) {
    switch (8 * rows + groups) {
        RNNKIT_DOT_CASES(1)
        RNNKIT_DOT_CASES(2)
        RNNKIT_DOT_CASES(3)
        RNNKIT_DOT_CASES(4)
        RNNKIT_DOT_CASES(5)
        RNNKIT_DOT_CASES(6)
    }
}

RNNKIT_BF16_INLINE __m256i rnnkit_rounded(__m512 a) { return (__m256i)_mm512_cvtneps_pbh(a); }

/* n float32 numbers rounded to the nearest bfloat16, ties to even; may lie where they came from. */
RNNKIT_BF16 static void rnnkit_round(rnnkit_half *to, const float *a, ptrdiff_t n) {
    for (; n >= 16; n -= 16, a += 16, to += 16)
        _mm256_storeu_si256((__m256i *)to, rnnkit_rounded(_mm512_loadu_ps(a)));
    if (n > 0) {
        __mmask16 some = (__mmask16)((1u << n) - 1);
        _mm256_mask_storeu_epi16(to, some, rnnkit_rounded(_mm512_maskz_loadu_ps(some, a)));
    }
}

/* 16 pairs, (a, b) of each lane side by side. */
RNNKIT_BF16_INLINE __m512i rnnkit_zip(__m256i a, __m256i b) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(a), _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
}

/* Two rows of n numbers, rounded and zipped into whole groups of 16 pairs; NULL stands for zeros. */
RNNKIT_BF16 static void rnnkit_zip_rows(rnnkit_half *to, const float *a, const float *b, ptrdiff_t n) {
    const __m256i none = _mm256_setzero_si256();
    ptrdiff_t i;
    for (i = 0; i < n; i += 16) {
        __mmask16 some = n - i >= 16 ? 0xFFFF : (__mmask16)((1u << (n - i)) - 1);
        _mm512_storeu_si512(to + 2 * i, rnnkit_zip(a ? rnnkit_rounded(_mm512_maskz_loadu_ps(some, a + i)) : none,
                                                   b ? rnnkit_rounded(_mm512_maskz_loadu_ps(some, b + i)) : none));
    }
}

/* The same of rows that are rounded already, whole groups each. */
RNNKIT_BF16 static void rnnkit_zip_halves(rnnkit_half *to, const rnnkit_half *a, const rnnkit_half *b, ptrdiff_t n) {
    const __m256i none = _mm256_setzero_si256();
    ptrdiff_t i;
    for (i = 0; i < n; i += 16)
        _mm512_storeu_si512(to + 2 * i, rnnkit_zip(a ? _mm256_loadu_si256((const __m256i *)(a + i)) : none,
                                                   b ? _mm256_loadu_si256((const __m256i *)(b + i)) : none));
}

/* sum += the n numbers (whole groups of 16) of a rounded row. */
RNNKIT_BF16 static void rnnkit_add_halves(float *sum, const rnnkit_half *a, ptrdiff_t n) {
    ptrdiff_t i;
    for (i = 0; i < n; i += 16) {
        __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(a + i))), 16);
        _mm512_storeu_ps(sum + i, _mm512_add_ps(_mm512_loadu_ps(sum + i), _mm512_castsi512_ps(bits)));
    }
}

#else

static int rnnkit_has_bfloat16(void) { return 0; }
#define rnnkit_dot(rows, groups, runs, run, A, a_k, a_run, P, ldp, C) ((void)0)
#define rnnkit_round(to, a, n) ((void)0)
#define rnnkit_zip_rows(to, a, b, n) ((void)0)
#define rnnkit_zip_halves(to, a, b, n) ((void)0)
#define rnnkit_add_halves(sum, a, n) ((void)0)

#endif
#endif
