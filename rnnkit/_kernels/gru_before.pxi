# r, z = σ(x W + h R + b), n = tanh(x W_n + b_n + (r ⊙ h) R_n), h' = (1 − z) ⊙ n + z ⊙ h.
# R_n meets r ⊙ h, which needs r of all units: a step is two rounds of panels, [r z] and then n.
# The tape keeps [r z n], which backward turns into [dr dz dn], and r ⊙ h.


cdef inline void sigmoid_row(real* a, Py_ssize_t cols) noexcept nogil:
    cdef Py_ssize_t l
    for l in range(cols):
        a[l] = sigmoid(a[l])


cdef void gru_before_units(real* a, const real* z_gate, const real* h_old, real* h_new, Py_ssize_t cols,
                           Py_ssize_t units) noexcept nogil:
    """INOUT ``a``: ``cols`` sums of n, then n.  OUT: ``units`` of h'."""
    cdef real m[LANES]
    cdef real z[LANES]
    cdef real h[LANES]
    cdef Py_ssize_t g, n
    cdef int l
    for g from 0 <= g < cols by LANES:
        n = least(LANES, units - g)
        memcpy(m, a + g, sizeof(m))
        load(z, z_gate + g, n)
        load(h, h_old + g, n)
        for l in range(LANES):
            m[l] = tanh_(m[l])
            h[l] = (1 - z[l]) * m[l] + z[l] * h[l]
        copy(h_new + g, h, n)
        memcpy(a + g, m, sizeof(m))


cdef void gru_before_reset(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    """First round: r and z of all units into the tape, then rh = r ⊙ hr."""
    cdef real a[MR * PANEL]
    cdef Py_ssize_t I = p.I, H = p.H, j, k, r, n, cols, row, rows
    cdef const real* P
    cdef const real* reset
    cdef real* rh
    for j from 0 <= j < 2 * H by PANEL:
        n = least(PANEL, 2 * H - j)
        cols = groups_up(n)
        P = p.forth + j * (I + H)
        row = r0
        while row < r1:
            rows = least(MR, r1 - row)
            if not all_dead(p, s.t, row, rows):
                start_tile(a, rows, cols, p.bias + j)
                product(<int>rows, <int>cols, I, s.x + row * I, I, 1, P, cols, a)
                product(<int>rows, <int>cols, H, s.hr + row * H, H, 1, P + I * cols, cols, a)
                for r in range(rows):
                    sigmoid_row(a + r * PANEL, cols)
                    memcpy(s.gates + (row + r) * p.ldg + j, a + r * PANEL, n * sizeof(real))
            row += rows
    for row in range(r0, r1):
        reset = s.gates + row * p.ldg
        rh = s.rh + row * H
        if alive(p, s.t, row):
            for k in range(H):
                rh[k] = reset[k] * s.hr[row * H + k]
        else:
            memset(rh, 0, H * sizeof(real))  # accumulate reads it


cdef void gru_before_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef real a[MR * PANEL]
    cdef Py_ssize_t I = p.I, H = p.H, j, r, at, n, cols, row, rows
    cdef const real* P
    cdef const real* bias = p.bias + groups_up(2 * H)
    cdef real* gates
    gru_before_reset(p, s, r0, r1)
    for j from 0 <= j < H by PANEL:
        n = least(PANEL, H - j)
        cols = groups_up(n)
        P = p.candidate + j * (I + H)
        row = r0
        while row < r1:
            rows = least(MR, r1 - row)
            if not all_dead(p, s.t, row, rows):
                start_tile(a, rows, cols, bias + j)
                product(<int>rows, <int>cols, I, s.x + row * I, I, 1, P, cols, a)
                product(<int>rows, <int>cols, H, s.rh + row * H, H, 1, P + I * cols, cols, a)
            for r in range(rows):
                at = (row + r) * H + j
                if alive(p, s.t, row + r):
                    gates = s.gates + (row + r) * p.ldg
                    gru_before_units(a + r * PANEL, gates + H + j, s.h_old + at, s.h_new + at, cols, n)
                    if p.training:
                        memcpy(gates + 2 * H + j, a + r * PANEL, n * sizeof(real))
                else:
                    memcpy(s.h_new + at, s.h_old + at, n * sizeof(real))
            row += rows


cdef void gru_before_back_row(Py_ssize_t H, real* gates, const real* h_old, const real* dy, real* dh) noexcept nogil:
    """INOUT ``gates``: [r z n], then [r dz dn]; ``dh``: of h', then what of it reaches h through z alone."""
    cdef real z[LANES]
    cdef real m[LANES]
    cdef real h[LANES]
    cdef real d[LANES]
    cdef real e[LANES]
    cdef Py_ssize_t j, n
    cdef int l
    for j from 0 <= j < H by LANES:
        n = least(LANES, H - j)
        load(z, gates + H + j, n)
        load(m, gates + 2 * H + j, n)
        load(h, h_old + j, n)
        load(d, dy + j, n)
        load(e, dh + j, n)
        for l in range(LANES):
            d[l] += e[l]
            e[l] = d[l] * z[l]
            h[l] = d[l] * (h[l] - m[l]) * z[l] * (1 - z[l])
            m[l] = d[l] * (1 - z[l]) * (1 - m[l] * m[l])
        copy(gates + H + j, h, n)
        copy(gates + 2 * H + j, m, n)
        copy(dh + j, e, n)


cdef void gru_before_back_units(const real* drh, real* reset, const real* hr, real* dh, const real* mask,
                                Py_ssize_t units) noexcept nogil:
    """dr = drh ⊙ hr ⊙ r (1 − r) in place of r, and dh += mask ⊙ drh ⊙ r."""
    cdef real d[LANES]
    cdef real r[LANES]
    cdef real h[LANES]
    cdef real e[LANES]
    cdef real m[LANES]
    cdef Py_ssize_t g, n
    cdef int l
    for g from 0 <= g < units by LANES:
        n = least(LANES, units - g)
        memcpy(d, drh + g, sizeof(d))
        load(r, reset + g, n)
        load(h, hr + g, n)
        load(e, dh + g, n)
        if mask == NULL:
            for l in range(LANES):
                m[l] = 1
        else:
            load(m, mask + g, n)
        for l in range(LANES):
            e[l] += m[l] * (d[l] * r[l])
            r[l] = d[l] * h[l] * r[l] * (1 - r[l])
        copy(reset + g, r, n)
        copy(dh + g, e, n)


cdef void gru_before_back_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef real a[MR * PANEL]
    cdef Py_ssize_t H = p.H, j, r, n, at, cols, row, rows
    for row in range(r0, r1):
        at = row * H
        if alive(p, s.t, row):
            gru_before_back_row(H, s.gates + row * p.ldg, s.h_old + at, p.dy + s.t * p.B * H + at, p.dh + at)
        else:
            memset(s.gates + row * p.ldg, 0, 3 * H * sizeof(real))
    for j from 0 <= j < H by PANEL:
        n = least(PANEL, H - j)
        cols = groups_up(n)
        row = r0
        while row < r1:
            rows = least(MR, r1 - row)
            if not all_dead(p, s.t, row, rows):
                memset(a, 0, sizeof(a))  # drh = dn R_nᵀ
                product(<int>rows, <int>cols, H, s.gates + row * p.ldg + 2 * H, p.ldg, 1, p.back_n + j * H, cols, a)
                for r in range(rows):
                    if alive(p, s.t, row + r):
                        at = (row + r) * H + j
                        gru_before_back_units(a + r * PANEL, s.gates + (row + r) * p.ldg + j, s.hr + at, p.dh + at,
                                              p.mask + at if p.mask != NULL else NULL, n)
            row += rows
    add_back(p, s, r0, r1, p.back, s.gates, 2 * H)
    if p.dx != NULL:
        store_dx(p, s, r0, r1, 3 * H)
