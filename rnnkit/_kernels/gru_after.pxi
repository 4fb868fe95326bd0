# r, z = σ(x W + h R + b), q = h R_n + bn, n = tanh(x W_n + b_n + r ⊙ q), h' = (1 − z) ⊙ n + z ⊙ h.
# A panel holds [n r z q] of LANES units: x feeds the first three, h the last three.  Backward turns it into
# [dn dr dz dn⊙r]: what met x are its first three groups, what met h its last three.


cdef inline void gru_after_lanes(const real* a, const real* h_old, real* h_new, real* kept) noexcept nogil:
    """IN ``a``: the sums [n_x r z q] of one group of units.  OUT: h' and, unless NULL, [n r z q]."""
    cdef int l
    cdef vec m, r, z, q
    for l from 0 <= l < LANES by VL:
        r = sigmoid_v(get(a + LANES + l))
        z = sigmoid_v(get(a + 2 * LANES + l))
        q = get(a + 3 * LANES + l)
        m = tanh_v(get(a + l) + r * q)
        if kept != NULL:
            put(kept + l, m)
            put(kept + LANES + l, r)
            put(kept + 2 * LANES + l, z)
            put(kept + 3 * LANES + l, q)
        put(h_new + l, (splat(1) - z) * m + z * get(h_old + l))


cdef void gru_after_few(const real* a, const real* h_old, real* h_new, real* kept, Py_ssize_t n,
                                 Py_ssize_t closed) noexcept nogil:
    """``gru_after_lanes`` of n < LANES units; ``closed``: columns of their panel if it is closed up, else 0."""
    cdef real gates[PANEL]
    cdef real h[LANES]
    load(h, h_old, n)
    if closed:
        spread(gates, a, n)
        gru_after_lanes(gates, h, h, gates)
        if kept != NULL:
            close_up(kept, gates, n, closed)
    else:
        gru_after_lanes(a, h, h, kept)
    copy(h_new, h, n)


cdef void gru_after_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    cdef real a[MR * PANEL]
    cdef Py_ssize_t j, jj, i, at, n, closed, first = w.unit // LANES, last = (w.end + LANES - 1) // LANES
    cdef real* kept = NULL
    cdef real* to
    cdef int r, rows, cols
    for jj in range(last - first):
        j = turn(jj, first, last, s.odd)
        n = least(LANES, p.H - j * LANES)
        cols = panel_cols(p, j)
        closed = cols if closed_up(p, j) else 0
        if p.training:
            kept = gates_at(p, j, s.t, 0)
        i = 0
        while i < s.alive:
            rows = height(s.alive - i)
            if p.training:
                for r in range(rows):
                    call_gates(kept + w.rows[i + r] * cols, cols)
            step_product(p, s, w.rows + i, rows, j, cols, a)
            for r in range(rows):
                at = w.rows[i + r] * p.H + j * LANES
                to = kept + w.rows[i + r] * cols if p.training else NULL
                if n == LANES:
                    gru_after_lanes(a + r * PANEL, s.h_old + at, s.h_new + at, to)
                else:
                    gru_after_few(a + r * PANEL, s.h_old + at, s.h_new + at, to, n, closed)
            i += rows


cdef inline void gru_after_back_lanes(real* gates, const real* h_old, const real* dy, real* dh) noexcept nogil:
    """INOUT ``gates``: [n r z q], then [dn dr dz dn⊙r]; ``dh``: of h', then what of it reaches h through z alone."""
    cdef int l
    cdef vec m, r, z, q, d, e, one = splat(1)
    for l from 0 <= l < LANES by VL:
        m, r, z, q = get(gates + l), get(gates + LANES + l), get(gates + 2 * LANES + l), get(gates + 3 * LANES + l)
        d = get(dy + l) + get(dh + l)
        e = d * (one - z) * (one - m * m)
        put(gates + l, e)
        put(gates + LANES + l, e * q * r * (one - r))
        put(gates + 2 * LANES + l, d * (get(h_old + l) - m) * z * (one - z))
        put(gates + 3 * LANES + l, e * r)
        put(dh + l, d * z)


cdef void gru_after_back_few(real* gates, const real* h_old, const real* dy, real* dh, Py_ssize_t n,
                                      Py_ssize_t closed) noexcept nogil:
    """``gru_after_back_lanes`` of n < LANES units; the gradients beyond them are zero.  ``closed`` as in ``gru_after_few``."""
    cdef real apart[PANEL]
    cdef real h[LANES]
    cdef real d[LANES]
    cdef real e[LANES]
    load(h, h_old, n)
    load(d, dy, n)
    load(e, dh, n)
    if closed:
        spread(apart, gates, n)
        gru_after_back_lanes(apart, h, d, e)
        close_up(gates, apart, n, closed)
    else:
        gru_after_back_lanes(gates, h, d, e)
        blank(gates, 4, n)
    copy(dh, e, n)


cdef void gru_after_back_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    cdef Py_ssize_t H = p.H, j, i, at, n
    cdef real* gates
    cdef const real* dy
    for i in range(s.alive):
        for j in range(w.unit // LANES, (w.end + LANES - 1) // LANES):
            n = least(LANES, H - j * LANES)
            at = w.rows[i] * H + j * LANES
            gates, dy = gates_at(p, j, s.t, w.rows[i]), p.dy + s.t * p.B * H + at
            if n == LANES:
                gru_after_back_lanes(gates, s.h_old + at, dy, p.dh + at)
            else:
                gru_after_back_few(gates, s.h_old + at, dy, p.dh + at, n, p.rest if closed_up(p, j) else 0)
            round_gates(p, gates, panel_cols(p, j))
    if w.meets:
        rnnkit_wait(w.barrier, w.team)
    add_back(p, s, w, p.back, LANES, 3 * LANES, False)
