# Layer normalisation of rows, there and back.
#
# Back, with d = dy ⊙ gain: dx = inverse·(d − mean(d) − x̂·mean(d ⊙ x̂)), dgain = Σ dy ⊙ x̂, dshift = Σ dy.  The sums over
# rows are made in PARTS stretches of rows, whoever makes them, and added in their order.

cdef enum:
    PARTS = 16  # operations.PARTS

cdef struct Norm:
    const real* x  # IN [N,K]
    const real* gain  # IN [K]
    const real* shift  # IN [K]
    real* y  # OUT [N,K]
    real* stats  # [N,2]: mean and inverse; OUT on the way there, IN on the way back
    const real* dy  # IN [N,K]
    real* dx  # OUT [N,K], may be dy
    real* sums  # scratch [PARTS,2,K]: dgain and dshift of each part
    Py_ssize_t N, K


cdef void norm_share(const Norm* s, int thread, int team) noexcept nogil:
    cdef Py_ssize_t i, K = s.K
    cdef unsigned mode = rnnkit_flush_denormals()
    for i in range(s.N * thread // team, s.N * (thread + 1) // team):
        normalise(s.x + i * K, K, s.gain, s.shift, s.y + i * K, s.stats + 2 * i)
    rnnkit_restore(mode)


cdef void norm_row_back(const real* x, const real* dy, Py_ssize_t K, const real* gain, const real* stats, real* dx,
                        real* sums) noexcept nogil:
    """INOUT ``sums [2,K]``: what the row adds to the gradients of gain and shift."""
    cdef real a[LANES]
    cdef real d[LANES]
    cdef real g[LANES]
    cdef real s[LANES]
    cdef real ones[LANES]
    cdef real hats[LANES]
    cdef real mean = stats[0], inverse = stats[1], along, across
    cdef Py_ssize_t j, n
    cdef int l
    memset(ones, 0, sizeof(ones))
    memset(hats, 0, sizeof(hats))
    for j from 0 <= j < K by LANES:
        n = least(LANES, K - j)
        centred(a, x + j, mean, n)
        load(d, dy + j, n)
        load(g, gain + j, n)
        load(s, sums + j, n)
        for l in range(LANES):
            a[l] *= inverse
            s[l] += d[l] * a[l]
            g[l] *= d[l]
            ones[l] += g[l]
            hats[l] += g[l] * a[l]
        copy(sums + j, s, n)
        load(s, sums + K + j, n)
        for l in range(LANES):
            s[l] += d[l]
        copy(sums + K + j, s, n)
    along = lanes_sum(ones) / K
    across = lanes_sum(hats) / K
    for j from 0 <= j < K by LANES:
        n = least(LANES, K - j)
        centred(a, x + j, mean, n)
        load(d, dy + j, n)
        load(g, gain + j, n)
        for l in range(LANES):
            d[l] = inverse * (d[l] * g[l] - along - a[l] * inverse * across)
        copy(dx + j, d, n)


cdef void norm_back_share(const Norm* s, int thread, int team) noexcept nogil:
    cdef Py_ssize_t p, i, K = s.K
    cdef real* sums
    cdef unsigned mode = rnnkit_flush_denormals()
    for p in range(PARTS * thread // team, PARTS * (thread + 1) // team):
        sums = s.sums + 2 * p * K
        memset(sums, 0, 2 * K * sizeof(real))
        for i in range(s.N * p // PARTS, s.N * (p + 1) // PARTS):
            norm_row_back(s.x + i * K, s.dy + i * K, K, s.gain, s.stats + 2 * i, s.dx + i * K, sums)
    rnnkit_restore(mode)


def layer_norm(const real[:, ::1] x, const real[::1] gain, const real[::1] shift, real[:, ::1] y, real[:, ::1] stats,
               int threads):
    cdef Norm s
    cdef int team
    s.N, s.K = x.shape[0], x.shape[1]
    if s.N == 0:
        return
    s.x, s.gain, s.shift, s.y, s.stats = &x[0, 0], &gain[0], &shift[0], &y[0, 0], &stats[0, 0]
    with nogil:
        team = team_size(threads, s.N, <double>EACH * s.N * s.K)
        if team == 1:
            norm_share(&s, 0, 1)
        else:
            with parallel(num_threads=team):
                norm_share(&s, rnnkit_thread(), rnnkit_team())


def layer_norm_backward(const real[:, ::1] x, const real[::1] gain, real[:, ::1] stats, const real[:, ::1] dy,
                        real[:, ::1] dx, real[:, :, ::1] sums, real[::1] dgain, real[::1] dshift, int threads):
    cdef Norm s
    cdef int team
    cdef Py_ssize_t p, j
    s.N, s.K = x.shape[0], x.shape[1]
    if s.N == 0:
        return
    s.x, s.gain, s.stats, s.dy, s.dx, s.sums = &x[0, 0], &gain[0], &stats[0, 0], &dy[0, 0], &dx[0, 0], &sums[0, 0, 0]
    with nogil:
        team = team_size(threads, PARTS, <double>EACH * s.N * s.K)
        if team == 1:
            norm_back_share(&s, 0, 1)
        else:
            with parallel(num_threads=team):
                norm_back_share(&s, rnnkit_thread(), rnnkit_team())
        for p in range(PARTS):
            for j in range(s.K):
                dgain[j] += sums[p, 0, j]
                dshift[j] += sums[p, 1, j]
