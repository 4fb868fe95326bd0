# i, f, o = σ(x W + h R + b), g = tanh(x W_g + h R_g + b_g), c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c').
# The tape keeps [i f g o], which backward turns into [di df dg do].


cdef void lstm_units(real* a, const real* c_old, real* c_new, real* h_new, Py_ssize_t n) noexcept nogil:
    """INOUT ``a``: pre-activations of i, f, g, o of one group of units, then the gates.  OUT: n units of c' and h'."""
    cdef real i[LANES]
    cdef real f[LANES]
    cdef real g[LANES]
    cdef real o[LANES]
    cdef real c[LANES]
    cdef real h[LANES]
    cdef int l
    memcpy(i, a, sizeof(i))
    memcpy(f, a + LANES, sizeof(f))
    memcpy(g, a + 2 * LANES, sizeof(g))
    memcpy(o, a + 3 * LANES, sizeof(o))
    load(c, c_old, n)
    for l in range(LANES):
        i[l] = sigmoid(i[l])
        f[l] = sigmoid(f[l])
        g[l] = tanh_(g[l])
        o[l] = sigmoid(o[l])
        c[l] = f[l] * c[l] + i[l] * g[l]
        h[l] = o[l] * tanh_(c[l])
    copy(c_new, c, n)
    copy(h_new, h, n)
    memcpy(a, i, sizeof(i))
    memcpy(a + LANES, f, sizeof(f))
    memcpy(a + 2 * LANES, g, sizeof(g))
    memcpy(a + 3 * LANES, o, sizeof(o))


cdef void lstm_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
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
                product(<int>rows, PANEL, I, s.x + row * I, I, 1, P, PANEL, a)
                product(<int>rows, PANEL, H, s.hr + row * H, H, 1, P + I * PANEL, PANEL, a)
            for r in range(rows):
                at = (row + r) * H + j
                if alive(p, s.t, row + r):
                    lstm_units(a + r * PANEL, s.c_old + at, s.c_new + at, s.h_new + at, n)
                    if p.training:
                        for q in range(4):
                            copy(s.gates + (row + r) * p.ldg + q * H + j, a + r * PANEL + q * LANES, n)
                else:
                    copy(s.c_new + at, s.c_old + at, n)
                    copy(s.h_new + at, s.h_old + at, n)
            row += rows
        P += (I + H) * PANEL


cdef void lstm_back_row(Py_ssize_t H, real* gates, const real* c_old, const real* c_new, const real* dy, real* dh,
                        real* dc) noexcept nogil:
    """INOUT ``gates``: [i f g o], then their gradients; ``dc``: of c', then of c; ``dh``: of h', then 0."""
    cdef real i[LANES]
    cdef real f[LANES]
    cdef real g[LANES]
    cdef real o[LANES]
    cdef real c[LANES]
    cdef real b[LANES]
    cdef real d[LANES]
    cdef real e[LANES]
    cdef real u[LANES]
    cdef Py_ssize_t j, n
    cdef real t
    cdef int l
    for j from 0 <= j < H by LANES:
        n = least(LANES, H - j)
        load(i, gates + j, n)
        load(f, gates + H + j, n)
        load(g, gates + 2 * H + j, n)
        load(o, gates + 3 * H + j, n)
        load(c, c_new + j, n)
        load(b, c_old + j, n)
        load(d, dy + j, n)
        load(e, dh + j, n)
        load(u, dc + j, n)
        for l in range(LANES):
            d[l] += e[l]
            t = tanh_(c[l])
            e[l] = u[l] + d[l] * o[l] * (1 - t * t)
            o[l] = d[l] * t * o[l] * (1 - o[l])
            u[l] = e[l] * f[l]
            f[l] = e[l] * b[l] * f[l] * (1 - f[l])
            t = i[l]
            i[l] = e[l] * g[l] * t * (1 - t)
            g[l] = e[l] * t * (1 - g[l] * g[l])
        copy(gates + j, i, n)
        copy(gates + H + j, f, n)
        copy(gates + 2 * H + j, g, n)
        copy(gates + 3 * H + j, o, n)
        copy(dc + j, u, n)
    memset(dh, 0, H * sizeof(real))


cdef void lstm_back_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef Py_ssize_t H = p.H, row, at
    for row in range(r0, r1):
        at = row * H
        if alive(p, s.t, row):
            lstm_back_row(H, s.gates + row * p.ldg, s.c_old + at, s.c_new + at, p.dy + s.t * p.B * H + at, p.dh + at,
                          p.dc + at)
        else:
            memset(s.gates + row * p.ldg, 0, 4 * H * sizeof(real))
    add_back(p, s, r0, r1, p.back, s.gates, 4 * H)
    if p.dx != NULL:
        store_dx(p, s, r0, r1, 4 * H)
