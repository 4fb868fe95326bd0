# Register-tiled products, and the packing of weights into the panels that they read.


cdef inline void tile(int rows, int cols, Py_ssize_t runs, Py_ssize_t run, const real* const* A, Py_ssize_t a_k,
                      Py_ssize_t a_run, const real* P, Py_ssize_t ldp, real* C) noexcept nogil:
    """C[rows,cols] += A P, K = runs × run deep.  Inlined with constant rows and cols, so that acc lives in registers.

    IN ``A``: where each row begins; its element k of run n lies at ``n*a_run + k*a_k``.  IN ``P``: row k at ``k*ldp``.
    INOUT ``C``: a local buffer with rows of PANEL.
    """
    cdef real acc[MR][PANEL]
    cdef const real* row[MR]
    cdef real a
    cdef Py_ssize_t k, n, at
    cdef int r, l
    for r in range(rows):
        row[r] = A[r]
        memcpy(&acc[r][0], C + r * PANEL, cols * sizeof(real))
    for n in range(runs):
        at = 0
        for k in range(run):
            for r in range(rows):
                a = row[r][at]
                for l in range(cols):
                    acc[r][l] += a * P[l]
            at += a_k
            P += ldp
        for r in range(rows):
            row[r] += a_run
    for r in range(rows):
        memcpy(C + r * PANEL, &acc[r][0], cols * sizeof(real))


cdef inline void strip(int rows, int cols, Py_ssize_t runs, Py_ssize_t run, const real* const* A, Py_ssize_t a_k,
                       Py_ssize_t a_run, const real* P, Py_ssize_t ldp, real* C) noexcept nogil:
    """A tile of 2 to MR rows: every height is its own code, all with the same sums in the same order."""
    if rows == 6:
        tile(6, cols, runs, run, A, a_k, a_run, P, ldp, C)
    elif rows == 5:
        tile(5, cols, runs, run, A, a_k, a_run, P, ldp, C)
    elif rows == 4:
        tile(4, cols, runs, run, A, a_k, a_run, P, ldp, C)
    elif rows == 3:
        tile(3, cols, runs, run, A, a_k, a_run, P, ldp, C)
    else:
        tile(2, cols, runs, run, A, a_k, a_run, P, ldp, C)


cdef void product_runs(int rows, int cols, Py_ssize_t runs, Py_ssize_t run, const real* const* A, Py_ssize_t a_k,
                       Py_ssize_t a_run, const real* P, Py_ssize_t ldp, real* C) noexcept nogil:
    """``tile`` for 1 to MR rows and 1 to 4 whole groups of columns."""
    cdef int narrow = TILE_BYTES // <int>sizeof(real)
    if rows == 1:  # in any register file: one row of a narrow tile would wait for its own sums
        if cols == PANEL:
            tile(1, PANEL, runs, run, A, a_k, a_run, P, ldp, C)
        elif cols == 3 * LANES:
            tile(1, 3 * LANES, runs, run, A, a_k, a_run, P, ldp, C)
        elif cols == 2 * LANES:
            tile(1, 2 * LANES, runs, run, A, a_k, a_run, P, ldp, C)
        else:
            tile(1, LANES, runs, run, A, a_k, a_run, P, ldp, C)
    elif narrow == PANEL:  # 32 wide registers: the whole panel at once
        if cols == PANEL:
            strip(rows, PANEL, runs, run, A, a_k, a_run, P, ldp, C)
        elif cols == 3 * LANES:
            strip(rows, 3 * LANES, runs, run, A, a_k, a_run, P, ldp, C)
        elif cols == 2 * LANES:
            strip(rows, 2 * LANES, runs, run, A, a_k, a_run, P, ldp, C)
        else:
            strip(rows, LANES, runs, run, A, a_k, a_run, P, ldp, C)
    else:
        while cols > 0:
            strip(rows, TILE_BYTES // <int>sizeof(real), runs, run, A, a_k, a_run, P, ldp, C)
            P += narrow
            C += narrow
            cols -= narrow


cdef void product(int rows, int cols, Py_ssize_t K, const real* A, Py_ssize_t a_row, Py_ssize_t a_k,
                  const real* P, Py_ssize_t ldp, real* C) noexcept nogil:
    """C[rows,cols] += A[rows,K] P[K,cols] for 1 to MR rows and 1 to 4 whole groups of columns.

    IN ``A``: element (r, k) at ``r*a_row + k*a_k``, so that AᵀB is the same loop.  IN ``P``: row k at ``k*ldp``.
    INOUT ``C``: a local buffer with rows of PANEL.
    """
    cdef const real* row[MR]
    cdef int r
    for r in range(rows):
        row[r] = A + r * a_row
    product_runs(rows, cols, 1, K, row, a_k, 0, P, ldp, C)


cdef inline int height(Py_ssize_t count) noexcept nogil:
    """Rows of the next strip, so that ``count`` rows fall into as few and as equal strips as can be."""
    cdef Py_ssize_t strips = (count + MR - 1) // MR
    return <int>((count + strips - 1) // strips)
