# What is summed or projected over many steps at once: the gradients of the inputs and of the parameters.

cdef enum:
    CHUNK = 768  # rows of T·B at a time: a panel of their gate gradients stays in the second-level cache
    BLOCK = 24  # rows of dx at a time: their gate gradients stay in the second-level cache
    JOBS = 5
    ALONE, FIRST, BETWEEN, LAST  # which of a tile's chunks


cdef void inputs_tile(const Pass* p, const real* sums, Py_ssize_t sums_rows, const Py_ssize_t* row, int rows, Py_ssize_t u,
                      real* out, bint fresh) noexcept nogil:
    """out = d Wᵀ, or += it: a panel of inputs from u on, for some rows of the gate gradients or of their sums by token."""
    cdef real a[MR * PANEL]
    cdef const real* d[MR]
    cdef Py_ssize_t run = 3 * LANES if p.variant == GRU_AFTER else p.width, K = run * p.full + p.rest, l
    cdef Py_ssize_t n = least(PANEL, p.I - u)
    cdef int r, cols = <int>groups_up(n)
    cdef bint low = p.rounded and sums == p.gates  # sums by token are not rounded
    cdef real* to
    for r in range(rows):
        d[r] = sums + row[r] * panel_cols(p, 0)
    memset(a, 0, rows * PANEL * sizeof(real))
    if low:
        low_product_runs(rows, cols, p.full, run, d, 0, p.width * sums_rows, p.low_back_x + u * K, a)
    else:
        product_runs(rows, cols, p.full, run, d, 1, p.width * sums_rows, p.back_x + u * K, cols, a)
    if p.rest:
        for r in range(rows):
            d[r] = sums + p.full * p.width * sums_rows + row[r] * p.rest
    if p.rest and low:
        low_product_runs(rows, cols, 1, p.rest, d, 0, 0, p.low_back_x + u * K + p.full * run * cols, a)
    elif p.rest:
        product_runs(rows, cols, 1, p.rest, d, 1, 0, p.back_x + u * K + p.full * run * cols, cols, a)
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


cdef inline Py_ssize_t strips_of(const Job* job) noexcept nogil:
    return (job.M + MR - 1) // MR


cdef inline real* out_at(const Pass* p, const Job* job, Py_ssize_t j, Py_ssize_t m, Py_ssize_t g) noexcept nogil:
    """Row m of a job's output where column g of panel j belongs."""
    if p.variant <= RNN_RELU:
        return job.out + m * job.ldo + j * PANEL + g
    return job.out + m * job.ldo + job.gates[(job.skip + g) // LANES] * p.H + j * LANES


cdef void add_tile(const Pass* p, const Job* job, Py_ssize_t j, Py_ssize_t m, const real* a) noexcept nogil:
    """Adds one finished tile to the caller's gradients."""
    cdef Py_ssize_t cols = least(job.cols, panel_cols(p, j)), r, g, n
    cdef int q
    if closed_up(p, j):
        for q in range(4):
            for r in range(least(MR, job.M - m) if job.gates[q] >= 0 else 0):
                add_units(job.out + (m + r) * job.ldo + job.gates[q] * p.H + j * LANES, a + r * PANEL + q * p.tail, NULL,
                          False, p.tail)
        return
    for g from 0 <= g < cols by LANES:
        n = least(LANES, p.H - (j * PANEL + g if p.variant <= RNN_RELU else j * LANES))
        for r in range(least(MR, job.M - m)):
            add_units(out_at(p, job, j, m + r, g), a + r * PANEL + g, NULL, False, n)


cdef void tall_product(const Pass* p, const Job* job, Py_ssize_t j, Py_ssize_t m, const Chunk* chunk, int place,
                       const real* panel) noexcept nogil:
    """One tile of a job's output from a chunk's rows: summed apart, then added, as wide sums keep more digits.

    IN ``panel``: panel j of those rows, one after the other (of rounded ones, pairs).
    """
    cdef real a[MR * PANEL]
    cdef Py_ssize_t wide = panel_cols(p, j), i
    cdef Py_ssize_t skip = 0 if closed_up(p, j) else job.skip, cols = wide if closed_up(p, j) else least(job.cols, wide)
    cdef int rows = <int>least(MR, job.M - m)
    cdef real* sums
    memset(a, 0, rows * PANEL * sizeof(real))
    if p.rounded and not job.tokens:
        low_tall_product(p, job, j, m, chunk.K, rows, cols, <const half*>panel + 2 * skip, a)
    elif job.packed != NULL:
        product(rows, <int>cols, chunk.K, job.packed + m * chunk.K, 1, MR, panel + skip, wide, a)
    else:
        product(rows, <int>cols, chunk.K, job.a + m * job.a_row + chunk.k * job.a_k, job.a_row, job.a_k, panel + skip,
                wide, a)
    if place == ALONE:
        add_tile(p, job, j, m, a)
        return
    sums = job.sums + (j * strips_of(job) * MR + m) * PANEL
    if place == FIRST:
        memcpy(sums, a, rows * PANEL * sizeof(real))
        return
    for i from 0 <= i < rows * PANEL by VL:
        put(sums + i, get(sums + i) + get(a + i))
    if place == LAST:
        add_tile(p, job, j, m, sums)


cdef const real* panel_of(const Pass* p, Py_ssize_t j, const Chunk* chunk, bint tokens, real* own) noexcept nogil:
    """Panel j of a chunk's rows, one after the other: where they lie, or else collected in a worker's own room."""
    cdef Py_ssize_t cols = panel_cols(p, j), i
    cdef const real* rows = p.gates + j * p.width * p.tape_rows
    if tokens:
        return p.token_sums + j * p.width * p.V
    if p.rounded:
        zip_panel(p, j, chunk, <half*>own)
        return own
    if chunk.rows == NULL:
        return rows + chunk.k * cols
    for i in range(chunk.K):
        memcpy(own + i * cols, rows + chunk.rows[i] * cols, cols * sizeof(real))
    return own


cdef void job_tiles(const Pass* p, const Job* jobs, int count, const Chunk* chunk, bint tokens, int place, int thread,
                    int team) noexcept nogil:
    """This thread's share of the tiles of all jobs of a kind, panel by panel."""
    cdef Py_ssize_t strips = 0, first, last, unit, j, at
    cdef const real* panel
    cdef int i
    for i in range(count):
        strips += strips_of(&jobs[i]) if jobs[i].tokens == tokens else 0
    first = strips * p.panels * thread // team
    last = strips * p.panels * (thread + 1) // team
    for j in range(first // strips if strips else 0, (last + strips - 1) // strips if strips else 0):
        unit = j * strips
        panel = panel_of(p, j, chunk, tokens, p.own_panels + thread * p.own_rows * p.width)
        for i in range(count):
            if jobs[i].tokens == tokens:
                for at in range(max(first - unit, 0), least(last - unit, strips_of(&jobs[i]))):
                    tall_product(p, &jobs[i], j, at * MR, chunk, place, panel)
                unit += strips_of(&jobs[i])


cdef void pack_strips(const Job* job, const Chunk* chunk, int thread, int team) noexcept nogil:
    """This thread's share of a chunk's columns, MR side by side, so that a tile reads them one after the other."""
    cdef Py_ssize_t strip, i
    cdef real* to
    for strip in range(strips_of(job) * thread // team, strips_of(job) * (thread + 1) // team):
        to = job.packed + strip * MR * chunk.K
        if (strip + 1) * MR <= job.M:
            for i in range(chunk.K):
                memcpy(to + i * MR, job.a + strip * MR + row_of(chunk, i) * job.a_k, MR * sizeof(real))
        else:
            for i in range(chunk.K):
                memcpy(to + i * MR, job.a + strip * MR + row_of(chunk, i) * job.a_k, (job.M - strip * MR) * sizeof(real))


cdef void accumulate_share(const Pass* p, const Job* wanted, int count, real* dE, int thread, int team,
                           rnnkit_barrier* barrier) noexcept nogil:
    """This thread's share of all sums, whole steps of about CHUNK rows at a time, the last ones first."""
    cdef Job jobs[JOBS]
    cdef Py_ssize_t steps = max(1, CHUNK // p.B), last = (p.stop - 1) // steps * steps, t = last
    cdef Chunk chunk
    cdef real* room
    cdef real* sums = p.sums
    cdef bint odd = False
    cdef int i, place
    memcpy(jobs, wanted, count * sizeof(Job))
    for i in range(count):
        jobs[i].sums = sums
        sums += 0 if jobs[i].tokens or sums == NULL else p.panels * strips_of(&jobs[i]) * MR * PANEL
    if p.token_sums != NULL:
        sum_tokens(p, p.panels * thread // team, p.panels * (thread + 1) // team)
        rnnkit_wait(barrier, team)
        chunk.rows, chunk.k, chunk.K = NULL, 0, p.V
        job_tiles(p, jobs, count, &chunk, True, ALONE, thread, team)
        if dE != NULL:
            table_rows(p, dE, p.V * thread // team, p.V * (thread + 1) // team)
    while t > p.start - steps:
        chunk = chunk_of(p, max(t, p.start), least(t + steps, p.stop), p.own_lists + thread * p.own_rows)
        if p.room != NULL:
            room = p.room + (p.room_half if odd else 0)
            odd = not odd
            for i in range(count):
                if jobs[i].a_row == 1 and not jobs[i].tokens:
                    jobs[i].packed = room
                    if p.rounded:
                        room += groups_up(jobs[i].M) * (chunk.K + 1) // 2
                        zip_columns(&jobs[i], &chunk, thread, team)
                    else:
                        room += strips_of(&jobs[i]) * MR * chunk.K
                        pack_strips(&jobs[i], &chunk, thread, team)
            rnnkit_wait(barrier, team)  # the other half of the room serves the next chunk: one barrier each is enough
        if p.sums == NULL or (t == last and t <= p.start):
            place = ALONE
        else:
            place = FIRST if t == last else LAST if t <= p.start else BETWEEN
        job_tiles(p, jobs, count, &chunk, False, place, thread, team)
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
                if p.rounded:
                    rnnkit_add_halves(<float*>to, <const half*>d, cols)
                    continue
                for l from 0 <= l < cols by VL:
                    put(to + l, get(to + l) + get(d + l))

