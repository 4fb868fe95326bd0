# One row of layer normalisation (Ba et al. 2016): y = gain ⊙ x̂ + shift with x̂ = (x − mean)·inverse and
# inverse = 1/√(var + ε).  Training and generation share it, so that both make the same sums.
from libc.math cimport sqrt

cdef extern from "math.h" nogil:
    float sqrtf(float)


cdef inline real root(real x) noexcept nogil:
    return <real>sqrt(x) if sizeof(real) == 8 else <real>sqrtf(<float>x)


cdef inline void centred(real* a, const real* x, real mean, Py_ssize_t n) noexcept nogil:
    """x − mean of n <= LANES numbers, zero beyond them."""
    cdef int l
    load(a, x, n)
    for l in range(LANES):
        a[l] -= mean
    for l in range(<int>n, LANES):
        a[l] = 0


cdef void normalise(const real* x, Py_ssize_t K, const real* gain, const real* shift, real* y,
                    real* stats) noexcept nogil:
    """IN ``x [K]``; OUT ``y [K]`` and ``stats``: mean and inverse, or NULL."""
    cdef real a[LANES]
    cdef real b[LANES]
    cdef real g[LANES]
    cdef real mean, inverse
    cdef Py_ssize_t j, n
    cdef int l
    memset(b, 0, sizeof(b))
    for j from 0 <= j < K by LANES:
        load(a, x + j, least(LANES, K - j))
        for l in range(LANES):
            b[l] += a[l]
    mean = lanes_sum(b) / K
    memset(b, 0, sizeof(b))
    for j from 0 <= j < K by LANES:
        centred(a, x + j, mean, least(LANES, K - j))
        for l in range(LANES):
            b[l] += a[l] * a[l]
    inverse = 1 / root(lanes_sum(b) / K + <real>1e-5)  # ε: operations.EPSILON
    for j from 0 <= j < K by LANES:
        n = least(LANES, K - j)
        centred(a, x + j, mean, n)
        load(g, gain + j, n)
        load(b, shift + j, n)
        for l in range(LANES):
            b[l] += a[l] * inverse * g[l]
        copy(y + j, b, n)
    if stats != NULL:
        stats[0] = mean
        stats[1] = inverse
