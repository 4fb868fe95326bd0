# Optimisers and the norm of the gradient, each in one pass over the flat vectors.

cdef enum:
    BLOCK = 4096  # elements whose squares are summed together
    SGD, RMSPROP, ADAM

RULES = {"sgd": SGD, "rmsprop": RMSPROP, "adam": ADAM}


# One step: INOUT p and the moments m and v, IN g.  Scalars are those of the rule (rnnkit/nn/optim.py).
cdef struct Step:
    int rule, nesterov, clear
    Py_ssize_t n
    real* p
    real* g
    real* m  # Adam's m; the momentum b of sgd and rmsprop, or NULL
    real* v  # NULL in sgd
    const unsigned char* mask  # where weights decay; NULL: everywhere
    real scale  # of the gradient
    real lr, eps, b1, b2  # b1: of m, b2: of v
    real decay  # η·λ
    real tiny  # moments below it become 0; 0: none


cdef inline void flush(real* a, real tiny) noexcept nogil:
    cdef int l
    for l in range(LANES):
        a[l] = 0 if -tiny < a[l] and a[l] < tiny else a[l]


cdef inline void step_group(int rule, bint momentum, const Step* s, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """n <= LANES elements from i on, in local arrays, which cannot overlap; ``rule`` and ``momentum`` are constants."""
    cdef real p[LANES]
    cdef real g[LANES]
    cdef real m[LANES]
    cdef real v[LANES]
    cdef unsigned char mask[LANES]
    cdef real scale = s.scale, lr = s.lr, eps = s.eps, b1 = s.b1, b2 = s.b2, keep = 1 - s.decay
    cdef bint nesterov = s.nesterov
    cdef int l
    load(p, s.p + i, n)
    load(g, s.g + i, n)
    for l in range(LANES):
        g[l] *= scale
    if s.decay != 0:
        memset(mask, 1, LANES)
        if s.mask != NULL:
            if n == LANES:
                memcpy(mask, s.mask + i, LANES)
            else:
                memcpy(mask, s.mask + i, n)
        for l in range(LANES):
            p[l] *= keep if mask[l] else <real>1
    if momentum:
        load(m, s.m + i, n)
    if rule != SGD:
        load(v, s.v + i, n)
        for l in range(LANES):
            v[l] = b2 * v[l] + g[l] * g[l]
        if rule == RMSPROP:
            for l in range(LANES):
                g[l] = g[l] / (root(v[l]) + eps)
    if momentum:
        for l in range(LANES):
            m[l] = b1 * m[l] + g[l]
        if rule == ADAM:
            for l in range(LANES):
                g[l] = m[l] / (root(v[l]) + eps)
        elif nesterov:
            for l in range(LANES):
                g[l] = b1 * m[l] + g[l]
        else:
            memcpy(g, m, sizeof(m))
    for l in range(LANES):
        p[l] -= lr * g[l]
    copy(s.p + i, p, n)
    if momentum:
        if s.tiny > 0:
            flush(m, s.tiny)
        copy(s.m + i, m, n)
    if rule != SGD:
        if s.tiny > 0:
            flush(v, s.tiny)
        copy(s.v + i, v, n)
    if s.clear:
        memset(g, 0, sizeof(g))
        copy(s.g + i, g, n)


cdef inline void step_range(int rule, bint momentum, const Step* s, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t i, whole = first + (last - first) // LANES * LANES
    for i from first <= i < whole by LANES:
        step_group(rule, momentum, s, i, LANES)
    if whole < last:
        step_group(rule, momentum, s, whole, last - whole)


cdef void step_share(const Step* s, int thread, int team) noexcept nogil:
    cdef Py_ssize_t first = share_start(s.n, thread, team), last = share_start(s.n, thread + 1, team)
    cdef unsigned mode = rnnkit_flush_denormals()
    if s.rule == ADAM:
        step_range(ADAM, True, s, first, last)
    elif s.rule == RMSPROP:
        if s.m != NULL:
            step_range(RMSPROP, True, s, first, last)
        else:
            step_range(RMSPROP, False, s, first, last)
    elif s.m != NULL:
        step_range(SGD, True, s, first, last)
    else:
        step_range(SGD, False, s, first, last)
    rnnkit_restore(mode)


def step(str rule, real[::1] p, real[::1] g, m, v, mask, scalars, double scale, double decay, double tiny, bint clear,
         int threads):
    cdef Step s
    cdef real[::1] m_ = m, v_ = v
    cdef const unsigned char[::1] mask_ = mask
    cdef int team
    s.n = p.shape[0]
    if s.n == 0:
        return
    s.rule, s.clear, s.p, s.g = RULES[rule], clear, &p[0], &g[0]
    s.lr, s.eps, s.b1, s.b2, s.nesterov = scalars
    s.m = &m_[0] if m is not None else NULL
    s.v = &v_[0] if v is not None else NULL
    s.mask = &mask_[0] if mask is not None else NULL
    s.scale, s.decay, s.tiny = <real>scale, <real>decay, <real>tiny
    with nogil:
        team = team_size(threads, s.n // LANES, <double>EACH * s.n)
        if team == 1:
            step_share(&s, 0, 1)
        else:
            with parallel(num_threads=team):
                step_share(&s, rnnkit_thread(), rnnkit_team())


cdef void square_share(const real* g, Py_ssize_t n, double* sums, int thread, int team) noexcept nogil:
    """Σ g² of this thread's blocks, each in float64 lanes."""
    cdef double total[LANES]
    cdef Py_ssize_t blocks = (n + BLOCK - 1) // BLOCK, b, i, first, whole, last
    cdef double x
    cdef int l
    for b in range(blocks * thread // team, blocks * (thread + 1) // team):
        memset(total, 0, sizeof(total))
        first, last = b * BLOCK, least(n, (b + 1) * BLOCK)
        whole = first + (last - first) // LANES * LANES
        for i from first <= i < whole by LANES:
            for l in range(LANES):
                total[l] += <double>g[i + l] * <double>g[i + l]
        for i in range(whole, last):
            x = g[i]
            total[0] += x * x
        x = 0
        for l in range(LANES):
            x += total[l]
        sums[b] = x


def square_sum(const real[::1] g, int threads):
    cdef Py_ssize_t n = g.shape[0], b
    cdef double[::1] sums = np.empty(n // BLOCK + 1)
    cdef double total = 0
    cdef int team = team_size(threads, n // BLOCK, <double>EACH * n / 4)
    if n == 0:
        return 0.0
    with nogil:
        if team == 1:
            square_share(&g[0], n, &sums[0], 0, 1)
        else:
            with parallel(num_threads=team):
                square_share(&g[0], n, &sums[0], rnnkit_thread(), rnnkit_team())
        for b in range((n + BLOCK - 1) // BLOCK):
            total += sums[b]
    return total
