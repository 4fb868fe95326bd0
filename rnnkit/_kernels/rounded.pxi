# Products of numbers rounded to bfloat16 (bfloat16.h), where the processor has them: twice as many at a time.
#
# What is rounded: x, h and the weights, in pairs along K; the gate gradients, in place, each row of a panel into the
# first half of its room; for the gradients of the weights, pairs of rows, zipped.  Sums and all else are float32.


cdef void round_rows(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    """The share's rows of x_t and h_{t-1}, rounded; the odd one out of a pair stays zero."""
    cdef Py_ssize_t i, row
    for i in range(s.alive):
        row = w.rows[i]
        if riding(p):
            rnnkit_round(p.low_x + row * 2 * p.pairs_x, <const float*>(s.x + row * p.I), p.I)
        rnnkit_round(p.low_h + row * 2 * p.pairs_h, <const float*>(s.hr + row * p.H), p.H)


cdef inline void low_step_product(const Pass* p, const real* const* seed, const Py_ssize_t* rows, int count,
                                  Py_ssize_t j, int cols, int ld, Py_ssize_t wide, real* a) noexcept nogil:
    """``step_product`` of rounded numbers; x feeds the first of the columns, h the last, ``ld`` each."""
    cdef const half* x[MR]
    cdef const half* h[MR]
    cdef const half* P = p.low_forth + j * (p.pairs_x + p.pairs_h) * wide * 2
    cdef int r
    for r in range(count):
        memcpy(a + r * PANEL, seed[r], cols * sizeof(real))
        x[r], h[r] = p.low_x + rows[r] * 2 * p.pairs_x, p.low_h + rows[r] * 2 * p.pairs_h
    if riding(p):
        rnnkit_dot(count, ld // LANES, 1, p.pairs_x, x, 2, 0, P, 2 * ld, <float*>a)
        if p.variant == GRU_AFTER and closed_up(p, j):
            for r in range(count):
                keep_q(p, a + r * PANEL, seed[r])
    rnnkit_dot(count, ld // LANES, 1, p.pairs_h, h, 2, 0, P + p.pairs_x * 2 * ld, 2 * ld, <float*>(a + cols - ld))


cdef inline void low_product_runs(int rows, int cols, Py_ssize_t runs, Py_ssize_t run, const real* const* d, int skip,
                                  Py_ssize_t a_run, const half* P, real* a) noexcept nogil:
    """``product_runs`` of rounded gate gradients, the ``run`` of them from ``skip`` on in every panel."""
    cdef const half* low[MR]
    cdef int r
    for r in range(rows):
        low[r] = <const half*>d[r] + skip
    rnnkit_dot(rows, cols // LANES, runs, run // 2, low, 2, 2 * a_run, P, 2 * cols, <float*>a)


cdef inline void round_gates(const Pass* p, real* gates, Py_ssize_t cols) noexcept nogil:
    """A row of finished gate gradients, rounded in place."""
    if p.rounded:
        rnnkit_round(<half*>gates, <const float*>gates, cols)


cdef void zip_columns(const Job* job, const Chunk* chunk, int thread, int team) noexcept nogil:
    """This thread's share of a chunk's columns of x or h: pairs of rows, rounded and zipped."""
    cdef Py_ssize_t pair, pairs = (chunk.K + 1) // 2, n = groups_up(job.M)
    cdef const float* a
    cdef const float* b
    for pair in range(pairs * thread // team, pairs * (thread + 1) // team):
        a, b = <const float*>(job.a + row_of(chunk, 2 * pair) * job.a_k), NULL
        if 2 * pair + 1 < chunk.K:
            b = <const float*>(job.a + row_of(chunk, 2 * pair + 1) * job.a_k)
        rnnkit_zip_rows(<half*>job.packed + pair * 2 * n, a, b, job.M)


cdef void zip_panel(const Pass* p, Py_ssize_t j, const Chunk* chunk, half* to) noexcept nogil:
    """Pairs of rows of a panel of rounded gate gradients, zipped."""
    cdef Py_ssize_t cols = panel_cols(p, j), i
    cdef const real* rows = p.gates + j * p.width * p.tape_rows
    cdef const half* b
    for i from 0 <= i < chunk.K by 2:
        b = <const half*>(rows + row_of(chunk, i + 1) * cols) if i + 1 < chunk.K else NULL
        rnnkit_zip_halves(to + i * cols, <const half*>(rows + row_of(chunk, i) * cols), b, cols)


cdef inline void low_tall_product(const Pass* p, const Job* job, Py_ssize_t j, Py_ssize_t m, Py_ssize_t K, int rows,
                                  Py_ssize_t cols, const half* panel, real* a) noexcept nogil:
    """The sums of one tile over a chunk, from zipped columns and a zipped panel."""
    cdef half ones[2]
    cdef const half* A[MR]
    cdef Py_ssize_t a_k = 2 * groups_up(job.M)
    cdef int r
    ones[0] = ones[1] = 0x3F80
    for r in range(rows):
        A[r] = <const half*>job.packed + (m + r) * 2
    if job.a_row == 0:  # a bias: the number one throughout
        A[0], a_k = ones, 0
    rnnkit_dot(rows, <int>(cols // LANES), 1, (K + 1) // 2, A, a_k, 0, panel, 2 * panel_cols(p, j), <float*>a)


cdef void zip_weights(half* to, const real* rows, Py_ssize_t K, Py_ssize_t cols) noexcept nogil:
    """K rows of a panel as pairs, rounded; the odd one out goes with zeros."""
    cdef Py_ssize_t k
    for k from 0 <= k < K by 2:
        rnnkit_zip_rows(to + k * cols, <const float*>(rows + k * cols),
                        <const float*>(rows + (k + 1) * cols) if k + 1 < K else NULL, cols)


cdef void round_values(real* a, Py_ssize_t n) noexcept nogil:
    """n numbers, rounded to bfloat16 where they lie."""
    cdef half low[LANES]
    cdef real whole[LANES]
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        load(whole, a + i, least(LANES, n - i))
        rnnkit_round(low, <const float*>whole, LANES)
        memset(whole, 0, sizeof(whole))
        rnnkit_add_halves(<float*>whole, low, LANES)
        copy(a + i, whole, least(LANES, n - i))
