# r, z = σ(x W + h R + b), n = tanh(x W_n + b_n + (r ⊙ h) R_n), h' = (1 − z) ⊙ n + z ⊙ h.
# R_n meets r ⊙ h, which needs r of all units: a step is two rounds of panels, [r z] and then n.  A panel of the tape
# holds [r z n] of LANES units, which backward turns into [dr dz dn]; r ⊙ h is kept too.


cdef void gru_before_reset(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    """First round: r and z of all units into the tape, then rh = r ⊙ hr."""
    cdef real a[MR * PANEL]
    cdef const real* seed[MR]
    cdef const real* x[MR]
    cdef const real* h[MR]
    cdef Py_ssize_t I = p.I, H = p.H, j, i, k, at, n, row
    cdef const real* P = p.forth
    cdef real* gates
    cdef int r, l, rows
    for j in range(p.panels):
        n = least(LANES, H - j * LANES)
        i = 0
        while i < s.alive:
            rows = height(s.alive - i)
            for r in range(rows):
                row = w.rows[i + r]
                x[r], h[r] = s.x + row * I, s.hr + row * H
            seeds_of(p, seed, w.rows + i, rows, j, s.t)
            cell_product(rows, 2 * LANES, False, seed, riding(p), x, P, H, h, P + I * 2 * LANES, a)
            for r in range(rows):
                gates = gates_at(p, j, s.t, w.rows[i + r])
                for l from 0 <= l < 2 * LANES by VL:
                    put(gates + l, sigmoid_v(get(a + r * PANEL + l)))
                at = w.rows[i + r] * H + j * LANES
                for k in range(n):
                    s.rh[at + k] = gates[k] * s.hr[at + k]
            i += rows
        P += (I + H) * 2 * LANES


cdef inline void gru_before_lanes(real* a, const real* z, const real* h_old, real* h_new) noexcept nogil:
    """INOUT ``a``: the sum of n of one group of units, then n.  OUT: h'."""
    cdef int l
    cdef vec m
    for l from 0 <= l < LANES by VL:
        m = tanh_v(get(a + l))
        put(a + l, m)
        put(h_new + l, (splat(1) - get(z + l)) * m + get(z + l) * get(h_old + l))


cdef void gru_before_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    """Second round, in panels of PANEL units, each four (or fewer) panels of the tape."""
    cdef real a[MR * PANEL]
    cdef real starts[MR * PANEL]
    cdef real old[LANES]
    cdef real new[LANES]
    cdef const real* seed[MR]
    cdef const real* x[MR]
    cdef const real* rh[MR]
    cdef Py_ssize_t I = p.I, H = p.H, u, i, g, at, n, row
    cdef const real* P
    cdef real* gates
    cdef int r, rows, cols
    gru_before_reset(p, s, w)
    for u from 0 <= u < H by PANEL:
        cols = <int>groups_up(least(PANEL, H - u))
        P = p.candidate + u * (I + H)
        i = 0
        while i < s.alive:
            rows = height(s.alive - i)
            for r in range(rows):
                row = w.rows[i + r]
                for g from 0 <= g < cols by LANES:
                    seeds_of(p, seed, &row, 1, (u + g) // LANES, s.t)
                    memcpy(starts + r * PANEL + g, seed[0] + 2 * LANES, LANES * sizeof(real))
                x[r], rh[r] = s.x + row * I, s.rh + row * H
            for r in range(rows):
                seed[r] = starts + r * PANEL
            cell_product(rows, cols, False, seed, riding(p), x, P, H, rh, P + I * cols, a)
            for r in range(rows):
                for g from 0 <= g < cols by LANES:
                    n = least(LANES, H - u - g)
                    at = w.rows[i + r] * H + u + g
                    gates = gates_at(p, (u + g) // LANES, s.t, w.rows[i + r])
                    load(old, s.h_old + at, n)
                    gru_before_lanes(a + r * PANEL + g, gates + LANES, old, new)
                    copy(s.h_new + at, new, n)
                    memcpy(gates + 2 * LANES, a + r * PANEL + g, LANES * sizeof(real))
            i += rows


cdef inline void gru_before_back_lanes(real* gates, const real* h_old, const real* dy, real* dh) noexcept nogil:
    """INOUT ``gates``: [r z n], then [r dz dn]; ``dh``: of h', then what of it reaches h through z alone."""
    cdef int l
    cdef vec z, m, d, one = splat(1)
    for l from 0 <= l < LANES by VL:
        z, m, d = get(gates + LANES + l), get(gates + 2 * LANES + l), get(dy + l) + get(dh + l)
        put(gates + LANES + l, d * (get(h_old + l) - m) * z * (one - z))
        put(gates + 2 * LANES + l, d * (one - z) * (one - m * m))
        put(dh + l, d * z)


cdef inline void gru_before_reset_back(const real* drh, real* reset, const real* hr, real* dh,
                                       const real* mask) noexcept nogil:
    """dr = drh ⊙ hr ⊙ r (1 − r) in place of r, and dh += mask ⊙ drh ⊙ r."""
    cdef int l
    cdef vec d, r
    for l from 0 <= l < LANES by VL:
        d, r = get(drh + l), get(reset + l)
        put(dh + l, get(dh + l) + (d * r if mask == NULL else get(mask + l) * (d * r)))
        put(reset + l, d * get(hr + l) * r * (splat(1) - r))


cdef void gru_before_back_step(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    cdef real a[MR * PANEL]
    cdef real h[LANES]
    cdef real d[LANES]
    cdef real e[LANES]
    cdef const real* dn[MR]
    cdef Py_ssize_t H = p.H, K = p.panels * LANES, j, i, u, g, n, at
    cdef real* gates
    cdef int r, rows, cols
    for j in range(p.panels):
        n = least(LANES, H - j * LANES)
        for i in range(s.alive):
            at = w.rows[i] * H + j * LANES
            gates = gates_at(p, j, s.t, w.rows[i])
            load(h, s.h_old + at, n)
            load(d, p.dy + s.t * p.B * H + at, n)
            load(e, p.dh + at, n)
            gru_before_back_lanes(gates, h, d, e)
            copy(p.dh + at, e, n)
            blank(gates, 3, n)
    for u from 0 <= u < H by PANEL:
        cols = <int>groups_up(least(PANEL, H - u))
        i = 0
        while i < s.alive:
            rows = height(s.alive - i)
            for r in range(rows):
                dn[r] = gates_at(p, 0, s.t, w.rows[i + r]) + 2 * LANES
            memset(a, 0, sizeof(a))  # drh = dn R_nᵀ
            product_runs(rows, cols, p.panels, LANES, dn, 1, p.width * p.tape_rows, p.back_n + u * K, cols, a)
            for r in range(rows):
                for g from 0 <= g < cols by LANES:
                    n = least(LANES, H - u - g)
                    at = w.rows[i + r] * H + u + g
                    load(h, s.hr + at, n)
                    load(e, p.dh + at, n)
                    if p.mask != NULL:
                        load(d, p.mask + at, n)
                    gru_before_reset_back(a + r * PANEL + g, gates_at(p, (u + g) // LANES, s.t, w.rows[i + r]), h, e,
                                          d if p.mask != NULL else NULL)
                    copy(p.dh + at, e, n)
            i += rows
    add_back(p, s, w, p.back, 0, 2 * LANES, False)
