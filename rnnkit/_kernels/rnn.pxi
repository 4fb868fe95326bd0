# h' = tanh(x W + h R + b), or relu.  Nothing is kept but h; backward writes da into the tape's panels of PANEL units.


cdef inline vec rnn_activation(vec a, bint relu) noexcept nogil:
    return vmax(splat(0), a) if relu else tanh_v(a)  # NaN stays NaN


cdef void rnn_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    cdef real a[MR * PANEL]
    cdef Py_ssize_t H = p.H, j, jj, i, n, first = w.unit // PANEL, last = (w.end + PANEL - 1) // PANEL
    cdef real* to
    cdef int r, l, rows, cols
    for jj in range(last - first):
        j = turn(jj, first, last, s.odd)
        n = least(PANEL, H - j * PANEL)
        cols = panel_cols(p, j)
        i = 0
        while i < s.alive:
            rows = height(s.alive - i)
            step_product(p, s, w.rows + i, rows, j, cols, a)
            for r in range(rows):
                to = s.h_new + w.rows[i + r] * H + j * PANEL
                if n == PANEL:
                    for l from 0 <= l < PANEL by VL:
                        put(to + l, rnn_activation(get(a + r * PANEL + l), p.variant == RNN_RELU))
                else:
                    for l from 0 <= l < cols by VL:
                        put(a + r * PANEL + l, rnn_activation(get(a + r * PANEL + l), p.variant == RNN_RELU))
                    memcpy(to, a + r * PANEL, n * sizeof(real))
            i += rows


cdef inline void rnn_back_lanes(real* da, const real* h_new, const real* dy, const real* dh, bint relu) noexcept nogil:
    """da = (dh + dy) ⊙ (1 − h'²), or where h' > 0."""
    cdef int l
    cdef vec d, h
    for l from 0 <= l < LANES by VL:
        d, h = get(dy + l) + get(dh + l), get(h_new + l)
        put(da + l, where_above_zero(h, d) if relu else d * (splat(1) - h * h))


cdef void rnn_back_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    cdef real d[LANES]
    cdef real h[LANES]
    cdef real e[LANES]
    cdef Py_ssize_t H = p.H, u, i, j, at, n
    cdef real* da
    cdef bint relu = p.variant == RNN_RELU
    for i in range(s.alive):
        for u from w.unit <= u < w.end by LANES:
            n = least(LANES, H - u)
            at = w.rows[i] * H + u
            da = gates_at(p, u // PANEL, s.t, w.rows[i]) + u % PANEL
            if n == LANES:
                rnn_back_lanes(da, s.h_new + at, p.dy + s.t * p.B * H + at, p.dh + at, relu)
            else:
                load(h, s.h_new + at, n)
                load(d, p.dy + s.t * p.B * H + at, n)
                load(e, p.dh + at, n)
                rnn_back_lanes(da, h, d, e, relu)
                blank(da, 1, n)
        for j in range(w.unit // PANEL, (w.end + PANEL - 1) // PANEL):
            round_gates(p, gates_at(p, j, s.t, w.rows[i]), panel_cols(p, j))
    if w.meets:
        rnnkit_wait(w.barrier, w.team)
    add_back(p, s, w, p.back, 0, PANEL, True)
