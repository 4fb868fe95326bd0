# x W + b of many rows at once: of the table of token vectors, or of a chunk of steps when a step has few rows.

cdef enum:
    FEW = 8  # rows of a step up to which W is better read once for many steps
    AHEAD = 64  # rows that are projected at a time


cdef void project(const Pass* p, const real* x, Py_ssize_t rows_in_all, real* out, Py_ssize_t first,
                  Py_ssize_t last) noexcept nogil:
    """OUT ``out``: panels [first, last) of x W + b for all rows of ``x [., I]``, laid out as the seeds of a pass."""
    cdef real a[MR * PANEL]
    cdef const real* seed[MR]
    cdef const real* row[MR]
    cdef Py_ssize_t I = p.I, j, k
    cdef int r, rows, wide, cols
    for j in range(first, last):
        wide = panel_cols(p, j)
        cols = 2 * LANES if p.variant == GRU_BEFORE else wide
        k = 0
        while k < rows_in_all:
            rows = height(rows_in_all - k)
            for r in range(rows):
                seed[r], row[r] = p.bias + j * p.width, x + (k + r) * I
            cell_product(rows, cols, p.variant == GRU_AFTER and not closed_up(p, j), seed, I, row, forth_at(p, j), 0, row, forth_at(p, j), a)
            for r in range(rows):
                if p.variant == GRU_AFTER and closed_up(p, j):
                    keep_q(p, a + r * PANEL, seed[r])
                memcpy(out + j * p.width * rows_in_all + (k + r) * wide, a + r * PANEL, cols * sizeof(real))
            k += rows
    if p.variant == GRU_BEFORE:
        project_candidates(p, x, rows_in_all, out, p.depth)


cdef void project_candidates(const Pass* p, const real* x, Py_ssize_t rows_in_all, real* out,
                             Py_ssize_t depth) noexcept nogil:
    """The third group of every panel of a reset-before GRU, whose weights lie in panels of their own."""
    cdef real a[MR * PANEL]
    cdef real starts[PANEL]
    cdef const real* seed[MR]
    cdef const real* row[MR]
    cdef Py_ssize_t k, u, g
    cdef int r, rows, cols
    for u from 0 <= u < p.H by PANEL:
        cols = <int>groups_up(least(PANEL, p.H - u))
        for g from 0 <= g < cols by LANES:
            memcpy(starts + g, p.bias + (u + g) // LANES * p.width + 2 * LANES, LANES * sizeof(real))
        k = 0
        while k < rows_in_all:
            rows = height(rows_in_all - k)
            for r in range(rows):
                seed[r], row[r] = starts, x + (k + r) * p.I
            cell_product(rows, cols, False, seed, p.I, row, p.candidate + u * depth, 0, row, p.candidate, a)
            for r in range(rows):
                for g from 0 <= g < cols by LANES:
                    memcpy(out + (u + g) // LANES * p.width * rows_in_all + (k + r) * p.width + 2 * LANES,
                           a + r * PANEL + g, LANES * sizeof(real))
            k += rows


cdef inline Py_ssize_t forth_cols(const Pass* p, Py_ssize_t j) noexcept nogil:
    """Columns of panel j of the weights that meet x and h."""
    if p.variant == GRU_AFTER and not closed_up(p, j):
        return 3 * LANES
    return 2 * LANES if p.variant == GRU_BEFORE else panel_cols(p, j)


cdef inline const real* forth_at(const Pass* p, Py_ssize_t j) noexcept nogil:
    """Panel j of the weights that meet x and h."""
    cdef Py_ssize_t cols = 3 * LANES if p.variant == GRU_AFTER else 2 * LANES if p.variant == GRU_BEFORE else p.width
    return p.forth + j * p.depth * cols
