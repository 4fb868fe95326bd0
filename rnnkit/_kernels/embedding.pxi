# Embeddings: rows of a table by id, and the sum of gradients by id.


cdef void scatter_share(const real* d, const Py_ssize_t* ids, Py_ssize_t N, Py_ssize_t width, real* table,
                        int thread, int team) noexcept nogil:
    """table[id] += each row of d, in their order, for this thread's columns."""
    cdef real a[LANES]
    cdef real b[LANES]
    cdef Py_ssize_t groups = (width + LANES - 1) // LANES, i, j, n
    cdef Py_ssize_t first = groups * thread // team * LANES, last = least(width, groups * (thread + 1) // team * LANES)
    cdef real* to
    cdef int l
    cdef unsigned mode = rnnkit_flush_denormals()
    for i in range(N):
        to = table + ids[i] * width
        for j from first <= j < last by LANES:
            n = least(LANES, last - j)
            load(a, to + j, n)
            load(b, d + i * width + j, n)
            for l in range(LANES):
                a[l] += b[l]
            copy(to + j, a, n)
    rnnkit_restore(mode)


cdef void gather_share(const real* table, const Py_ssize_t* ids, Py_ssize_t N, Py_ssize_t width, real* y,
                       int thread, int team) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(N * thread // team, N * (thread + 1) // team):
        memcpy(y + i * width, table + ids[i] * width, width * sizeof(real))


def gather(const real[:, ::1] table, const Py_ssize_t[::1] ids, real[:, ::1] y, int threads):
    cdef Py_ssize_t N = ids.shape[0], width = table.shape[1]
    cdef int team = team_size(threads, N, <double>EACH * N * width / 4)
    if N == 0:
        return
    with nogil:
        if team == 1:
            gather_share(&table[0, 0], &ids[0], N, width, &y[0, 0], 0, 1)
        else:
            with parallel(num_threads=team):
                gather_share(&table[0, 0], &ids[0], N, width, &y[0, 0], rnnkit_thread(), rnnkit_team())


def scatter(const real[:, ::1] d, const Py_ssize_t[::1] ids, real[:, ::1] table, int threads):
    cdef Py_ssize_t N = ids.shape[0], width = table.shape[1]
    cdef int team = team_size(threads, (width + LANES - 1) // LANES, <double>EACH * N * width / 2)
    if N == 0:
        return
    with nogil:
        if team == 1:
            scatter_share(&d[0, 0], &ids[0], N, width, &table[0, 0], 0, 1)
        else:
            with parallel(num_threads=team):
                scatter_share(&d[0, 0], &ids[0], N, width, &table[0, 0], rnnkit_thread(), rnnkit_team())
