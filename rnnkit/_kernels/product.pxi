# Register-tiled products, and the packing of weights into the panels that they read.


cdef inline void tile(int rows, int cols, Py_ssize_t K, const real* A, Py_ssize_t a_row, Py_ssize_t a_k,
                      const real* P, Py_ssize_t ldp, real* C) noexcept nogil:
    """C[rows,cols] += A[rows,K] P[K,cols].  Inlined with constant rows and cols, so that acc lives in registers."""
    cdef real acc[MR][PANEL]
    cdef real a
    cdef Py_ssize_t k
    cdef int r, l
    for r in range(rows):
        memcpy(&acc[r][0], C + r * PANEL, cols * sizeof(real))
    for k in range(K):
        for r in range(rows):
            a = A[r * a_row]
            for l in range(cols):
                acc[r][l] += a * P[l]
        A += a_k
        P += ldp
    for r in range(rows):
        memcpy(C + r * PANEL, &acc[r][0], cols * sizeof(real))


cdef inline void strip(int rows, int cols, Py_ssize_t K, const real* A, Py_ssize_t a_row, Py_ssize_t a_k,
                       const real* P, Py_ssize_t ldp, real* C) noexcept nogil:
    """A tile of 2 to MR rows: every height is its own code, all with the same sums in the same order."""
    if rows == 6:
        tile(6, cols, K, A, a_row, a_k, P, ldp, C)
    elif rows == 5:
        tile(5, cols, K, A, a_row, a_k, P, ldp, C)
    elif rows == 4:
        tile(4, cols, K, A, a_row, a_k, P, ldp, C)
    elif rows == 3:
        tile(3, cols, K, A, a_row, a_k, P, ldp, C)
    else:
        tile(2, cols, K, A, a_row, a_k, P, ldp, C)


cdef void product(int rows, int cols, Py_ssize_t K, const real* A, Py_ssize_t a_row, Py_ssize_t a_k,
                  const real* P, Py_ssize_t ldp, real* C) noexcept nogil:
    """C[rows,cols] += A[rows,K] P[K,cols] for 1 to MR rows and 1 to 4 whole groups of columns.

    IN ``A``: element (r, k) at ``r*a_row + k*a_k``, so that AᵀB is the same loop.  IN ``P``: row k at ``k*ldp``.
    INOUT ``C``: a local buffer with rows of PANEL.
    """
    cdef int narrow = TILE_BYTES // <int>sizeof(real)
    if rows == 1:  # in any register file: one row of a narrow tile would wait for its own sums
        if cols == PANEL:
            tile(1, PANEL, K, A, a_row, a_k, P, ldp, C)
        elif cols == 3 * LANES:
            tile(1, 3 * LANES, K, A, a_row, a_k, P, ldp, C)
        elif cols == 2 * LANES:
            tile(1, 2 * LANES, K, A, a_row, a_k, P, ldp, C)
        else:
            tile(1, LANES, K, A, a_row, a_k, P, ldp, C)
    elif narrow == PANEL:  # 32 wide registers: the whole panel at once
        if cols == PANEL:
            strip(rows, PANEL, K, A, a_row, a_k, P, ldp, C)
        elif cols == 3 * LANES:
            strip(rows, 3 * LANES, K, A, a_row, a_k, P, ldp, C)
        elif cols == 2 * LANES:
            strip(rows, 2 * LANES, K, A, a_row, a_k, P, ldp, C)
        else:
            strip(rows, LANES, K, A, a_row, a_k, P, ldp, C)
    else:
        while cols > 0:
            strip(rows, TILE_BYTES // <int>sizeof(real), K, A, a_row, a_k, P, ldp, C)
            P += narrow
            C += narrow
            cols -= narrow


cdef void pack_group(real* to, Py_ssize_t ldp, const real* source, Py_ssize_t by_k, Py_ssize_t by_column,
                     Py_ssize_t K, Py_ssize_t n) noexcept nogil:
    """One group of lanes, K deep: n columns of ``source``, element (k, l) at ``k*by_k + l*by_column``, then zeros."""
    cdef Py_ssize_t k, l
    for k in range(K):
        if by_column == 1 and n == LANES:
            memcpy(to, source, LANES * sizeof(real))
        else:
            for l in range(n):
                to[l] = source[l * by_column]
            for l in range(n, LANES):
                to[l] = 0
        to += ldp
        source += by_k


cdef void pack(real* to, Py_ssize_t depth, Py_ssize_t row, const real* source, Py_ssize_t by_k, Py_ssize_t by_column,
               Py_ssize_t K, Py_ssize_t N) noexcept nogil:
    """Rows ``row`` to ``row + K`` of panels that are ``depth`` deep and hold N columns, the last one narrower."""
    cdef Py_ssize_t j, g, cols
    for j from 0 <= j < N by PANEL:
        cols = groups_up(least(PANEL, N - j))
        for g from 0 <= g < cols by LANES:
            pack_group(to + j * depth + row * cols + g, cols, source + (j + g) * by_column, by_k, by_column, K,
                       least(LANES, N - j - g))


cdef void pack_gates(real* to, Py_ssize_t depth, Py_ssize_t row, const real* source, Py_ssize_t K, Py_ssize_t H,
                     const int* gates, int G) noexcept nogil:
    """Rows ``row`` to ``row + K`` of panels that hold the chosen gates of LANES units; ``source`` is [K, 3H or 4H]."""
    cdef Py_ssize_t j, ldp = G * LANES, width = (4 if G == 4 else 3) * H
    cdef int g
    for j from 0 <= j < H by LANES:
        for g in range(G):
            pack_group(to + j // LANES * depth * ldp + row * ldp + g * LANES, ldp, source + gates[g] * H + j, width, 1,
                       K, least(LANES, H - j))
