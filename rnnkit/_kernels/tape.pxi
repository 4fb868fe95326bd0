# The tape, what one pass leaves for the next; and the records that the workers read.

cdef enum:
    MANY = 24  # panels that pay for packing the columns of x and h


cdef Py_ssize_t tile_rows(Weights w):
    """Rows of the tiles that make the gradients of the matrices, whole strips each."""
    cdef Py_ssize_t H = (w.H + MR - 1) // MR * MR, I = (w.I + MR - 1) // MR * MR
    return (0 if w.R is None else 2 * H if w.variant == GRU_BEFORE else H) + (0 if w.V else I)


cdef class Tape:
    """What one pass leaves for the next: gates (then their gradients), mask ⊙ h and, reset-before, r ⊙ h, per step."""

    cdef readonly bint training
    cdef Py_ssize_t tape_step, count, half
    cdef real[::1] gates, hr, rh, ahead, sums, room, sums_of_tiles
    cdef half[::1] low_x, low_h
    cdef real[::1] own_panels
    cdef Py_ssize_t[::1] own_lists
    cdef Py_ssize_t own_rows, owners
    cdef Py_ssize_t[::1] order, rows

    def __init__(self, Weights weights, Py_ssize_t T, Py_ssize_t B, bint training):
        self.gates = self.hr = self.rh = self.ahead = self.sums = self.room = self.sums_of_tiles = None
        self.low_x = self.low_h = self.own_panels = self.own_lists = None
        self.training = training
        self.tape_step = B if training else 0
        # Panels that lie a multiple of 4096 bytes apart would share the sets of a cache: 6 of 16 rows off, none do.
        self.count = (B * (T if training else 1) + 9) // 16 * 16 + 6
        self.order, self.rows = np.arange(B), np.arange(B)
        if training or weights.variant == GRU_BEFORE:
            # A product reads whole groups of columns: one panel of room past the last row.
            self.gates = aligned(self.count * weights.panels * weights.width + PANEL, False)
        if weights.variant == GRU_BEFORE:
            self.rh = aligned(self.count * weights.H, False)
        elif B and B <= FEW and not weights.V and weights.R is not None:
            self.ahead = aligned(weights.panels * weights.width * max(AHEAD, B), False)
        if weights.V and training:
            self.sums = aligned(weights.panels * weights.width * weights.V + PANEL, False)
        if weights.rounded:
            together = B if weights.R is not None else max(WALKED, B)  # rows of x
            self.low_x = np.zeros(together * 2 * weights.pairs_x, np.uint16)
            self.low_h = np.zeros(B * 2 * weights.pairs_h, np.uint16)
        if training and (weights.panels >= MANY or weights.rounded):
            self._make_room(weights)
        if training and T * B > CHUNK:
            columns = tile_rows(weights) + 3 * MR  # at most so many for biases
            self.sums_of_tiles = aligned(weights.panels * columns * PANEL, False)

    cdef void _make_room(self, Weights weights):
        """Room for the packed columns of two chunks."""
        cdef Py_ssize_t B = self.tape_step
        self.half = (tile_rows(weights) + 2 * LANES) * max(1, CHUNK // max(B, 1)) * B  # rounded columns: whole groups
        self.room = aligned(2 * self.half, False)

    cdef void make_own_room(self, Weights weights, int threads):
        """Room for a panel of a chunk and the list of its rows for every thread, and for the chunk's columns."""
        if self.own_panels is None or self.owners < threads:
            self.own_rows, self.owners = max(CHUNK, self.tape_step) + 1, threads
            self.own_panels = aligned(threads * self.own_rows * weights.width + PANEL, False)
            self.own_lists = np.empty(threads * self.own_rows, np.intp)
        if self.room is None:
            self._make_room(weights)


cdef Pass begin(Weights w, x, states, Tape tape, span):
    """The record that the workers read; the caller holds every array while it is used."""
    cdef Pass p = w._pass()
    cdef real[:, :, ::1] h = states[0], c
    cdef const Py_ssize_t[::1] lengths = span.lengths
    cdef const real[:, ::1] mask = span.mask
    cdef const real[:, :, ::1] dense
    cdef const Py_ssize_t[:, ::1] ids
    p.reverse, p.training = span.reverse, tape.training
    p.B, p.start, p.stop = x.shape[1], span.start, span.stop
    p.tape_step, p.tape_rows = tape.tape_step, tape.count
    p.h = &h[0, 0, 0]
    if w.V:
        ids = x
        p.ids = &ids[0, 0]
    else:
        dense = x
        p.x = &dense[0, 0, 0]
    if tape.gates is not None:
        p.gates = &tape.gates[0]
    if tape.rh is not None:
        p.rh = &tape.rh[0]
    if tape.low_x is not None:
        p.low_x, p.low_h = &tape.low_x[0], &tape.low_h[0]
    if tape.ahead is not None:
        p.projected = &tape.ahead[0]
    if w.variant == LSTM:
        c = states[1]
        p.c = &c[0, 0, 0]
    if lengths is not None:
        p.lengths = &lengths[0]
        tape.order = np.argsort(-np.asarray(span.lengths), kind="stable")
    if mask is not None and w.R is not None:
        p.mask = &mask[0, 0]
        if tape.hr is None:
            tape.hr = aligned(tape.count * w.H, False)
        p.hr = &tape.hr[0]
    return p


cdef int jobs_of(Weights w, const Pass* p, Job* jobs, grads) except -1:
    """The sums that make the gradients of the parameters; returns how many."""
    cdef real[:, ::1] dW = grads["W"], dR = grads.get("R")
    cdef real[::1] db = grads["b"], dbn
    cdef Py_ssize_t I = w.I, H = w.H, GH = dW.shape[1], all_cols = w.width
    cdef const real* h = p.hr if p.mask != NULL else p.h + (p.B * H if p.reverse else 0)  # step 0's
    cdef const real* x = p.table if w.V else p.x
    cdef int tokens = w.V > 0
    if w.variant == GRU_AFTER:
        all_cols = 3 * LANES
    jobs[0] = job_of(x, 1, I, I, p, 0, all_cols, w.recipe.panel, tokens, &dW[0, 0], GH)
    jobs[1] = job_of(&ONE, 0, 0, 1, p, 0, all_cols, w.recipe.panel, tokens, &db[0], GH)
    if w.R is None:
        return 2
    if w.variant == GRU_AFTER:  # [dn dr dz dn⊙r]
        dbn = grads["bn"]
        jobs[2] = job_of(h, 1, H, H, p, LANES, 3 * LANES, w.recipe.below, False, &dR[0, 0], GH)
        jobs[3] = job_of(&ONE, 0, 0, 1, p, 3 * LANES, LANES, LAST_GROUP, False, &dbn[0], H)
        return 4
    if w.variant == GRU_BEFORE:  # R_n met r ⊙ h, the other gates h
        jobs[2] = job_of(h, 1, H, H, p, 0, 2 * LANES, w.recipe.below, False, &dR[0, 0], GH)
        jobs[3] = job_of(p.rh, 1, H, H, p, 2 * LANES, LANES, w.recipe.panel, False, &dR[0, 0], GH)
        return 4
    jobs[2] = job_of(h, 1, H, H, p, 0, all_cols, w.recipe.below, False, &dR[0, 0], GH)
    return 3


cdef real ONE = 1
cdef int LAST_GROUP[4]
LAST_GROUP[0], LAST_GROUP[1], LAST_GROUP[2], LAST_GROUP[3] = -1, -1, -1, 0


cdef Job job_of(const real* a, Py_ssize_t a_row, Py_ssize_t a_k, Py_ssize_t M, const Pass* p, int skip, Py_ssize_t cols,
                const int* gates, bint tokens, real* out, Py_ssize_t ldo) noexcept:
    """out[M, gates] += aᵀ d, with d the chosen columns of the gate gradients, or of their sums by token."""
    cdef Job job
    cdef int g
    job.a, job.a_row, job.a_k, job.M, job.skip, job.cols, job.tokens = a, a_row, a_k, M, skip, cols, tokens
    job.out, job.ldo, job.packed, job.sums = out, ldo, NULL, NULL
    for g in range(4):
        job.gates[g] = gates[g]
    return job
