# How many threads an operation is worth, and which share of the work is whose.
#
# A team is the caller alone or all the threads that it may have: a smaller one would end the others, which libgomp then
# starts anew for the next pass, 60 µs each.

cdef int forked = 0  # a child process has none of its parent's threads

cdef enum:
    WORTH = 800000  # multiply-adds of each thread that pay for waking it
    EACH = 24  # multiply-adds in whose time one element of a pass over memory is done


def one_thread():
    """From now on every operation runs in the calling thread: for the child of a fork."""
    global forked
    forked = 1


cdef int team_size(int threads, Py_ssize_t shares, double work) noexcept nogil:
    """1, or all ``threads`` where that many indivisible shares and multiply-adds are worth waking them."""
    return 1 if forked or not OPENMP or shares < 2 or work < <double>WORTH * threads else threads


cdef int present(int thread) noexcept nogil:
    return thread


def wake(int threads):
    """Starts the threads of a team, for whoever wants to know them before the work."""
    if threads > 1 and not forked and OPENMP:
        with nogil, parallel(num_threads=threads):
            present(rnnkit_thread())


cdef inline Py_ssize_t share_start(Py_ssize_t n, int thread, int team) noexcept nogil:
    """Where this thread's share of n elements begins: at a whole group of lanes."""
    return n if thread == team else n // LANES * thread // team * LANES


cdef inline real lanes_sum(real* a) noexcept nogil:
    """The sum of a group of lanes, halved again and again; ``a`` is overwritten."""
    cdef int l
    if LANES == 16:
        for l in range(8):
            a[l] += a[l + 8]
    for l in range(4):
        a[l] += a[l + 4]
    for l in range(2):
        a[l] += a[l + 2]
    return a[0] + a[1]


cdef inline real lanes_max(real* a) noexcept nogil:
    """The largest of a group of lanes; ``a`` is overwritten."""
    cdef int l
    if LANES == 16:
        for l in range(8):
            a[l] = a[l + 8] if a[l + 8] > a[l] else a[l]
    for l in range(4):
        a[l] = a[l + 4] if a[l + 4] > a[l] else a[l]
    for l in range(2):
        a[l] = a[l + 2] if a[l + 2] > a[l] else a[l]
    return a[1] if a[1] > a[0] else a[0]
