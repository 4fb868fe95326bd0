# The quantities that decide between ways of computing: products of few rows, a barrier, reading from each cache.

cdef extern from *:
    """
    /* A chain of additions, each waiting for the one before: n cycles on every processor. */
    static void rnnkit_cycles(Py_ssize_t n) {
        Py_ssize_t sum = 0;
        for (; n > 0; n -= 8) {
    #define RNNKIT_ADD sum += n; __asm__ __volatile__("" : "+r"(sum));
            RNNKIT_ADD RNNKIT_ADD RNNKIT_ADD RNNKIT_ADD RNNKIT_ADD RNNKIT_ADD RNNKIT_ADD RNNKIT_ADD
        }
    }
    """
    void rnnkit_cycles(Py_ssize_t n) nogil

cdef rnnkit_barrier gate


def cycles(Py_ssize_t n):
    """Spend n cycles of the processor's clock."""
    with nogil:
        rnnkit_cycles(n)


def pack_panels(const real[:, ::1] w):
    """The panels of a matrix [K,N], as the kernels pack weights."""
    cdef Py_ssize_t K = w.shape[0], N = w.shape[1]
    cdef real[::1] panels = aligned(groups_up(N) * K, True)
    pack(&panels[0], K, 0, &w[0, 0], N, 1, K, N)
    return np.asarray(panels)


def products(const real[:, ::1] a, const real[::1] panels, real[:, ::1] out, int repeats):
    """out [M,N] = a [M,K] · w in one thread, ``repeats`` times: panels outside, tiles of rows inside."""
    cdef int i
    with nogil:
        for i in range(repeats):
            panels_times_rows(&a[0, 0], a.shape[0], a.shape[1], &panels[0], &out[0, 0], out.shape[1])


cdef void panels_times_rows(const real* a, Py_ssize_t M, Py_ssize_t K, const real* panels, real* out,
                            Py_ssize_t N) noexcept nogil:
    cdef real sums[MR * PANEL]
    cdef Py_ssize_t j, m, r, rows, n, cols
    for j from 0 <= j < N by PANEL:
        n = least(PANEL, N - j)
        cols = groups_up(n)
        for m from 0 <= m < M by MR:
            rows = least(MR, M - m)
            memset(sums, 0, sizeof(sums))
            product(<int>rows, <int>cols, K, a + m * K, K, 1, panels + j * K, cols, sums)
            for r in range(rows):
                memcpy(out + (m + r) * N + j, sums + r * PANEL, n * sizeof(real))


def barriers(Py_ssize_t count, int threads):
    """Let that many threads meet ``count`` times."""
    with nogil, parallel(num_threads=threads):
        meet(count)


cdef void meet(Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        rnnkit_wait(&gate, rnnkit_team())


def read(const real[:, ::1] arrays, Py_ssize_t repeats):
    """Read each row of ``arrays`` [threads, n] by a thread of its own, ``repeats`` times; returns the bytes read.

    n is rounded down to whole blocks of as many numbers as fit a tile's registers.
    """
    cdef int threads = <int>arrays.shape[0]
    cdef Py_ssize_t blocks = arrays.shape[1] // SUMS
    cdef double[::1] totals = np.zeros(8 * threads)
    if threads == 1 or not OPENMP:
        with nogil:
            read_row(&arrays[0, 0], blocks, repeats, &totals[0])
        threads = 1
    else:
        with nogil, parallel(num_threads=threads):
            read_row(&arrays[rnnkit_thread(), 0], blocks, repeats, &totals[8 * rnnkit_thread()])
    return threads * blocks * SUMS * repeats * sizeof(real)


cdef void read_row(const real* row, Py_ssize_t blocks, Py_ssize_t repeats, double* total) noexcept nogil:
    """Adds up a row, so that no read can be left out."""
    cdef real acc[MR][WIDE]
    cdef const real* p
    cdef Py_ssize_t i, k
    cdef int r, l
    memset(&acc[0][0], 0, SUMS * sizeof(real))
    for i in range(repeats):
        p = row
        for k in range(blocks):
            for r in range(MR):
                for l in range(WIDE):
                    acc[r][l] += p[r * WIDE + l]
            p += SUMS
    for r in range(MR):
        for l in range(WIDE):
            total[0] += acc[r][l]
