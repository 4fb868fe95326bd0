# r, z = σ(x W + h R + b), q = h R_n + bn, n = tanh(x W_n + b_n + r ⊙ q), h' = (1 − z) ⊙ n + z ⊙ h.
# A panel's sums lie as [n_x r z q]: x feeds the first three, h the last three.  The tape keeps [n r z q], which
# backward turns into [dn dr dz dn⊙r]: what met x are its first three blocks, what met h its last three.


cdef void gru_after_units(real* a, const real* h_old, real* h_new, Py_ssize_t n) noexcept nogil:
    """INOUT ``a``: the sums [n_x r z q] of one group of units, then [n r z q].  OUT: n units of h'."""
    cdef real m[LANES]
    cdef real r[LANES]
    cdef real z[LANES]
    cdef real q[LANES]
    cdef real h[LANES]
    cdef int l
    memcpy(m, a, sizeof(m))
    memcpy(r, a + LANES, sizeof(r))
    memcpy(z, a + 2 * LANES, sizeof(z))
    memcpy(q, a + 3 * LANES, sizeof(q))
    load(h, h_old, n)
    for l in range(LANES):
        r[l] = sigmoid(r[l])
        z[l] = sigmoid(z[l])
        m[l] = tanh_(m[l] + r[l] * q[l])
        h[l] = (1 - z[l]) * m[l] + z[l] * h[l]
    copy(h_new, h, n)
    memcpy(a, m, sizeof(m))
    memcpy(a + LANES, r, sizeof(r))
    memcpy(a + 2 * LANES, z, sizeof(z))


cdef void gru_after_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef real a[MR * PANEL]
    cdef Py_ssize_t I = p.I, H = p.H, j, r, at, n, row, rows
    cdef int q
    cdef const real* P = p.forth
    for j from 0 <= j < H by LANES:
        n = least(LANES, H - j)
        row = r0
        while row < r1:
            rows = least(MR, r1 - row)
            if not all_dead(p, s.t, row, rows):
                start_tile(a, rows, PANEL, p.bias + j * 4)
                product(<int>rows, 3 * LANES, I, s.x + row * I, I, 1, P, 3 * LANES, a)
                product(<int>rows, 3 * LANES, H, s.hr + row * H, H, 1, P + I * 3 * LANES, 3 * LANES, a + LANES)
            for r in range(rows):
                at = (row + r) * H + j
                if alive(p, s.t, row + r):
                    gru_after_units(a + r * PANEL, s.h_old + at, s.h_new + at, n)
                    if p.training:
                        for q in range(4):
                            copy(s.gates + (row + r) * p.ldg + q * H + j, a + r * PANEL + q * LANES, n)
                else:
                    copy(s.h_new + at, s.h_old + at, n)
            row += rows
        P += (I + H) * 3 * LANES


cdef void gru_after_back_row(Py_ssize_t H, real* gates, const real* h_old, const real* dy, real* dh) noexcept nogil:
    """INOUT ``gates``: [n r z q], then [dn dr dz dn⊙r]; ``dh``: of h', then what of it reaches h through z alone."""
    cdef real m[LANES]
    cdef real r[LANES]
    cdef real z[LANES]
    cdef real q[LANES]
    cdef real h[LANES]
    cdef real d[LANES]
    cdef real e[LANES]
    cdef Py_ssize_t j, n
    cdef real dm
    cdef int l
    for j from 0 <= j < H by LANES:
        n = least(LANES, H - j)
        load(m, gates + j, n)
        load(r, gates + H + j, n)
        load(z, gates + 2 * H + j, n)
        load(q, gates + 3 * H + j, n)
        load(h, h_old + j, n)
        load(d, dy + j, n)
        load(e, dh + j, n)
        for l in range(LANES):
            d[l] += e[l]
            e[l] = d[l] * z[l]
            dm = d[l] * (1 - z[l]) * (1 - m[l] * m[l])
            z[l] = d[l] * (h[l] - m[l]) * z[l] * (1 - z[l])
            m[l] = dm
            d[l] = dm * r[l]
            r[l] = dm * q[l] * r[l] * (1 - r[l])
        copy(gates + j, m, n)
        copy(gates + H + j, r, n)
        copy(gates + 2 * H + j, z, n)
        copy(gates + 3 * H + j, d, n)
        copy(dh + j, e, n)


cdef void gru_after_back_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef Py_ssize_t H = p.H, row, at
    for row in range(r0, r1):
        at = row * H
        if alive(p, s.t, row):
            gru_after_back_row(H, s.gates + row * p.ldg, s.h_old + at, p.dy + s.t * p.B * H + at, p.dh + at)
        else:
            memset(s.gates + row * p.ldg, 0, 4 * H * sizeof(real))
    add_back(p, s, r0, r1, p.back, s.gates + H, 3 * H)
    if p.dx != NULL:
        store_dx(p, s, r0, r1, 3 * H)
