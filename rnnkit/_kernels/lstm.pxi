# i, f, o = σ(x W + h R + b), g = tanh(x W_g + h R_g + b_g), c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c').
# A panel of the tape holds [i f g o] of LANES units, which backward turns into [di df dg do].


cdef inline void lstm_lanes(const real* a, const real* c_old, real* c_new, real* h_new, real* kept) noexcept nogil:
    """IN ``a``: pre-activations of i, f, g, o of one group of units.  OUT: c', h' and, unless NULL, the gates."""
    cdef int l
    cdef vec i, f, g, o, c
    for l from 0 <= l < LANES by VL:
        i = sigmoid_v(get(a + l))
        f = sigmoid_v(get(a + LANES + l))
        g = tanh_v(get(a + 2 * LANES + l))
        o = sigmoid_v(get(a + 3 * LANES + l))
        c = f * get(c_old + l) + i * g
        if kept != NULL:
            put(kept + l, i)
            put(kept + LANES + l, f)
            put(kept + 2 * LANES + l, g)
            put(kept + 3 * LANES + l, o)
        put(c_new + l, c)
        put(h_new + l, o * tanh_v(c))


cdef void lstm_few(const real* a, const real* c_old, real* c_new, real* h_new, real* kept, Py_ssize_t n,
                            Py_ssize_t closed) noexcept nogil:
    """``lstm_lanes`` of n < LANES units; ``closed``: columns of their panel if it is closed up, else 0."""
    cdef real gates[PANEL]
    cdef real c[LANES]
    cdef real h[LANES]
    load(c, c_old, n)
    if closed:
        spread(gates, a, n)
        lstm_lanes(gates, c, c, h, gates)
        if kept != NULL:
            close_up(kept, gates, n, closed)
    else:
        lstm_lanes(a, c, c, h, kept)
    copy(c_new, c, n)
    copy(h_new, h, n)


cdef void lstm_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
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
                    lstm_lanes(a + r * PANEL, s.c_old + at, s.c_new + at, s.h_new + at, to)
                else:
                    lstm_few(a + r * PANEL, s.c_old + at, s.c_new + at, s.h_new + at, to, n, closed)
            i += rows


cdef inline void lstm_back_lanes(real* gates, const real* c_old, const real* c_new, const real* dy, const real* dh,
                                 real* dc) noexcept nogil:
    """INOUT ``gates``: [i f g o], then their gradients; ``dc``: of c', then of c."""
    cdef int l
    cdef vec i, f, g, o, d, e, t, one = splat(1)
    for l from 0 <= l < LANES by VL:
        i, f, g, o = get(gates + l), get(gates + LANES + l), get(gates + 2 * LANES + l), get(gates + 3 * LANES + l)
        t = tanh_v(get(c_new + l))
        d = get(dy + l) + get(dh + l)
        e = get(dc + l) + d * o * (one - t * t)
        put(dc + l, e * f)
        put(gates + l, e * g * i * (one - i))
        put(gates + LANES + l, e * get(c_old + l) * f * (one - f))
        put(gates + 2 * LANES + l, e * i * (one - g * g))
        put(gates + 3 * LANES + l, d * t * o * (one - o))


cdef void lstm_back_few(real* gates, const real* c_old, const real* c_new, const real* dy, const real* dh,
                                 real* dc, Py_ssize_t n, Py_ssize_t closed) noexcept nogil:
    """``lstm_back_lanes`` of n < LANES units; the gradients beyond them are zero.  ``closed`` as in ``lstm_few``."""
    cdef real apart[PANEL]
    cdef real old[LANES]
    cdef real new[LANES]
    cdef real d[LANES]
    cdef real e[LANES]
    cdef real u[LANES]
    load(old, c_old, n)
    load(new, c_new, n)
    load(d, dy, n)
    load(e, dh, n)
    load(u, dc, n)
    if closed:
        spread(apart, gates, n)
        lstm_back_lanes(apart, old, new, d, e, u)
        close_up(gates, apart, n, closed)
    else:
        lstm_back_lanes(gates, old, new, d, e, u)
        blank(gates, 4, n)
    copy(dc, u, n)


cdef void lstm_back_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    cdef Py_ssize_t H = p.H, j, i, at, n
    cdef real* gates
    cdef const real* dy
    for i in range(s.alive):
        for j in range(w.unit // LANES, (w.end + LANES - 1) // LANES):
            n = least(LANES, H - j * LANES)
            at = w.rows[i] * H + j * LANES
            gates, dy = gates_at(p, j, s.t, w.rows[i]), p.dy + s.t * p.B * H + at
            if n == LANES:
                lstm_back_lanes(gates, s.c_old + at, s.c_new + at, dy, p.dh + at, p.dc + at)
            else:
                lstm_back_few(gates, s.c_old + at, s.c_new + at, dy, p.dh + at, p.dc + at, n,
                              p.rest if closed_up(p, j) else 0)
            round_gates(p, gates, panel_cols(p, j))
    if w.meets:
        rnnkit_wait(w.barrier, w.team)
    add_back(p, s, w, p.back, 0, PANEL, True)
