# Gradients of the parameters: sums of outer products over all steps and rows, straight from the stored arrays.

cdef enum:
    CHUNK = 384  # rows of T·B at a time: their part of the gate gradients stays in the second-level cache
    JOBS = 6


# out[M,N] += Σ_k a_k dᵀ_k: columns of the gate gradients against x, h or, for a bias, the number one.
cdef struct Job:
    const real* a
    Py_ssize_t a_row, a_k, M
    const real* d
    Py_ssize_t N
    real* out
    Py_ssize_t ldo


cdef void tall_product(const Job* job, Py_ssize_t ldg, Py_ssize_t unit, Py_ssize_t k, Py_ssize_t K) noexcept nogil:
    """One tile of a job's output, from rows k to k + K: summed apart, then added, as wide sums keep more digits."""
    cdef real a[MR * PANEL]
    cdef Py_ssize_t down = (job.M + MR - 1) // MR
    cdef Py_ssize_t m = unit % down * MR, j = unit // down * PANEL, r, l
    cdef Py_ssize_t rows = least(MR, job.M - m), n = least(PANEL, job.N - j)
    cdef real* out
    memset(a, 0, sizeof(a))
    product(<int>rows, <int>groups_up(n), K, job.a + m * job.a_row + k * job.a_k, job.a_row, job.a_k,
            job.d + k * ldg + j, ldg, a)
    for r in range(rows):
        out = job.out + (m + r) * job.ldo + j
        for l in range(n):
            out[l] += a[r * PANEL + l]


cdef Py_ssize_t units_of(const Job* job) noexcept nogil:
    return ((job.M + MR - 1) // MR) * ((job.N + PANEL - 1) // PANEL)


cdef void accumulate_tiles(const Job* jobs, int count, Py_ssize_t ldg, Py_ssize_t K, int thread,
                           int team) noexcept nogil:
    """This thread's share of all output tiles, column by column, one chunk of K after the other."""
    cdef Py_ssize_t total = 0, first, last, base, u, k
    cdef int j
    for j in range(count):
        total += units_of(&jobs[j])
    first = total * thread // team
    last = total * (thread + 1) // team
    for k from 0 <= k < K by CHUNK:
        base = 0
        for j in range(count):
            for u in range(max(first - base, 0), least(last - base, units_of(&jobs[j]))):
                tall_product(&jobs[j], ldg, u, k, least(CHUNK, K - k))
            base += units_of(&jobs[j])
