# One pass over time as the workers see it: sizes, weights, buffers, a worker's share, and the pointers of one step.
#
# Gates lie in panels from end to end: panel j holds every gate of its units in `cols` columns, for all rows of the
# tape one after the other.  So a tile of the forward product is stored as it is, and the products of backward read
# whole panels without a copy.  All panels are `width` wide but for a last one of fewer units: there, the gates of a
# gated cell's `tail` units stand side by side without room between them (in the order of all panels), then zeros.

cdef enum:
    RNN_TANH, RNN_RELU, LSTM, GRU_AFTER, GRU_BEFORE
    MINGRU_LINEAR, MINGRU_POSITIVE, MINLSTM_LINEAR, MINLSTM_POSITIVE  # without R
    BIAS, TOKENS, PROJECTED  # where the sums of a step start


cdef struct Pass:
    int variant, reverse, training
    Py_ssize_t B, I, H, start, stop
    Py_ssize_t depth  # rows of a panel of forth: I, and H where there is R
    Py_ssize_t width, panels  # of the gates
    Py_ssize_t full, rest, tail  # panels of that width, columns of a narrower last one, units in it if it is closed up
    # IN: the weights, packed (see Weights)
    const real* forth
    const real* candidate
    const real* back
    const real* back_n
    const real* back_x
    # the same rounded to bfloat16, in pairs along K, where products are of such numbers
    bint rounded
    const half* low_forth
    const half* low_back
    const half* low_back_x
    half* low_x  # rows of a step, `pairs_x` and `pairs_h` pairs each
    half* low_h
    Py_ssize_t pairs_x, pairs_h
    # where sums start: per panel, `seed_rows` rows of its columns
    int seed_kind
    Py_ssize_t seed_rows, seed_first
    const real* seed
    real* projected  # the buffer of a chunk of x W + b
    const real* bias
    # the tape: steps apart by `tape_step` rows (0 when nothing is kept) of `tape_rows`
    Py_ssize_t tape_step, tape_rows
    real* gates
    real* hr
    real* rh
    real* token_sums
    real* room  # for the columns of two chunks, NULL where they are read as they lie
    Py_ssize_t room_half
    # every worker's own room, where rows of a chunk do not lie as they are read: `own_rows` of a panel, and their list
    real* own_panels
    Py_ssize_t* own_lists
    Py_ssize_t own_rows
    real* sums  # the tiles of all sums, NULL where one chunk makes them
    # IN and INOUT: the caller's arrays
    const real* x
    const Py_ssize_t* ids
    const real* table
    Py_ssize_t V
    real* h
    real* c
    const Py_ssize_t* lengths
    const real* mask
    const real* dy
    real* dh
    real* dc
    real* dx


# What one worker does of a step: the rows of its list, the longest first, and the units [unit, end).
cdef struct Share:
    const Py_ssize_t* rows
    Py_ssize_t count, unit, end
    int thread, team
    bint meets  # whether the others work on the same rows
    rnnkit_barrier* barrier


cdef struct Step:
    Py_ssize_t t, alive  # rows of the share that have a step t
    Py_ssize_t next  # the step after this one on the way back, -1 when there is none
    bint odd  # every other step goes through the panels from the last to the first: some are still in the cache
    const real* x
    real* h_old
    real* h_new
    real* c_old
    real* c_new
    real* hr  # what R meets: h_old, or mask ⊙ h_old
    real* rh  # reset-before GRU: r ⊙ hr


cdef inline Step step_at(const Pass* p, Py_ssize_t t) noexcept nogil:
    """The rows of step t in every array (row 0 of the batch)."""
    cdef Step s
    cdef Py_ssize_t BH = p.B * p.H, old = t + 1 if p.reverse else t, new = t if p.reverse else t + 1
    s.t, s.odd, s.alive, s.next = t, t % 2, 0, -1
    s.x = p.x + t * p.B * p.I if p.x != NULL else NULL
    s.h_old = p.h + old * BH
    s.h_new = p.h + new * BH
    s.c_old = p.c + old * BH if p.c != NULL else NULL
    s.c_new = p.c + new * BH if p.c != NULL else NULL
    s.hr = p.hr + t * p.tape_step * p.H if p.mask != NULL else s.h_old
    s.rh = p.rh + t * p.tape_step * p.H if p.rh != NULL else NULL
    return s


cdef inline Py_ssize_t alive_rows(const Pass* p, const Share* w, Py_ssize_t t) noexcept nogil:
    """How many of the share's rows, the first ones, have a step t."""
    cdef Py_ssize_t n = w.count
    if p.lengths != NULL:
        while n > 0 and p.lengths[w.rows[n - 1]] <= t:
            n -= 1
    return n


cdef inline int panel_cols(const Pass* p, Py_ssize_t j) noexcept nogil:
    """Columns of panel j."""
    return <int>(p.rest if j == p.full else p.width)


cdef inline bint closed_up(const Pass* p, Py_ssize_t j) noexcept nogil:
    """Whether panel j holds the gates of few units without room between them."""
    return p.tail > 0 and j == p.full


cdef inline void keep_q(const Pass* p, real* a, const real* seed) noexcept nogil:
    """Undo what x did to q in a panel that is closed up: no weight but 0 led there, yet infinity times 0 is NaN."""
    memcpy(a + 3 * p.tail, seed + 3 * p.tail, p.tail * sizeof(real))


cdef inline real* gates_at(const Pass* p, Py_ssize_t j, Py_ssize_t t, Py_ssize_t row) noexcept nogil:
    """Panel j of a row's gates."""
    return p.gates + j * p.width * p.tape_rows + (t * p.tape_step + row) * panel_cols(p, j)


cdef inline void seeds_of(const Pass* p, const real** seed, const Py_ssize_t* rows, int count, Py_ssize_t j,
                          Py_ssize_t t) noexcept nogil:
    """Where the sums of some rows' panel j start: the bias, a token's row of the table, or a row of the chunk."""
    cdef const real* first = p.seed + j * p.width * p.seed_rows
    cdef Py_ssize_t cols = panel_cols(p, j)
    cdef int r
    if p.seed_kind == TOKENS:
        for r in range(count):
            seed[r] = first + p.ids[t * p.B + rows[r]] * cols
    elif p.seed_kind == PROJECTED:
        for r in range(count):
            seed[r] = first + ((t - p.seed_first) * p.B + rows[r]) * cols
    else:
        for r in range(count):
            seed[r] = first


cdef inline Py_ssize_t riding(const Pass* p) noexcept nogil:
    """Inputs that run through the K loop before h."""
    return p.I if p.seed_kind == BIAS else 0


cdef inline Py_ssize_t turn(Py_ssize_t n, Py_ssize_t first, Py_ssize_t last, bint odd) noexcept nogil:
    """The n-th of [first, last), or the n-th from its end."""
    return last - 1 - n if odd else first + n


cdef void keep_dead(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    """Rows without a step t keep their state."""
    cdef Py_ssize_t i, at, bytes = (w.end - w.unit) * sizeof(real)
    for i in range(s.alive, w.count):
        at = w.rows[i] * p.H + w.unit
        memcpy(s.h_new + at, s.h_old + at, bytes)
        if p.c != NULL:
            memcpy(s.c_new + at, s.c_old + at, bytes)


cdef void mask_rows(const Pass* p, const Step* s, const Share* w) noexcept nogil:
    """hr = mask ⊙ h_old, the share's units."""
    cdef Py_ssize_t i, k, at
    cdef real* hr = s.hr
    for i in range(w.count):
        at = w.rows[i] * p.H
        for k in range(at + w.unit, at + w.end):
            hr[k] = p.mask[k] * s.h_old[k]
    if w.meets:
        rnnkit_wait(w.barrier, w.team)


cdef inline void add_units(real* dh, const real* a, const real* mask, bint fresh, Py_ssize_t units) noexcept nogil:
    """dh = mask ⊙ a, or dh += mask ⊙ a."""
    cdef real old[LANES]
    cdef real factor[LANES]
    cdef Py_ssize_t g, n
    cdef int l
    cdef vec d
    for g from 0 <= g < units by LANES:
        n = least(LANES, units - g)
        if not fresh:
            load(old, dh + g, n)
        if mask != NULL:
            load(factor, mask + g, n)
        for l from 0 <= l < LANES by VL:
            d = get(a + g + l)
            if mask != NULL:
                d = get(factor + l) * d
            if not fresh:
                d = get(old + l) + d
            put(old + l, d)
        copy(dh + g, old, n)


cdef inline void call_gates(const real* gates, Py_ssize_t cols) noexcept nogil:
    """Bring a row's panel of gates near: products leave the time, and no prefetcher follows rows across panels."""
    cdef Py_ssize_t l
    for l from 0 <= l < cols by LANES:
        rnnkit_prefetch(gates + l)
