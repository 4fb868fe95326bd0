/* A vector register as a type of its own: the compiler's vector extension, as wide as the instruction set. */
#ifndef RNNKIT_LANES_H
#define RNNKIT_LANES_H

#if defined(__AVX512F__)
#include <immintrin.h>
#define RNNKIT_VECTOR 64
#define RNNKIT_MIN_F32(a, b) _mm512_min_ps((__m512)(a), (__m512)(b))
#define RNNKIT_MAX_F32(a, b) _mm512_max_ps((__m512)(a), (__m512)(b))
#elif defined(__AVX__)
#include <immintrin.h>
#define RNNKIT_VECTOR 32
#define RNNKIT_MIN_F32(a, b) _mm256_min_ps((__m256)(a), (__m256)(b))
#define RNNKIT_MAX_F32(a, b) _mm256_max_ps((__m256)(a), (__m256)(b))
#else
#define RNNKIT_VECTOR 16
#if defined(__SSE2__)
#include <emmintrin.h>
#define RNNKIT_MIN_F32(a, b) _mm_min_ps((__m128)(a), (__m128)(b))
#define RNNKIT_MAX_F32(a, b) _mm_max_ps((__m128)(a), (__m128)(b))
#endif
#endif

/* Numbers lie anywhere in memory, and are numbers there: unaligned, and may be seen as scalars too. */
typedef float rnnkit_f32 __attribute__((vector_size(RNNKIT_VECTOR), aligned(4), may_alias));
typedef double rnnkit_f64 __attribute__((vector_size(RNNKIT_VECTOR), aligned(8), may_alias));
#define RNNKIT_LANES_F32 (RNNKIT_VECTOR / 4)
#define RNNKIT_LANES_F64 (RNNKIT_VECTOR / 8)

static inline rnnkit_f32 rnnkit_splat_f32(float a) { return a - (rnnkit_f32){0}; }
static inline rnnkit_f64 rnnkit_splat_f64(double a) { return a - (rnnkit_f64){0}; }

/* a where the comparison holds, else b. */
#define RNNKIT_PICK(type, mask, a, b) ((type)(((mask) & (__typeof__(mask))(a)) | (~(mask) & (__typeof__(mask))(b))))

/* a < b ? a : b and a > b ? a : b, so that a NaN in b stays. */
#ifdef RNNKIT_MIN_F32
static inline rnnkit_f32 rnnkit_min_f32(rnnkit_f32 a, rnnkit_f32 b) { return (rnnkit_f32)RNNKIT_MIN_F32(a, b); }
static inline rnnkit_f32 rnnkit_max_f32(rnnkit_f32 a, rnnkit_f32 b) { return (rnnkit_f32)RNNKIT_MAX_F32(a, b); }
#else
static inline rnnkit_f32 rnnkit_min_f32(rnnkit_f32 a, rnnkit_f32 b) { return RNNKIT_PICK(rnnkit_f32, a < b, a, b); }
static inline rnnkit_f32 rnnkit_max_f32(rnnkit_f32 a, rnnkit_f32 b) { return RNNKIT_PICK(rnnkit_f32, a > b, a, b); }
#endif
static inline rnnkit_f64 rnnkit_min_f64(rnnkit_f64 a, rnnkit_f64 b) { return RNNKIT_PICK(rnnkit_f64, a < b, a, b); }
static inline rnnkit_f64 rnnkit_max_f64(rnnkit_f64 a, rnnkit_f64 b) { return RNNKIT_PICK(rnnkit_f64, a > b, a, b); }

/* d where h > 0, else 0. */
static inline rnnkit_f32 rnnkit_above_f32(rnnkit_f32 h, rnnkit_f32 d) {
    return RNNKIT_PICK(rnnkit_f32, h > (rnnkit_f32){0}, d, (rnnkit_f32){0});
}
static inline rnnkit_f64 rnnkit_above_f64(rnnkit_f64 h, rnnkit_f64 d) {
    return RNNKIT_PICK(rnnkit_f64, h > (rnnkit_f64){0}, d, (rnnkit_f64){0});
}

/* 1 where n >= 1/2, else d. */
static inline rnnkit_f32 rnnkit_one_from_half_f32(rnnkit_f32 n, rnnkit_f32 d) {
    return RNNKIT_PICK(rnnkit_f32, n >= (rnnkit_f32){0} + 0.5f, (rnnkit_f32){0} + 1.0f, d);
}
static inline rnnkit_f64 rnnkit_one_from_half_f64(rnnkit_f64 n, rnnkit_f64 d) {
    return RNNKIT_PICK(rnnkit_f64, n >= (rnnkit_f64){0} + 0.5, (rnnkit_f64){0} + 1.0, d);
}

/* e^x for x <= 0 in float32 within 1e-7 of its value: 2^k e^r, |r| <= ln(2)/2, e^r by its Taylor sum; 0 below -87.9. */
typedef int rnnkit_i32 __attribute__((vector_size(RNNKIT_VECTOR), aligned(4), may_alias));
static inline __attribute__((always_inline)) rnnkit_f32 rnnkit_exp_f32(rnnkit_f32 x) {
    x = rnnkit_max_f32((rnnkit_f32){0} - 87.9f, x);
    rnnkit_f32 whole = x * 1.44269504f + 12582912.0f; /* k in its last digits: a NaN has some too, but stays in r */
    rnnkit_f32 k = whole - 12582912.0f, r = x - k * 0.693359375f - k * -2.12194440e-4f, e;
    e = r * (1 / 5040.0f) + 1 / 720.0f;
    e = e * r + 1 / 120.0f;
    e = e * r + 1 / 24.0f;
    e = e * r + 1 / 6.0f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    return e * (rnnkit_f32)(((rnnkit_i32)whole + 127) << 23);
}

/* x P(x²)/Q(x²), which is tanh(x) in float32 within 3e-7 on [-7.9053, 7.9053] (the minimax fit that Eigen uses): for one
 * number and, in the same operations, for a register of them. */
#define RNNKIT_RATIO(name, type, real)                                                                                 \
    static inline __attribute__((always_inline)) type name(type x) {                                                   \
        type x2 = x * x, p, q;                                                                                         \
        p = x2 * (real)-2.76076847742355e-16 + (real)2.00018790482477e-13;                                             \
        p = p * x2 + (real)-8.60467152213735e-11;                                                                      \
        p = p * x2 + (real)5.12229709037114e-08;                                                                       \
        p = p * x2 + (real)1.48572235717979e-05;                                                                       \
        p = p * x2 + (real)6.37261928875436e-04;                                                                       \
        p = p * x2 + (real)4.89352455891786e-03;                                                                       \
        q = x2 * (real)1.19825839466702e-06 + (real)1.18534705686654e-04;                                              \
        q = q * x2 + (real)2.26843463243900e-03;                                                                       \
        q = q * x2 + (real)4.89352518554385e-03;                                                                       \
        return x * p / q;                                                                                              \
    }
RNNKIT_RATIO(rnnkit_ratio_float, float, float)
RNNKIT_RATIO(rnnkit_ratio_double, double, double)
RNNKIT_RATIO(rnnkit_ratio_f32, rnnkit_f32, float)
RNNKIT_RATIO(rnnkit_ratio_f64, rnnkit_f64, double)

#endif
