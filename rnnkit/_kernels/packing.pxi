# Weights, packed into the panels that the products read.


cdef real[::1] aligned(Py_ssize_t n, bint zero):
    """n numbers that start on a cache line."""
    cdef real[::1] raw = (np.zeros if zero else np.empty)(n + LANES, DTYPE)
    cdef Py_ssize_t skip = (64 - <uintptr_t>&raw[0] % 64) % 64 // sizeof(real)
    return raw[skip : skip + n]


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
    pack_some(to, depth, row, source, by_k, by_column, K, N, 0, (N + PANEL - 1) // PANEL)


cdef void pack_some(real* to, Py_ssize_t depth, Py_ssize_t row, const real* source, Py_ssize_t by_k,
                      Py_ssize_t by_column, Py_ssize_t K, Py_ssize_t N, Py_ssize_t first,
                      Py_ssize_t last) noexcept nogil:
    """Panels [first, last) of ``pack``."""
    cdef Py_ssize_t j, g, cols
    for j from first * PANEL <= j < last * PANEL by PANEL:
        cols = groups_up(least(PANEL, N - j))
        for g from 0 <= g < cols by LANES:
            pack_group(to + j * depth + row * cols + g, cols, source + (j + g) * by_column, by_k, by_column, K,
                       least(LANES, N - j - g))


cdef void pack_gates(real* to, Py_ssize_t depth, Py_ssize_t row, const real* source, Py_ssize_t K, Py_ssize_t H,
                     Py_ssize_t ld, const int* gates, int G, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Rows ``row`` to ``row + K`` of panels [first, last), G chosen gates of LANES units each; ``source`` is [K, ld]."""
    cdef Py_ssize_t j, ldp = G * LANES
    cdef int g
    for j in range(first, last):
        for g in range(G):
            pack_group(to + j * depth * ldp + row * ldp + g * LANES, ldp, source + gates[g] * H + j * LANES, ld, 1,
                       K, least(LANES, H - j * LANES))


cdef void pack_block(real* to, Py_ssize_t ldp, const real* source, Py_ssize_t ld, Py_ssize_t rows,
                     Py_ssize_t columns) noexcept nogil:
    """The transpose of a block of at most LANES × LANES of ``source [., ld]``, zero beyond its rows and columns."""
    cdef real block[LANES][LANES]
    cdef Py_ssize_t i
    cdef int k, l
    if rows < LANES or columns < LANES:
        memset(block, 0, sizeof(block))
    for i in range(rows):
        copy(block[i], source + i * ld, columns)
    for k in range(LANES):
        for l in range(LANES):
            to[k * ldp + l] = block[l][k]


cdef void pack_tail(real* to, const real* source, Py_ssize_t K, Py_ssize_t by_k, Py_ssize_t H, const int* gates,
                    Py_ssize_t n, Py_ssize_t cols) noexcept nogil:
    """K rows of a panel of ``cols`` columns that is closed up: the last n units of four gates, -1 for zeros."""
    cdef Py_ssize_t k
    cdef int q
    for k in range(K):
        memset(to, 0, cols * sizeof(real))
        for q in range(4):
            if gates[q] >= 0:
                memcpy(to + q * n, source + gates[q] * H + H - n, n * sizeof(real))
        to += cols
        source += by_k


cdef void pack_back(real* to, const real* source, Py_ssize_t N, Py_ssize_t ld, Py_ssize_t H, const int* gates, int G,
                    const int* tail_gates, Py_ssize_t tail, Py_ssize_t rest, Py_ssize_t first,
                    Py_ssize_t last) noexcept nogil:
    """``source [N, ld]`` transposed into panels [first, last) of its N rows: G chosen gates, LANES units at a time, as
    the panels of the tape have them; ``tail`` last units in ``rest`` rows where they are closed up."""
    cdef Py_ssize_t j, u, l, i, k, cols, units = H - tail, depth = groups_up(units) * G + (rest if tail else 0)
    cdef real* P
    cdef int g, q
    for j in range(first, last):
        cols = groups_up(least(PANEL, N - j * PANEL))
        P = to + j * PANEL * depth
        for u from 0 <= u < units by LANES:
            for g in range(G):
                for l from 0 <= l < cols by LANES:
                    pack_block(P + l, cols, source + (j * PANEL + l) * ld + gates[g] * H + u, ld,
                               least(LANES, N - j * PANEL - l), least(LANES, units - u))
                P += LANES * cols
        if tail:
            memset(P, 0, rest * cols * sizeof(real))
            for q in range(4):
                for k in range(tail if tail_gates[q] >= 0 else 0):
                    for i in range(least(cols, N - j * PANEL)):
                        P[(q * tail + k) * cols + i] = source[(j * PANEL + i) * ld + tail_gates[q] * H + units + k]
