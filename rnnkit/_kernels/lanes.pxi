# Elementwise functions of whole registers, and the way in and out of memory.


cdef inline vec get(const real* a) noexcept nogil:
    return (<const vec*>a)[0]


cdef inline void put(real* a, vec v) noexcept nogil:
    (<vec*>a)[0] = v


cdef inline vec tanh_v(vec x) noexcept nogil:
    """``tanh_`` of every lane."""
    cdef int l
    if sizeof(real) == 8:
        for l in range(VL):
            (<real*>&x)[l] = <real>tanh((<real*>&x)[l])
        return x
    x = vmax(splat(<real>-7.90531110763549805), vmin(splat(<real>7.90531110763549805), x))
    return ratio_v(x)


cdef inline vec exp_v(vec x) noexcept nogil:
    """e^x of every lane for x ≤ 0; libm's in float64."""
    cdef int l
    if sizeof(real) == 8:
        for l in range(VL):
            (<real*>&x)[l] = <real>exp((<real*>&x)[l])
        return x
    return <vec>rnnkit_exp_f32(<rnnkit_f32>x)


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
