# Walking the steps, one thread for its own rows, and the choice of how many threads.

cdef int forked = 0  # a child process has none of its parent's threads

cdef enum:
    WORTH = 400000  # multiply-adds that pay for waking another thread


cdef void forward_rows(const Pass* p, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef Py_ssize_t k, t
    cdef Step s
    for k in range(p.stop - p.start):
        t = p.stop - 1 - k if p.reverse else p.start + k
        s = step_at(p, t)
        if p.mask != NULL:
            mask_rows(p, &s, r0, r1)
        if p.variant == LSTM:
            lstm_step(p, &s, r0, r1)
        elif p.variant == GRU_AFTER:
            gru_after_step(p, &s, r0, r1)
        elif p.variant == GRU_BEFORE:
            gru_before_step(p, &s, r0, r1)
        else:
            rnn_step(p, &s, r0, r1)


cdef void backward_rows(const Pass* p, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    cdef Py_ssize_t k, t
    cdef Step s
    for k in range(p.stop - p.start):
        t = p.start + k if p.reverse else p.stop - 1 - k
        s = step_at(p, t)
        if p.variant == LSTM:
            lstm_back_step(p, &s, r0, r1)
        elif p.variant == GRU_AFTER:
            gru_after_back_step(p, &s, r0, r1)
        elif p.variant == GRU_BEFORE:
            gru_before_back_step(p, &s, r0, r1)
        else:
            rnn_back_step(p, &s, r0, r1)


cdef int team_size(int threads, Py_ssize_t shares, double work) noexcept nogil:
    """How many of ``threads`` are worth waking for that many indivisible shares and multiply-adds."""
    if forked or not OPENMP:
        return 1
    return <int>max(1, min(<double>threads, min(<double>shares, work / WORTH)))


cdef void walk(const Pass* p, bint back, int threads) noexcept nogil:
    """``forward_rows`` or ``backward_rows`` over the whole batch."""
    cdef int team = team_size(threads, (p.B + MR - 1) // MR, <double>(p.stop - p.start) * p.B * p.ldg * (p.I + p.H))
    if team == 1:
        walk_share(p, back, 0, 1)
    else:
        with parallel(num_threads=team):
            walk_share(p, back, rnnkit_thread(), rnnkit_team())


cdef void walk_share(const Pass* p, bint back, int thread, int team) noexcept nogil:
    cdef unsigned mode = rnnkit_flush_denormals()
    cdef Py_ssize_t r0 = p.B * thread // team, r1 = p.B * (thread + 1) // team
    if back:
        backward_rows(p, r0, r1)
    else:
        forward_rows(p, r0, r1)
    rnnkit_restore(mode)


cdef void share_out(const Job* jobs, int count, Py_ssize_t ldg, Py_ssize_t K, int threads) noexcept nogil:
    """``accumulate_tiles`` for all tiles of all jobs."""
    cdef double work = 0
    cdef int team
    for j in range(count):
        work += <double>K * jobs[j].M * jobs[j].N
    team = team_size(threads, threads, work)
    if team == 1:
        share_tiles(jobs, count, ldg, K, 0, 1)
    else:
        with parallel(num_threads=team):
            share_tiles(jobs, count, ldg, K, rnnkit_thread(), rnnkit_team())


cdef void share_tiles(const Job* jobs, int count, Py_ssize_t ldg, Py_ssize_t K, int thread, int team) noexcept nogil:
    cdef unsigned mode = rnnkit_flush_denormals()
    accumulate_tiles(jobs, count, ldg, K, thread, team)
    rnnkit_restore(mode)
