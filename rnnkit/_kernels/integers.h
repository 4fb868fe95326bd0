/* Sums of products of whole numbers of 8 bits: exact, so that every way of taking them gives the same. */
#ifndef RNNKIT_INTEGERS_H
#define RNNKIT_INTEGERS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* Both ways: OUT sums [groups * 16] of vector * weights over 4 * quads rows, quads even, groups 1 to 4.
   IN vector: uint8 [quads][4], each 128 + its number; weights: int8 [quads][groups * 16][4], magnitudes up to 127;
   start [groups * 16]: -128 times the sum of each column, what the 128 add too much. */

#if defined(__AVX512F__) && defined(__x86_64__) && defined(__GNUC__)
#define RNNKIT_VNNI 1
/* Bytes of both kinds multiplied and added by fours, on processors that have it: asked at run time. */
__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) static void
rnnkit_sums_vnni(int groups, ptrdiff_t quads, const uint8_t *vector, const int8_t *weights, const int32_t *start,
                 int32_t *sums) {
    const int32_t *v = (const int32_t *)vector;
    __m512i a[4], b[4];
    ptrdiff_t k;
    int g;
#define RNNKIT_SUMS(G)                                                                                                 \
    for (g = 0; g < G; g++)                                                                                            \
        a[g] = _mm512_loadu_si512(start + 16 * g), b[g] = _mm512_setzero_si512();                                      \
    for (k = 0; k + 1 < quads; k += 2, weights += 128 * G)                                                             \
        for (g = 0; g < G; g++) {                                                                                      \
            a[g] = _mm512_dpbusd_epi32(a[g], _mm512_set1_epi32(v[k]), _mm512_loadu_si512(weights + 64 * g));           \
            b[g] = _mm512_dpbusd_epi32(b[g], _mm512_set1_epi32(v[k + 1]), _mm512_loadu_si512(weights + 64 * (G + g))); \
        }                                                                                                              \
    for (g = 0; g < G; g++)                                                                                            \
        _mm512_storeu_si512(sums + 16 * g, _mm512_add_epi32(a[g], b[g]));
    if (groups == 4) {
        RNNKIT_SUMS(4)
    } else if (groups == 3) {
        RNNKIT_SUMS(3)
    } else if (groups == 2) {
        RNNKIT_SUMS(2)
    } else {
        RNNKIT_SUMS(1)
    }
#undef RNNKIT_SUMS
}
static inline int rnnkit_has_vnni(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
}
#else
#define RNNKIT_VNNI 0
#define rnnkit_sums_vnni rnnkit_sums_plain
#define rnnkit_has_vnni() 0
#endif

#if defined(__AVX2__)
/* |q| times w with the sign of q: two products of 127 * 127 fit 16 bits, so nothing saturates. */
static void rnnkit_sums_plain(int groups, ptrdiff_t quads, const uint8_t *vector, const int8_t *weights,
                              const int32_t *start, int32_t *sums) {
    const __m256i ones = _mm256_set1_epi16(1), middle = _mm256_set1_epi8((char)0x80);
    ptrdiff_t k;
    int g;
    (void)start;
    for (g = 0; g < 2 * groups; g++) { /* 8 columns a register */
        const int8_t *w = weights + 32 * g;
        __m256i sum = _mm256_setzero_si256();
        for (k = 0; k < quads; k++, w += 64 * groups) {
            __m256i q = _mm256_xor_si256(_mm256_set1_epi32(((const int32_t *)vector)[k]), middle);
            __m256i p = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)w), q);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(q), p), ones));
        }
        _mm256_storeu_si256((__m256i *)(sums + 8 * g), sum);
    }
}
#elif defined(__SSE2__)
/* Bytes widened to 16 bits: pairs multiplied and added, two registers for the two halves of four columns. */
static void rnnkit_sums_plain(int groups, ptrdiff_t quads, const uint8_t *vector, const int8_t *weights,
                              const int32_t *start, int32_t *sums) {
    const __m128i middle = _mm_set1_epi8((char)0x80);
    ptrdiff_t k;
    int g;
    (void)start;
    for (g = 0; g < 4 * groups; g++) { /* 4 columns a register */
        const int8_t *w = weights + 16 * g;
        __m128 low, high;
        __m128i a = _mm_setzero_si128(), b = a;
        for (k = 0; k < quads; k++, w += 64 * groups) {
            __m128i q = _mm_xor_si128(_mm_set1_epi32(((const int32_t *)vector)[k]), middle);
            __m128i p = _mm_loadu_si128((const __m128i *)w);
            q = _mm_srai_epi16(_mm_unpacklo_epi8(q, q), 8);
            a = _mm_add_epi32(a, _mm_madd_epi16(_mm_srai_epi16(_mm_unpacklo_epi8(p, p), 8), q));
            b = _mm_add_epi32(b, _mm_madd_epi16(_mm_srai_epi16(_mm_unpackhi_epi8(p, p), 8), q));
        }
        low = _mm_castsi128_ps(a), high = _mm_castsi128_ps(b); /* shuffled as bits only */
        a = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
        b = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
        _mm_storeu_si128((__m128i *)(sums + 4 * g), _mm_add_epi32(a, b));
    }
}
#elif defined(__ARM_NEON) && defined(__aarch64__)
/* Products of 16 bits, added by pairs in 32: two registers for the two halves of four columns. */
static void rnnkit_sums_plain(int groups, ptrdiff_t quads, const uint8_t *vector, const int8_t *weights,
                              const int32_t *start, int32_t *sums) {
    const int8x16_t middle = vdupq_n_s8(-128);
    ptrdiff_t k;
    int g;
    (void)start;
    for (g = 0; g < 4 * groups; g++) { /* 4 columns a register */
        const int8_t *w = weights + 16 * g;
        int32x4_t a = vdupq_n_s32(0), b = a;
        for (k = 0; k < quads; k++, w += 64 * groups) {
            int8x16_t q = veorq_s8(vreinterpretq_s8_s32(vdupq_n_s32(((const int32_t *)vector)[k])), middle);
            int8x16_t p = vld1q_s8(w);
            a = vpadalq_s16(a, vmull_s8(vget_low_s8(p), vget_low_s8(q)));
            b = vpadalq_s16(b, vmull_high_s8(p, q));
        }
        vst1q_s32(sums + 4 * g, vpaddq_s32(a, b));
    }
}
#else
static void rnnkit_sums_plain(int groups, ptrdiff_t quads, const uint8_t *vector, const int8_t *weights,
                              const int32_t *start, int32_t *sums) {
    ptrdiff_t k;
    int c, i;
    (void)start;
    for (c = 0; c < 16 * groups; c++)
        sums[c] = 0;
    for (k = 0; k < quads; k++, vector += 4, weights += 64 * groups)
        for (c = 0; c < 16 * groups; c++)
            for (i = 0; i < 4; i++)
                sums[c] += (vector[i] - 128) * weights[4 * c + i];
}
#endif

#endif
