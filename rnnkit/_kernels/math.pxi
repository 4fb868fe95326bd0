# Elementwise functions and copies of one group of lanes.


cdef inline real tanh_(real x) noexcept nogil:
    """tanh: libm's in float64, ``ratio`` in float32, which is 1 from its bound on; NaN fails both tests and so stays."""
    cdef real bound = <real>7.90531110763549805
    if sizeof(real) == 8:
        return <real>tanh(x)
    x = bound if x > bound else x
    x = -bound if x < -bound else x
    return ratio(x)


cdef inline real sigmoid(real x) noexcept nogil:
    """σ(x) = ½ + ½ tanh(x/2), which cannot overflow."""
    return <real>0.5 * tanh_(<real>0.5 * x) + <real>0.5


cdef inline void copy(real* to, const real* source, Py_ssize_t n) noexcept nogil:
    """Copies n <= LANES numbers; the full group is the fast path."""
    if n == LANES:
        memcpy(to, source, LANES * sizeof(real))
    else:
        memcpy(to, source, n * sizeof(real))


cdef inline void load(real* to, const real* source, Py_ssize_t n) noexcept nogil:
    """Copies n <= LANES numbers into a whole group, zero beyond them."""
    if n == LANES:
        memcpy(to, source, LANES * sizeof(real))
    else:
        memset(to, 0, LANES * sizeof(real))
        memcpy(to, source, n * sizeof(real))


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t groups_up(Py_ssize_t n) noexcept nogil:
    """n rounded up to whole groups of lanes."""
    return (n + LANES - 1) // LANES * LANES
