# Softmax and cross-entropy, a row at a time: maximum, exponentials, their sum, the loss and its gradient.
#
# A row, or a part of it, is copied into a buffer of whole groups whose last lanes are −∞: their exponentials are 0,
# the loops have no ends, and the gradient may be written where the logits stand.

cdef enum:
    WIDTH = 512  # columns in the buffer

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


cdef Py_ssize_t fill(real* buffer, const real* z, Py_ssize_t n) noexcept nogil:
    """n <= WIDTH columns and −∞ up to whole groups; returns their number."""
    cdef Py_ssize_t whole = groups_up(n), j
    for j in range(whole - LANES, whole):
        buffer[j] = -INFINITY
    memcpy(buffer, z, n * sizeof(real))
    return whole


cdef real largest(const real* buffer, Py_ssize_t whole, real so_far) noexcept nogil:
    """The maximum, NaN left out: its exponential shows in the sum."""
    cdef real m[LANES]
    cdef Py_ssize_t j
    cdef int l
    for l in range(LANES):
        m[l] = so_far
    for j from 0 <= j < whole by LANES:
        for l in range(LANES):
            m[l] = buffer[j + l] if buffer[j + l] > m[l] else m[l]
    return lanes_max(m)


cdef double raise_all(real* buffer, Py_ssize_t whole, real m) noexcept nogil:
    """e^(z − m) in place; returns their sum: lanes of at most WIDTH columns in `real`, then float64."""
    cdef real total[LANES]
    cdef real e[LANES]
    cdef Py_ssize_t j
    cdef int l
    memset(total, 0, sizeof(total))
    for j from 0 <= j < whole by LANES:
        for l in range(LANES):
            e[l] = buffer[j + l] - m
        exps(e)
        for l in range(LANES):
            total[l] += e[l]
        memcpy(buffer + j, e, sizeof(e))
    return lanes_sum(total)


cdef void scale_all(real* buffer, Py_ssize_t whole, real factor, real less) noexcept nogil:
    """e ← factor·e − less."""
    cdef Py_ssize_t j
    for j in range(whole):
        buffer[j] = factor * buffer[j] - less


# What the rows share.
cdef struct Softmax:
    const real* z
    const Py_ssize_t* ids
    Py_ssize_t N, K
    const double* weight  # of each row; NULL: 1
    double scale, smooth
    real* g  # NULL: only the losses
    double* losses  # of each row, times its weight


cdef void softmax_row(const Softmax* s, Py_ssize_t row, real* buffer) noexcept nogil:
    cdef const real* z = s.z + row * s.K
    cdef real* g = s.g + row * s.K if s.g != NULL else NULL
    cdef double w = s.weight[row] if s.weight != NULL else 1.0
    cdef double total = 0, spread = 0, expected, share
    cdef real m = -INFINITY, at
    cdef Py_ssize_t K = s.K, j, n, whole = 0, i
    if w == 0:
        if g != NULL:
            memset(g, 0, K * sizeof(real))
        s.losses[row] = 0
        return
    for j from 0 <= j < K by WIDTH:
        whole = fill(buffer, z + j, least(WIDTH, K - j))
        m = largest(buffer, whole, m)
    at = z[s.ids[row]] - m  # before the gradient may overwrite it
    expected = (1 - s.smooth) * <double>at
    if s.smooth != 0:
        for i in range(K):
            spread += <double>(z[i] - m)
        expected += s.smooth * (spread / K)
    for j from 0 <= j < K by WIDTH:
        n = least(WIDTH, K - j)
        if K > WIDTH:
            whole = fill(buffer, z + j, n)
        total += raise_all(buffer, whole, m)
        if K > WIDTH and g != NULL:
            memcpy(g + j, buffer, n * sizeof(real))
    s.losses[row] = w * (log(total) - expected)
    if g == NULL:
        return
    share = w * s.scale
    for j from 0 <= j < K by WIDTH:
        n = least(WIDTH, K - j)
        if K > WIDTH:
            whole = fill(buffer, g + j, n)
        scale_all(buffer, whole, <real>(share / total), <real>(share * (s.smooth / K)))
        memcpy(g + j, buffer, n * sizeof(real))
    g[s.ids[row]] -= <real>(share * (1 - s.smooth))


cdef void softmax_share(const Softmax* s, int thread, int team) noexcept nogil:
    cdef real buffer[WIDTH]
    cdef Py_ssize_t row
    cdef unsigned mode = rnnkit_flush_denormals()
    for row in range(s.N * thread // team, s.N * (thread + 1) // team):
        softmax_row(s, row, buffer)
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
