# One pass over time as the workers see it: sizes, weights, buffers, and the pointers of one step.

cdef enum:
    RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE


cdef struct Pass:
    int variant, reverse, training
    Py_ssize_t B, I, H, start, stop
    # IN: the weights, packed (see Weights)
    const real* forth
    const real* candidate
    const real* bias
    const real* back
    const real* back_n
    const real* back_x
    # the tape: steps apart by `tape_step` rows (0 when nothing is kept), gates in rows of ldg
    Py_ssize_t ldg, tape_step
    real* gates
    real* hr
    real* rh
    # IN and INOUT: the caller's arrays
    const real* x
    real* h
    real* c
    const Py_ssize_t* lengths
    const real* mask
    const real* dy
    real* dh
    real* dc
    real* dx


cdef struct Step:
    Py_ssize_t t
    const real* x
    real* h_old
    real* h_new
    real* c_old
    real* c_new
    real* gates
    real* hr  # what R meets: h_old, or mask ⊙ h_old
    real* rh  # reset-before GRU: r ⊙ hr


cdef inline Step step_at(const Pass* p, Py_ssize_t t) noexcept nogil:
    """The rows of step t in every array (row 0 of the batch)."""
    cdef Step s
    cdef Py_ssize_t BH = p.B * p.H, old = t + 1 if p.reverse else t, new = t if p.reverse else t + 1
    s.t = t
    s.x = p.x + t * p.B * p.I
    s.h_old = p.h + old * BH
    s.h_new = p.h + new * BH
    s.c_old = p.c + old * BH if p.c != NULL else NULL
    s.c_new = p.c + new * BH if p.c != NULL else NULL
    s.gates = p.gates + t * p.tape_step * p.ldg if p.gates != NULL else NULL
    s.hr = p.hr + t * p.tape_step * p.H if p.mask != NULL else s.h_old
    s.rh = p.rh + t * p.tape_step * p.H if p.rh != NULL else NULL
    return s


cdef inline bint alive(const Pass* p, Py_ssize_t t, Py_ssize_t row) noexcept nogil:
    """Whether this row has a step t."""
    return p.lengths == NULL or t < p.lengths[row]


cdef inline bint all_dead(const Pass* p, Py_ssize_t t, Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    """Whether none of these rows has a step t: their products need not be made."""
    cdef Py_ssize_t r
    if p.lengths == NULL:
        return False
    for r in range(row, row + rows):
        if t < p.lengths[r]:
            return False
    return True


cdef void start_tile(real* a, Py_ssize_t rows, Py_ssize_t cols, const real* bias) noexcept nogil:
    """Each row of the tile starts from the bias of its columns."""
    cdef Py_ssize_t r
    for r in range(rows):
        memcpy(a + r * PANEL, bias, cols * sizeof(real))


cdef void mask_rows(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    """hr = mask ⊙ h_old."""
    cdef Py_ssize_t k
    cdef real* hr = s.hr
    for k in range(r0 * p.H, r1 * p.H):
        hr[k] = p.mask[k] * s.h_old[k]


cdef inline void add_row(real* dh, const real* a, const real* mask, Py_ssize_t units) noexcept nogil:
    """dh += mask ⊙ a, group by group in local arrays, which cannot overlap."""
    cdef real d[LANES]
    cdef real e[LANES]
    cdef real m[LANES]
    cdef Py_ssize_t g, n
    cdef int l
    for g from 0 <= g < units by LANES:
        n = least(LANES, units - g)
        load(d, dh + g, n)
        memcpy(e, a + g, sizeof(e))
        if mask == NULL:
            for l in range(LANES):
                d[l] += e[l]
        else:
            load(m, mask + g, n)
            for l in range(LANES):
                d[l] += m[l] * e[l]
        copy(dh + g, d, n)


cdef void add_back(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1, const real* panels,
                   const real* d, Py_ssize_t K) noexcept nogil:
    """dh += mask ⊙ (d Rᵀ) for the rows that are alive; ``d``: K columns of the gate gradients, ``panels``: their Rᵀ."""
    cdef real a[MR * PANEL]
    cdef Py_ssize_t H = p.H, j, r, at, n, cols, row, rows
    for j from 0 <= j < H by PANEL:
        n = least(PANEL, H - j)
        cols = groups_up(n)
        row = r0
        while row < r1:
            rows = least(MR, r1 - row)
            if not all_dead(p, s.t, row, rows):
                memset(a, 0, sizeof(a))
                product(<int>rows, <int>cols, K, d + row * p.ldg, p.ldg, 1, panels + j * K, cols, a)
                for r in range(rows):
                    if alive(p, s.t, row + r):
                        at = (row + r) * H + j
                        add_row(p.dh + at, a + r * PANEL, p.mask + at if p.mask != NULL else NULL, n)
            row += rows


cdef void store_dx(const Pass* p, const Step* s, Py_ssize_t r0, Py_ssize_t r1, Py_ssize_t K) noexcept nogil:
    """dx_t = d Wᵀ, from the first K columns of the gate gradients; dead rows, whose d is zero, get zero."""
    cdef real a[MR * PANEL]
    cdef Py_ssize_t I = p.I, j, r, n, cols, row, rows
    cdef real* dx = p.dx + s.t * p.B * I
    for j from 0 <= j < I by PANEL:
        n = least(PANEL, I - j)
        cols = groups_up(n)
        row = r0
        while row < r1:
            rows = least(MR, r1 - row)
            memset(a, 0, sizeof(a))
            if not all_dead(p, s.t, row, rows):
                product(<int>rows, <int>cols, K, s.gates + row * p.ldg, p.ldg, 1, p.back_x + j * K, cols, a)
            for r in range(rows):
                memcpy(dx + (row + r) * I + j, a + r * PANEL, n * sizeof(real))
            row += rows
