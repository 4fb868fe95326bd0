# Elementwise functions and copies of one group of lanes.


cdef inline real tanh_(real x) noexcept nogil:
    """tanh: libm's in float64; in float32 a rational approximation of degree 13/6 that vectorises (error 3e-7)."""
    if sizeof(real) == 8:
        return <real>tanh(x)
    # Coefficients: the minimax fit that Eigen uses, which is 1 in float32 from the bound on.
    # NaN fails both comparisons and so stays NaN.
    cdef real bound = <real>7.90531110763549805
    cdef real x2, p, q
    x = bound if x > bound else x
    x = -bound if x < -bound else x
    x2 = x * x
    p = <real>-2.76076847742355e-16
    p = p * x2 + <real>2.00018790482477e-13
    p = p * x2 + <real>-8.60467152213735e-11
    p = p * x2 + <real>5.12229709037114e-08
    p = p * x2 + <real>1.48572235717979e-05
    p = p * x2 + <real>6.37261928875436e-04
    p = p * x2 + <real>4.89352455891786e-03
    p = p * x
    q = <real>1.19825839466702e-06
    q = q * x2 + <real>1.18534705686654e-04
    q = q * x2 + <real>2.26843463243900e-03
    q = q * x2 + <real>4.89352518554385e-03
    return p / q


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
