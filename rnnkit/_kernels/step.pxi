# The products of one step, there and back, for a strip of rows.


cdef inline void step_product(const Pass* p, const Step* s, const Py_ssize_t* rows, int count, Py_ssize_t j, int cols,
                              real* a) noexcept nogil:
    """OUT ``a``: the sums of panel j, ``cols`` columns, for some rows."""
    cdef const real* seed[MR]
    cdef const real* x[MR]
    cdef const real* h[MR]
    cdef const real* P
    cdef Py_ssize_t I = p.I, H = p.H, wide = 3 * LANES if p.variant == GRU_AFTER else PANEL
    cdef bint shifted = p.variant == GRU_AFTER and not closed_up(p, j)
    cdef int r, ld = 3 * LANES if shifted else cols
    seeds_of(p, seed, rows, count, j, s.t)
    if p.rounded:
        low_step_product(p, seed, rows, count, j, cols, ld, wide, a)
        return
    for r in range(count):
        x[r], h[r] = s.x + rows[r] * I, s.hr + rows[r] * H
    P = p.forth + j * (I + H) * wide
    if p.variant == GRU_AFTER and not shifted and riding(p):
        cell_product(count, cols, False, seed, I, x, P, 0, h, P, a)
        for r in range(count):
            keep_q(p, a + r * PANEL, seed[r])
            seed[r] = a + r * PANEL
        cell_product(count, cols, False, seed, 0, x, P, H, h, P + I * ld, a)
        return
    cell_product(count, cols, shifted, seed, riding(p), x, P, H, h, P + I * ld, a)


cdef void add_back(const Pass* p, const Step* s, const Share* w, const real* panels, int skip, Py_ssize_t run,
                   bint fresh) noexcept nogil:
    """dh = mask ⊙ (d Rᵀ), or += it, for the share's rows that are alive and its units.

    d: ``run`` columns from ``skip`` on in every panel of the gate gradients; ``panels``: their Rᵀ.
    """
    cdef real a[MR * PANEL]
    cdef const real* d[MR]
    cdef Py_ssize_t H = p.H, u, g, jj, i, at, n, K = run * p.full + p.rest, step = p.width * p.tape_rows
    cdef Py_ssize_t first = w.unit // PANEL, last = (w.end + PANEL - 1) // PANEL
    cdef int r, rows, cols
    for jj in range(last - first):
        u = turn(jj, first, last, s.odd) * PANEL
        n = least(PANEL, w.end - u)
        cols = <int>groups_up(n)
        i = 0
        while i < s.alive:
            rows = height(s.alive - i)
            for r in range(rows):
                d[r] = gates_at(p, 0, s.t, w.rows[i + r]) + (0 if p.rounded else skip)
            if s.next >= 0 and p.variant >= LSTM:
                for r in range(rows):
                    for g from 0 <= g < n by LANES:
                        call_gates(gates_at(p, (u + g) // LANES, s.next, w.rows[i + r]), p.width)
            memset(a, 0, rows * PANEL * sizeof(real))
            if p.rounded:
                low_product_runs(rows, cols, p.full, run, d, skip, step, p.low_back + u * K, a)
            else:
                product_runs(rows, cols, p.full, run, d, 1, step, panels + u * K, cols, a)
            if p.rest:
                for r in range(rows):
                    d[r] = gates_at(p, p.full, s.t, w.rows[i + r])
                if p.rounded:
                    low_product_runs(rows, cols, 1, p.rest, d, 0, 0, p.low_back + u * K + p.full * run * cols, a)
                else:
                    product_runs(rows, cols, 1, p.rest, d, 1, 0, panels + u * K + p.full * run * cols, cols, a)
            for r in range(rows):
                at = w.rows[i + r] * H + u
                add_units(p.dh + at, a + r * PANEL, p.mask + at if p.mask != NULL else NULL, fresh, n)
            i += rows
