# The limit: multiply-adds whose operands never leave the registers.


cdef enum:
    WIDE = TILE_BYTES // 4  # columns of a tile's row
    SUMS = MR * WIDE  # as many as a tile keeps: 24 of 32 registers or 12 of 16, of the widest kind


cdef void multiply_adds(Py_ssize_t loops, real factor, real term, real* sums) noexcept nogil:
    """sums = factor·sums + term, ``loops`` times over; every sum is a chain of its own, so that none waits."""
    cdef real acc[MR][WIDE]
    cdef Py_ssize_t k
    cdef int r, l
    memcpy(&acc[0][0], sums, SUMS * sizeof(real))
    for k in range(loops):
        for r in range(MR):
            for l in range(WIDE):
                acc[r][l] = factor * acc[r][l] + term
    memcpy(sums, &acc[0][0], SUMS * sizeof(real))


cdef void peak_share(Py_ssize_t loops, real factor, real term, Py_ssize_t* done) noexcept nogil:
    """One thread's part; adds the operations to ``done`` if the sums are what they must be."""
    cdef real sums[SUMS]
    cdef real low = 1, high = 1
    cdef int l
    for l in range(SUMS):
        sums[l] = <real>(l + 1) / <real>SUMS  # all different: nothing can be computed once for several
    multiply_adds(loops, factor, term, &sums[0])
    for l in range(SUMS):
        low = sums[l] if sums[l] < low else low
        high = sums[l] if sums[l] > high else high
    if low > <real>0.999 and high < <real>1.001:
        done[0] = 2 * loops * SUMS


def peak(Py_ssize_t loops, int threads):
    """Multiply and add in the widest registers, on all threads at once; returns the number of operations.

    Every sum tends to 1: none is ever denormal or infinite.  ``loops`` is at least 20.
    """
    cdef Py_ssize_t[::1] done = np.zeros((threads, 8), np.intp).reshape(-1)  # a cache line for each
    cdef real factor = 0.5, term = 0.5
    if threads == 1 or not OPENMP:
        with nogil:
            peak_share(loops, factor, term, &done[0])
    else:
        with nogil, parallel(num_threads=threads):
            peak_share(loops, factor, term, &done[8 * rnnkit_thread()])
    return int(np.sum(done))


def openmp():
    """Whether this was built with OpenMP; without it every thread's work is done by one."""
    return bool(OPENMP)
