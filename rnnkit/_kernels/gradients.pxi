# What is summed or projected over many steps at once: the gradients of the inputs and of the parameters.

cdef enum:
    CHUNK = 384  # rows of T·B at a time: a panel of their gate gradients stays in the first-level cache
    BLOCK = 48  # rows of dx at a time: their gate gradients stay in the second-level cache
    JOBS = 5


cdef inline bint alive(const Pass* p, Py_ssize_t k) noexcept nogil:
    """Whether row k of T·B is a step of its sequence."""
    return p.lengths == NULL or k // p.B < p.lengths[k % p.B]


cdef void inputs_tile(const Pass* p, const real* sums, Py_ssize_t sums_rows, const Py_ssize_t* row, int rows, Py_ssize_t u,
                      real* out, bint fresh) noexcept nogil:
    """out = d Wᵀ, or += it: a panel of inputs from u on, for some rows of the gate gradients or of their sums by token."""
    cdef real a[MR * PANEL]
    cdef const real* d[MR]
    cdef Py_ssize_t full = p.panels, run = PANEL if p.variant <= LSTM else 3 * LANES, K = run * full, rest = 0, l
    cdef Py_ssize_t n = least(PANEL, p.I - u)
    cdef int r, cols = <int>groups_up(n)
    cdef real* to
    if p.variant <= RNN_RELU:
        K, full = groups_up(p.H), p.H // PANEL
        rest = K - full * PANEL
    for r in range(rows):
        d[r] = sums + row[r] * panel_cols(p, 0)
    memset(a, 0, rows * PANEL * sizeof(real))
    product_runs(rows, cols, full, run, d, 1, p.width * sums_rows, p.back_x + u * K, cols, a)
    if rest:
        for r in range(rows):
            d[r] = sums + full * p.width * sums_rows + row[r] * rest
        product_runs(rows, cols, 1, rest, d, 1, 0, p.back_x + u * K + full * PANEL * cols, cols, a)
    for r in range(rows):
        to = out + row[r] * p.I + u
        if fresh:
            memcpy(to, a + r * PANEL, n * sizeof(real))
        else:
            for l in range(n):
                to[l] += a[r * PANEL + l]


cdef void inputs_rows(const Pass* p, Py_ssize_t k0, Py_ssize_t k1) noexcept nogil:
    """dx for rows [k0, k1) of T·B; rows without a step get zero."""
    cdef Py_ssize_t row[BLOCK]
    cdef Py_ssize_t k = k0, u, i, count
    cdef int rows
    while k < k1:
        count = 0
        while k < k1 and count < BLOCK:
            if alive(p, k):
                row[count] = k
                count += 1
            else:
                memset(p.dx + k * p.I, 0, p.I * sizeof(real))
            k += 1
        for u from 0 <= u < p.I by PANEL:
            i = 0
            while i < count:
                rows = height(count - i)
                inputs_tile(p, p.gates, p.tape_rows, row + i, rows, u, p.dx, True)
                i += rows


cdef void table_rows(const Pass* p, real* dE, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """dE += sums Wᵀ for tokens [first, last)."""
    cdef Py_ssize_t row[MR]
    cdef Py_ssize_t v, u
    cdef int r, rows
    for u from 0 <= u < p.I by PANEL:
        v = first
        while v < last:
            rows = height(last - v)
            for r in range(rows):
                row[r] = v + r
            inputs_tile(p, p.token_sums, p.V, row, rows, u, dE, False)
            v += rows


# out[M, gates] += Σ_k a_k dᵀ_k: some columns of every panel of the gate gradients against x, h or, for a bias, the number one.
cdef struct Job:
    const real* a
    Py_ssize_t a_row, a_k, M
    Py_ssize_t skip, cols  # of each panel; the last panel of a vanilla RNN has fewer
    int gates[4]  # where each group of columns belongs
    bint tokens  # sums over tokens: all rows count, in one chunk
    real* out
    Py_ssize_t ldo


cdef inline Py_ssize_t strips_of(const Job* job) noexcept nogil:
    return (job.M + MR - 1) // MR


cdef void tall_product(const Pass* p, const Job* job, Py_ssize_t j, Py_ssize_t m, Py_ssize_t k,
                       Py_ssize_t K) noexcept nogil:
    """One tile of a job's output, from rows k to k + K: summed apart, then added, as wide sums keep more digits."""
    cdef real a[MR * PANEL]
    cdef Py_ssize_t wide = panel_cols(p, j), cols = least(job.cols, wide), first = k, last, r, l, g, n, u
    cdef int rows = <int>least(MR, job.M - m)
    cdef const real* d = p.gates + j * p.width * p.tape_rows + job.skip
    cdef real* out
    if job.tokens:
        d = p.token_sums + j * p.width * p.V + job.skip
    memset(a, 0, rows * PANEL * sizeof(real))
    while first < k + K:
        last = k + K
        if p.lengths != NULL and not job.tokens:
            while first < last and not alive(p, first):
                first += 1
            last = first
            while last < k + K and alive(p, last):
                last += 1
        if last > first:
            product(rows, <int>cols, last - first, job.a + m * job.a_row + first * job.a_k, job.a_row, job.a_k,
                    d + first * wide, wide, a)
        first = last
    for g from 0 <= g < cols by LANES:
        u = j * PANEL + g if p.variant <= RNN_RELU else j * LANES
        n = least(LANES, p.H - u)
        for r in range(rows):
            out = job.out + (m + r) * job.ldo + (0 if p.variant <= RNN_RELU else job.gates[g // LANES] * p.H) + u
            add_units(out, a + r * PANEL + g, NULL, False, n)


cdef void job_tiles(const Pass* p, const Job* jobs, int count, Py_ssize_t k, Py_ssize_t K, bint tokens, int thread,
                    int team) noexcept nogil:
    """This thread's share of the tiles of all jobs of a kind, panel by panel, from rows k to k + K."""
    cdef Py_ssize_t strips = 0, first, last, unit, j, at
    cdef int i
    for i in range(count):
        strips += strips_of(&jobs[i]) if jobs[i].tokens == tokens else 0
    first = strips * p.panels * thread // team
    last = strips * p.panels * (thread + 1) // team
    unit = 0
    for j in range(first // strips if strips else 0, (last + strips - 1) // strips if strips else 0):
        unit = j * strips
        for i in range(count):
            if jobs[i].tokens == tokens:
                for at in range(max(first - unit, 0), least(last - unit, strips_of(&jobs[i]))):
                    tall_product(p, &jobs[i], j, at * MR, k, K)
                unit += strips_of(&jobs[i])


cdef void accumulate_share(const Pass* p, const Job* jobs, int count, real* dE, int thread, int team,
                           rnnkit_barrier* barrier) noexcept nogil:
    """This thread's share of all sums, whole steps of about CHUNK rows at a time, the last ones first."""
    cdef Py_ssize_t steps = max(1, CHUNK // p.B), t = (p.stop - 1) // steps * steps, first
    if p.token_sums != NULL:
        sum_tokens(p, p.panels * thread // team, p.panels * (thread + 1) // team)
        rnnkit_wait(barrier, team)
        job_tiles(p, jobs, count, 0, p.V, True, thread, team)
        if dE != NULL:
            table_rows(p, dE, p.V * thread // team, p.V * (thread + 1) // team)
    while t > p.start - steps:
        first = max(t, p.start)
        job_tiles(p, jobs, count, first * p.B, (least(t + steps, p.stop) - first) * p.B, False, thread, team)
        t -= steps


cdef void sum_tokens(const Pass* p, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Panels [first, last) of the sums of gate gradients by token: x W of a token's steps had the same row of the table."""
    cdef Py_ssize_t j, k, cols
    cdef const real* d
    cdef real* to
    cdef int l
    for j in range(first, last):
        cols = panel_cols(p, j)
        memset(p.token_sums + j * p.width * p.V, 0, cols * p.V * sizeof(real))
        for k in range(p.start * p.B, p.stop * p.B):
            if alive(p, k):
                d = p.gates + j * p.width * p.tape_rows + k * cols
                to = p.token_sums + j * p.width * p.V + p.ids[k] * cols
                for l from 0 <= l < cols by VL:
                    put(to + l, get(to + l) + get(d + l))

