# Elementwise functions of whole registers, and the way in and out of memory.


cdef inline vec get(const real* a) noexcept nogil:
    return (<const vec*>a)[0]


cdef inline void put(real* a, vec v) noexcept nogil:
    (<vec*>a)[0] = v


cdef inline vec ratio(vec x, vec x2) noexcept nogil:
    """x P(x²)/Q(x²), which is tanh(x) in float32 within 3e-7 on [-7.9053, 7.9053] (the minimax fit that Eigen uses)."""
    cdef vec p, q
    p = x2 * splat(<real>-2.76076847742355e-16) + splat(<real>2.00018790482477e-13)
    p = p * x2 + splat(<real>-8.60467152213735e-11)
    p = p * x2 + splat(<real>5.12229709037114e-08)
    p = p * x2 + splat(<real>1.48572235717979e-05)
    p = p * x2 + splat(<real>6.37261928875436e-04)
    p = p * x2 + splat(<real>4.89352455891786e-03)
    q = x2 * splat(<real>1.19825839466702e-06) + splat(<real>1.18534705686654e-04)
    q = q * x2 + splat(<real>2.26843463243900e-03)
    q = q * x2 + splat(<real>4.89352518554385e-03)
    return x * p / q


cdef inline vec tanh_v(vec x) noexcept nogil:
    """tanh: libm's in float64, ``ratio`` in float32, which is 1 from its bound on; NaN stays NaN."""
    cdef int l
    if sizeof(real) == 8:
        for l in range(VL):
            (<real*>&x)[l] = <real>tanh((<real*>&x)[l])
        return x
    x = vmax(splat(<real>-7.90531110763549805), vmin(splat(<real>7.90531110763549805), x))
    return ratio(x, x * x)


cdef inline vec sigmoid_v(vec x) noexcept nogil:
    """σ(x) = ½ + ½ tanh(x/2), which cannot overflow."""
    return splat(<real>0.5) * tanh_v(splat(<real>0.5) * x) + splat(<real>0.5)


cdef inline void spread(real* to, const real* gates, Py_ssize_t n) noexcept nogil:
    """Four gates of n units from a panel without room between them: a group of lanes each, zero beyond n."""
    cdef int q
    for q in range(4):
        load(to + q * LANES, gates + q * n, n)


cdef inline void close_up(real* to, const real* gates, Py_ssize_t n, Py_ssize_t cols) noexcept nogil:
    """The way back, zero from the last gate to the end of the panel."""
    cdef int q
    for q in range(4):
        copy(to + q * n, gates + q * LANES, n)
    memset(to + 4 * n, 0, (cols - 4 * n) * sizeof(real))


cdef inline void blank(real* gates, int groups, Py_ssize_t n) noexcept nogil:
    """Zero in the lanes of each group from the n-th on: units that do not exist."""
    cdef int g, l
    for g in range(groups):
        for l in range(<int>n, LANES):
            gates[g * LANES + l] = 0
