# The product of a step: every gate of some units, from where the sums start, through x_t, then h_{t-1}.


cdef inline void cell_tile(int rows, int cols, const real* const* start, Py_ssize_t I, const real* const* x, int x_at,
                           int x_cols, const real* W, Py_ssize_t ldw, Py_ssize_t H, const real* const* h, int h_at,
                           int h_cols, const real* R, Py_ssize_t ldr, real* C) noexcept nogil:
    """C[rows,cols] = start + x W + h R in registers; x feeds x_cols columns from x_at on, h likewise."""
    cdef real acc[MR][PANEL]
    cdef const real* in_x[MR]
    cdef const real* in_h[MR]
    cdef real a
    cdef Py_ssize_t k
    cdef int r, l
    for r in range(rows):
        in_x[r] = x[r]
        in_h[r] = h[r]
        memcpy(&acc[r][0], start[r], cols * sizeof(real))
    for k in range(I):
        for r in range(rows):
            a = in_x[r][k]
            for l in range(x_cols):
                acc[r][x_at + l] += a * W[l]
        W += ldw
    for k in range(H):
        for r in range(rows):
            a = in_h[r][k]
            for l in range(h_cols):
                acc[r][h_at + l] += a * R[l]
        R += ldr
    for r in range(rows):
        memcpy(C + r * PANEL, &acc[r][0], cols * sizeof(real))


cdef inline void cell_strip(int rows, int cols, const real* const* start, Py_ssize_t I, const real* const* x, int x_at,
                            int x_cols, const real* W, Py_ssize_t ldw, Py_ssize_t H, const real* const* h, int h_at,
                            int h_cols, const real* R, Py_ssize_t ldr, real* C) noexcept nogil:
    """A tile of 2 to MR rows, each height its own code."""
    if rows == 6:
        cell_tile(6, cols, start, I, x, x_at, x_cols, W, ldw, H, h, h_at, h_cols, R, ldr, C)
    elif rows == 5:
        cell_tile(5, cols, start, I, x, x_at, x_cols, W, ldw, H, h, h_at, h_cols, R, ldr, C)
    elif rows == 4:
        cell_tile(4, cols, start, I, x, x_at, x_cols, W, ldw, H, h, h_at, h_cols, R, ldr, C)
    elif rows == 3:
        cell_tile(3, cols, start, I, x, x_at, x_cols, W, ldw, H, h, h_at, h_cols, R, ldr, C)
    else:
        cell_tile(2, cols, start, I, x, x_at, x_cols, W, ldw, H, h, h_at, h_cols, R, ldr, C)


cdef void cell_product(int rows, int cols, bint shifted, const real* const* start, Py_ssize_t I, const real* const* x,
                       const real* W, Py_ssize_t H, const real* const* h, const real* R, real* C) noexcept nogil:
    """C[rows,cols] = start + x W + h R for 1 to MR rows and 1 to 4 whole groups of columns.

    ``shifted``: four groups, of which x feeds the first three and h the last three (reset-after GRU).  IN ``start``,
    ``x``, ``h``: where each row lies; ``W``, ``R``: a panel.  OUT ``C``: a local buffer with rows of PANEL.
    """
    cdef int narrow = TILE_BYTES // <int>sizeof(real), g, r
    cdef const real* part[MR]
    cdef Py_ssize_t ld = 3 * LANES if shifted else cols
    if rows == 1:  # in any register file: one row of a narrow tile would wait for its own sums
        if shifted:
            cell_tile(1, PANEL, start, I, x, 0, 3 * LANES, W, 3 * LANES, H, h, LANES, 3 * LANES, R, 3 * LANES, C)
        elif cols == PANEL:
            cell_tile(1, PANEL, start, I, x, 0, PANEL, W, PANEL, H, h, 0, PANEL, R, PANEL, C)
        else:
            for g from 0 <= g < cols by LANES:
                part[0] = start[0] + g
                cell_tile(1, LANES, part, I, x, 0, LANES, W + g, cols, H, h, 0, LANES, R + g, cols, C + g)
    elif narrow == PANEL:  # 32 wide registers: the whole panel at once
        if shifted:
            cell_strip(rows, PANEL, start, I, x, 0, 3 * LANES, W, 3 * LANES, H, h, LANES, 3 * LANES, R, 3 * LANES, C)
        elif cols == PANEL:
            cell_strip(rows, PANEL, start, I, x, 0, PANEL, W, PANEL, H, h, 0, PANEL, R, PANEL, C)
        elif cols == 3 * LANES:
            cell_strip(rows, 3 * LANES, start, I, x, 0, 3 * LANES, W, 3 * LANES, H, h, 0, 3 * LANES, R, 3 * LANES, C)
        elif cols == 2 * LANES:
            cell_strip(rows, 2 * LANES, start, I, x, 0, 2 * LANES, W, 2 * LANES, H, h, 0, 2 * LANES, R, 2 * LANES, C)
        else:
            cell_strip(rows, LANES, start, I, x, 0, LANES, W, LANES, H, h, 0, LANES, R, LANES, C)
    else:
        for g from 0 <= g < cols by narrow:
            for r in range(rows):
                part[r] = start[r] + g
            cell_strip(rows, TILE_BYTES // <int>sizeof(real), part, 0 if shifted and g >= 3 * LANES else I, x, 0,
                       TILE_BYTES // <int>sizeof(real), W + g, ld, 0 if shifted and g < LANES else H, h, 0,
                       TILE_BYTES // <int>sizeof(real), R + (g - LANES if shifted else g), ld, C + g)
