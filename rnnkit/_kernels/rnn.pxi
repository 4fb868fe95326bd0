# h' = tanh(x W + h R + b), or relu.  Nothing is kept but h; backward writes da [B,H] into the tape's gates.


cdef inline void rnn_units(real* a, Py_ssize_t cols, int relu) noexcept nogil:
    cdef Py_ssize_t l
    if relu:
        for l in range(cols):
            a[l] = 0 if a[l] < 0 else a[l]  # NaN stays NaN
    else:
        for l in range(cols):
            a[l] = tanh_(a[l])


cdef void rnn_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef real a[MR * PANEL]
    cdef Py_ssize_t I = p.I, H = p.H, j, r, n, cols, row, rows
    cdef const real* P
    for j from 0 <= j < H by PANEL:
        n = least(PANEL, H - j)
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
                if alive(p, s.t, row + r):
                    rnn_units(a + r * PANEL, cols, p.variant == RNN_RELU)
                    memcpy(s.h_new + (row + r) * H + j, a + r * PANEL, n * sizeof(real))
                else:
                    memcpy(s.h_new + (row + r) * H + j, s.h_old + (row + r) * H + j, n * sizeof(real))
            row += rows


cdef void rnn_back_row(const Pass* p, real* da, const real* h_new, const real* dy, real* dh) noexcept nogil:
    """da = (dh + dy) ⊙ (1 − h'²), or where h' > 0; nothing else of the old state passes, so dh becomes 0."""
    cdef real d[LANES]
    cdef real h[LANES]
    cdef real e[LANES]
    cdef Py_ssize_t j, n
    cdef int l
    for j from 0 <= j < p.H by LANES:
        n = least(LANES, p.H - j)
        load(d, dy + j, n)
        load(e, dh + j, n)
        load(h, h_new + j, n)
        if p.variant == RNN_RELU:
            for l in range(LANES):
                d[l] = d[l] + e[l] if h[l] > 0 else 0
        else:
            for l in range(LANES):
                d[l] = (d[l] + e[l]) * (1 - h[l] * h[l])
        copy(da + j, d, n)
    memset(dh, 0, p.H * sizeof(real))


cdef void rnn_back_step(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef Py_ssize_t H = p.H, row
    for row in range(r0, r1):
        if alive(p, s.t, row):
            rnn_back_row(p, s.gates + row * p.ldg, s.h_new + row * H, p.dy + (s.t * p.B + row) * H, p.dh + row * H)
        else:
            memset(s.gates + row * p.ldg, 0, H * sizeof(real))
    add_back(p, s, r0, r1, p.back, s.gates, H)
    if p.dx != NULL:
        store_dx(p, s, r0, r1, H)
