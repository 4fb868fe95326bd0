# The sums over many steps that make the gradients of the parameters.


# out[M, gates] += Σ_k a_k dᵀ_k: some columns of every panel of the gate gradients against x, h or, for a bias, the number one.
cdef struct Job:
    const real* a
    Py_ssize_t a_row, a_k, M
    Py_ssize_t skip, cols  # of each full panel; of a narrower one, all columns are multiplied
    int gates[4]  # where each group of a panel's columns belongs, -1 where it is not asked for
    bint tokens  # sums over tokens: all rows count, in one chunk
    real* sums  # its tiles one after the other, while chunks are still to come; NULL where there is one chunk
    real* packed  # a's columns of a chunk's rows, MR at a time; NULL where a is read as it lies
    real* out
    Py_ssize_t ldo


cdef inline bint alive(const Pass* p, Py_ssize_t k) noexcept nogil:
    """Whether row k of T·B is a step of its sequence."""
    return p.lengths == NULL or k // p.B < p.lengths[k % p.B]


# Some whole steps, whose rows are summed at a time.
cdef struct Chunk:
    const Py_ssize_t* rows  # those of T·B that are a step of their sequence; NULL where all of [k, k + K) are
    Py_ssize_t k, K


cdef inline Py_ssize_t row_of(const Chunk* chunk, Py_ssize_t i) noexcept nogil:
    """The i-th row of a chunk."""
    return chunk.rows[i] if chunk.rows != NULL else chunk.k + i


cdef Chunk chunk_of(const Pass* p, Py_ssize_t first, Py_ssize_t last, Py_ssize_t* rows) noexcept nogil:
    """The rows of steps [first, last); ``rows``: room for their list, filled where lengths differ."""
    cdef Chunk chunk
    cdef Py_ssize_t k
    chunk.rows, chunk.k, chunk.K = NULL, first * p.B, (last - first) * p.B
    if p.lengths != NULL:
        chunk.rows, chunk.K = rows, 0
        for k in range(first * p.B, last * p.B):
            if alive(p, k):
                rows[chunk.K] = k
                chunk.K += 1
    return chunk
