# Walking the steps, and who does what: each worker its own rows, or its own units of all rows, or one worker everything.

cdef enum:
    UNITS_WORTH = 40000  # multiply-adds of a step that pay for its barrier


cdef void forward_share(const Pass* whole, const Share* w) noexcept nogil:
    cdef Pass p = whole[0]
    cdef Py_ssize_t k, t, steps = p.stop - p.start, ahead = max(1, AHEAD // p.B), count
    cdef Step s
    if p.variant >= MINGRU_LINEAR:
        minimal_forward(&p, w)
        return
    for k in range(steps):
        t = p.stop - 1 - k if p.reverse else p.start + k
        if p.seed_kind == PROJECTED and k % ahead == 0:
            count = least(ahead, steps - k)
            p.seed_first = t - count + 1 if p.reverse else t
            p.seed_rows = count * p.B
            project(&p, p.x + p.seed_first * p.B * p.I, p.seed_rows, p.projected, w.unit // units_of(&p),
                    (w.end + units_of(&p) - 1) // units_of(&p))
        s = step_at(&p, t)
        s.alive = alive_rows(&p, w, t)
        if p.mask != NULL:
            mask_rows(&p, &s, w)
        if p.rounded:
            round_rows(&p, &s, w)
        if p.variant == LSTM:
            lstm_step(&p, &s, w)
        elif p.variant == GRU_AFTER:
            gru_after_step(&p, &s, w)
        elif p.variant == GRU_BEFORE:
            gru_before_step(&p, &s, w)
        else:
            rnn_step(&p, &s, w)
        keep_dead(&p, &s, w)
        if w.meets:
            rnnkit_wait(w.barrier, w.team)


cdef void backward_share(const Pass* p, const Share* w) noexcept nogil:
    cdef Py_ssize_t k, t, steps = p.stop - p.start, first = p.start * p.B, rows = steps * p.B
    cdef Step s
    if p.variant >= MINGRU_LINEAR:
        minimal_backward(p, w)
        steps = 0
    for k in range(steps):
        t = p.start + k if p.reverse else p.stop - 1 - k
        s = step_at(p, t)
        s.alive = alive_rows(p, w, t)
        if k + 1 < steps:
            s.next = t + 1 if p.reverse else t - 1
        if p.variant == LSTM:
            lstm_back_step(p, &s, w)
        elif p.variant == GRU_AFTER:
            gru_after_back_step(p, &s, w)
        elif p.variant == GRU_BEFORE:
            gru_before_back_step(p, &s, w)
        else:
            rnn_back_step(p, &s, w)
    if p.dx != NULL:
        rnnkit_wait(w.barrier, w.team)
        inputs_rows(p, first + rows * w.thread // w.team, first + rows * (w.thread + 1) // w.team)


cdef inline Py_ssize_t units_of(const Pass* p) noexcept nogil:
    """Hidden units of a panel."""
    return PANEL if p.variant <= RNN_RELU else LANES


cdef bint by_units(const Pass* p, int team) noexcept nogil:
    """Whether workers share the units of all rows, and meet at every step, rather than the rows.

    So each reads its part of the weights alone; worth it where a worker would have few rows for all of them.  Units of a
    cell without R depend on no other's, and their workers meet before dx only.
    """
    cdef double step = <double>p.B * p.panels * p.width * (riding(p) + p.H)
    if p.variant >= MINGRU_LINEAR:  # nobody meets
        return p.B < team * MR and not p.rounded
    if p.variant == GRU_BEFORE or p.rounded or p.H < team * PANEL or step < UNITS_WORTH * team:
        return False
    return p.B <= 2 * team


cdef Share share_of(const Pass* p, Py_ssize_t* rows, const Py_ssize_t* order, bint units, int thread, int team,
                    rnnkit_barrier* barrier) noexcept nogil:
    """What one worker of a team does.  OUT ``rows [B]``: this worker's part of it is filled with its list of rows."""
    cdef Share w
    cdef Py_ssize_t first = 0, i, blocks = (p.H + PANEL - 1) // PANEL
    cdef int k
    w.thread, w.team, w.barrier = thread, team, barrier
    w.meets = units and team > 1 and p.variant < MINGRU_LINEAR
    w.rows, w.count, w.unit, w.end = order, p.B, 0, p.H
    if units:
        w.unit, w.end = blocks * thread // team * PANEL, least(p.H, blocks * (thread + 1) // team * PANEL)
    elif p.lengths == NULL:  # neighbours
        first = p.B * thread // team
        w.rows, w.count = order + first, p.B * (thread + 1) // team - first
    else:  # long and short ones alike
        for k in range(thread):
            first += (p.B - k + team - 1) // team
        w.rows, w.count = rows + first, (p.B - thread + team - 1) // team
        for i in range(w.count):
            rows[first + i] = order[thread + i * team]
    return w


cdef double work_of(const Pass* p, Py_ssize_t steps) noexcept nogil:
    """Multiply-adds of a pass over some steps, or what takes as long."""
    return <double>steps * p.B * p.panels * p.width * (p.depth if p.variant < MINGRU_LINEAR else p.depth + EACH)


cdef void walk(Pass* p, bint back, Py_ssize_t* rows, const Py_ssize_t* order, int threads) noexcept nogil:
    """A pass over the whole batch."""
    cdef rnnkit_barrier barrier
    cdef rnnkit_barrier* meet = &barrier
    cdef Py_ssize_t steps = p.stop - p.start
    cdef int team = team_size(threads, max(p.B, p.H // PANEL), work_of(p, steps))
    cdef bint units = team > 1 and by_units(p, team)
    memset(&barrier, 0, sizeof(barrier))
    if p.B == 1 and not units:
        team = 1
    if not back and (units or team == 1) and p.seed_kind == BIAS and p.projected != NULL and not p.rounded and steps * p.B >= FEW:
        p.seed_kind, p.seed = PROJECTED, p.projected
    if team == 1:
        walk_share(p, back, rows, order, False, 0, 1, meet)
    else:
        with parallel(num_threads=team):
            walk_share(p, back, rows, order, units, rnnkit_thread(), rnnkit_team(), meet)


cdef void walk_share(const Pass* p, bint back, Py_ssize_t* rows, const Py_ssize_t* order, bint units, int thread,
                     int team, rnnkit_barrier* barrier) noexcept nogil:
    cdef unsigned mode = rnnkit_flush_denormals()
    cdef Share w = share_of(p, rows, order, units, thread, team, barrier)
    if back:
        backward_share(p, &w)
    else:
        forward_share(p, &w)
    rnnkit_restore(mode)


cdef void accumulate_all(const Pass* p, const Job* jobs, int count, real* dE, int threads) noexcept nogil:
    """All sums over steps, shared by tiles of what comes out."""
    cdef rnnkit_barrier barrier
    cdef rnnkit_barrier* meet = &barrier
    cdef int team = team_size(threads, threads, work_of(p, p.stop - p.start))
    memset(&barrier, 0, sizeof(barrier))
    if team == 1:
        flushed_accumulate(p, jobs, count, dE, 0, 1, meet)
    else:
        with parallel(num_threads=team):
            flushed_accumulate(p, jobs, count, dE, rnnkit_thread(), rnnkit_team(), meet)


cdef void flushed_accumulate(const Pass* p, const Job* jobs, int count, real* dE, int thread, int team,
                             rnnkit_barrier* barrier) noexcept nogil:
    cdef unsigned mode = rnnkit_flush_denormals()
    accumulate_share(p, jobs, count, dE, thread, team, barrier)
    rnnkit_restore(mode)
