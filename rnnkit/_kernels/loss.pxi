# Softmax and cross-entropy, a row at a time: maximum, exponentials, their sum, the loss and its gradient.
#
# Groups of lanes pass through local arrays, so the gradient may be written where the logits stand; what is left of a
# row is filled up with −∞, whose exponential is 0.

cdef enum:
    STRETCH = 32 * LANES  # columns that are summed in `real`

cdef extern from "math.h" nogil:
    real INFINITY


cdef inline void exps(real* e) noexcept nogil:
    """exp of a group of numbers that are at most 0, in place: libm's in float64.

    In float32 eˣ = 2ⁿ eʳ with n the integer nearest to x/ln 2, r = x − n ln 2 in two parts and the polynomial of
    degree 7 of Cephes' expf for eʳ (error 1e-7 of the value).  Below −87, about the smallest normal number, 0.
    """
    cdef float t[LANES]
    cdef float s[LANES]
    cdef uint32_t bits[LANES]
    cdef float n, r, p, x
    cdef float magic = 12582912.0  # 1.5·2²³: added to a number, it leaves the nearest integer in the last bits
    cdef int l
    if sizeof(real) == 8:
        for l in range(LANES):
            e[l] = <real>exp(e[l])
        return
    for l in range(LANES):
        t[l] = <float>e[l] * <float>1.44269504088896341 + magic
    memcpy(bits, t, sizeof(t))
    for l in range(LANES):
        bits[l] = (bits[l] << 23) + <uint32_t>0x3F800000
    memcpy(s, bits, sizeof(t))  # 2ⁿ
    for l in range(LANES):
        x = <float>e[l]
        n = t[l] - magic
        r = x - n * <float>0.693359375
        r = r + n * <float>2.12194440e-4
        p = <float>1.9875691500e-4
        p = p * r + <float>1.3981999507e-3
        p = p * r + <float>8.3334519073e-3
        p = p * r + <float>4.1665795894e-2
        p = p * r + <float>1.6666665459e-1
        p = p * r + <float>5.0000001201e-1
        p = p * (r * r) + r + <float>1.0
        p = p * s[l]
        e[l] = 0 if x < <float>-87.0 else p


cdef inline real largest(const real* z, Py_ssize_t K) noexcept nogil:
    """The maximum, NaN left out: its exponential shows in the sum."""
    cdef real m[LANES]
    cdef Py_ssize_t j, whole = K // LANES * LANES
    cdef int l
    cdef real top = -INFINITY
    for j in range(whole, K):
        top = z[j] if z[j] > top else top
    if whole > 0:
        memcpy(m, z, sizeof(m))
        for l in range(LANES):  # a NaN at the beginning would stay
            m[l] = m[l] if m[l] > top else top
        for j from LANES <= j < whole by LANES:
            for l in range(LANES):
                m[l] = z[j + l] if z[j + l] > m[l] else m[l]
        top = lanes_max(m)
    return top


cdef inline void raise_group(const real* z, real m, real* g, real* total) noexcept nogil:
    """e^(z − m) of a whole group, added to the lanes of ``total`` and kept in g."""
    cdef real e[LANES]
    cdef int l
    memcpy(e, z, sizeof(e))
    for l in range(LANES):
        e[l] -= m
    exps(e)
    for l in range(LANES):
        total[l] += e[l]
    if g != NULL:
        memcpy(g, e, sizeof(e))


cdef double raise_row(const real* z, Py_ssize_t K, real m, real* g) noexcept nogil:
    """e^(z − m) of a row into g, in place if that is z; returns their sum: stretches in `real`, then in float64."""
    cdef real total[LANES]
    cdef real rest[LANES]
    cdef double result = 0
    cdef Py_ssize_t j, k, whole = K // LANES * LANES
    cdef int l, n = <int>(K - whole)
    for k from 0 <= k < whole by STRETCH:
        memset(total, 0, sizeof(total))
        for j from k <= j < least(k + STRETCH, whole) by LANES:
            raise_group(z + j, m, g + j if g != NULL else NULL, total)
        result += lanes_sum(total)
    if n > 0:
        for l in range(LANES):
            rest[l] = -INFINITY
        for l in range(n):
            rest[l] = z[whole + l]
        memset(total, 0, sizeof(total))
        raise_group(rest, m, rest, total)
        result += lanes_sum(total)
        if g != NULL:
            for l in range(n):
                g[whole + l] = rest[l]
    return result


cdef void scale_row(real* g, Py_ssize_t K, real factor, real less) noexcept nogil:
    """g ← factor·g − less."""
    cdef Py_ssize_t j
    for j in range(K):
        g[j] = factor * g[j] - less


# What the rows share.
cdef struct Softmax:
    const real* z
    const Py_ssize_t* ids
    Py_ssize_t N, K
    const double* weight  # of each row; NULL: 1
    double scale, smooth
    real* g  # NULL: only the losses
    double* losses  # of each row, times its weight


cdef void softmax_row(const Softmax* s, Py_ssize_t row) noexcept nogil:
    cdef const real* z = s.z + row * s.K
    cdef real* g = s.g + row * s.K if s.g != NULL else NULL
    cdef double w = s.weight[row] if s.weight != NULL else 1.0
    cdef double total, spread = 0, expected, share
    cdef real m
    cdef Py_ssize_t K = s.K, k
    if w == 0:
        if g != NULL:
            memset(g, 0, K * sizeof(real))
        s.losses[row] = 0
        return
    m = largest(z, K)
    expected = (1 - s.smooth) * <double>(z[s.ids[row]] - m)  # before the gradient may overwrite it
    if s.smooth != 0:
        for k in range(K):
            spread += <double>(z[k] - m)
        expected += s.smooth * (spread / K)
    total = raise_row(z, K, m, g)
    s.losses[row] = w * (log(total) - expected)
    if g != NULL:
        share = w * s.scale
        scale_row(g, K, <real>(share / total), <real>(share * (s.smooth / K)))
        g[s.ids[row]] -= <real>(share * (1 - s.smooth))


cdef void softmax_share(const Softmax* s, int thread, int team) noexcept nogil:
    cdef Py_ssize_t row
    cdef unsigned mode = rnnkit_flush_denormals()
    for row in range(s.N * thread // team, s.N * (thread + 1) // team):
        softmax_row(s, row)
    rnnkit_restore(mode)


def softmax_cross_entropy(const real[:, ::1] z, const Py_ssize_t[::1] ids, const double[::1] weight, double scale,
                          double smooth, g, double[::1] losses, int threads):
    cdef Softmax s
    cdef real[:, ::1] g_ = g
    cdef int team
    s.N, s.K = z.shape[0], z.shape[1]
    if s.N == 0:
        return
    s.z, s.ids, s.losses, s.scale, s.smooth = &z[0, 0], &ids[0], &losses[0], scale, smooth
    s.weight = &weight[0] if weight is not None else NULL
    s.g = &g_[0, 0] if g is not None else NULL
    with nogil:
        team = team_size(threads, s.N, <double>EACH * s.N * (s.K + 2 * LANES))
        if team == 1:
            softmax_share(&s, 0, 1)
        else:
            with parallel(num_threads=team):
                softmax_share(&s, rnnkit_thread(), rnnkit_team())
