# The door from Python: packed weights, the tape, and the three passes (contract: rnnkit/_kernels/__init__.py).

VARIANTS = {"rnn_tanh": RNN_TANH, "rnn_relu": RNN_RELU, "lstm": LSTM, "gru_after": GRU_AFTER, "gru_before": GRU_BEFORE}


def level():
    """4, 3 or 1: the x86-64 level of processor and operating system (1 on other machines)."""
    return rnnkit_level()


def openmp():
    """Whether this was built with OpenMP."""
    return bool(OPENMP)


def one_thread():
    """From now on every pass runs in the calling thread: for the child of a fork."""
    global forked
    forked = 1


cdef real[::1] aligned(Py_ssize_t n, bint zero):
    """n numbers that start on a cache line."""
    cdef real[::1] raw = (np.zeros if zero else np.empty)(n + LANES, DTYPE)
    cdef Py_ssize_t skip = (64 - <uintptr_t>&raw[0] % 64) % 64 // sizeof(real)
    return raw[skip : skip + n]


cdef class Weights:
    """A cell's parameters, packed for the products of forward and, transposed, of backward."""

    cdef readonly int variant
    cdef readonly Py_ssize_t I, H
    cdef Py_ssize_t ldg
    cdef real[::1] forth  # per panel: I rows of W, then H of R (reset-before: of r and z)
    cdef real[::1] candidate  # reset-before: the same for n
    cdef real[::1] bias  # in the order of forth's columns
    cdef real[::1] back  # Rᵀ (reset-before: of r and z)
    cdef real[::1] back_n  # reset-before: R_nᵀ
    cdef real[::1] back_x  # Wᵀ

    def __init__(self, str variant, params):
        cdef const real[:, ::1] W = params["W"], R = params["R"]
        cdef const real[::1] b = params["b"]
        self.variant = VARIANTS[variant]
        self.I, self.H = W.shape[0], R.shape[0]
        if self.variant == LSTM:
            self._pack_lstm(W, R, b)
        elif self.variant == GRU_AFTER:
            self._pack_gru_after(W, R, b, params["bn"])
        elif self.variant == GRU_BEFORE:
            self._pack_gru_before(W, R, b)
        else:
            self._pack_rnn(W, R, b)

    cdef void _pack_back(self, const real[:, ::1] W, const real[:, ::1] R):
        """Rᵀ and Wᵀ, gates in the order of the parameters."""
        cdef Py_ssize_t I = self.I, H = self.H, GH = W.shape[1]
        self.back = aligned(groups_up(H) * GH, False)
        self.back_x = aligned(groups_up(I) * GH, False)
        pack(&self.back[0], GH, 0, &R[0, 0], 1, GH, GH, H)
        pack(&self.back_x[0], GH, 0, &W[0, 0], 1, GH, GH, I)

    cdef void _pack_rnn(self, const real[:, ::1] W, const real[:, ::1] R, const real[::1] b):
        cdef Py_ssize_t I = self.I, H = self.H
        self.ldg = groups_up(H)
        self.forth = aligned(groups_up(H) * (I + H), False)
        pack(&self.forth[0], I + H, 0, &W[0, 0], H, 1, I, H)
        pack(&self.forth[0], I + H, I, &R[0, 0], H, 1, H, H)
        self.bias = aligned(groups_up(H), True)
        self.bias[:H] = b
        self._pack_back(W, R)

    cdef void _pack_lstm(self, const real[:, ::1] W, const real[:, ::1] R, const real[::1] b):
        cdef Py_ssize_t I = self.I, H = self.H
        cdef int* order = [0, 1, 2, 3]
        self.ldg = groups_up(4 * H)
        self.forth = aligned(4 * groups_up(H) * (I + H), False)
        pack_gates(&self.forth[0], I + H, 0, &W[0, 0], I, H, order, 4)
        pack_gates(&self.forth[0], I + H, I, &R[0, 0], H, H, order, 4)
        self.bias = aligned(4 * groups_up(H), False)
        pack_gates(&self.bias[0], 1, 0, &b[0], 1, H, order, 4)
        self._pack_back(W, R)

    cdef void _pack_gru_after(self, const real[:, ::1] W, const real[:, ::1] R, const real[::1] b, const real[::1] bn):
        cdef Py_ssize_t I = self.I, H = self.H, j
        cdef int* order_x = [2, 0, 1]  # n r z
        cdef int* order_h = [0, 1, 2]  # r z n
        cdef int g
        self.ldg = groups_up(4 * H)
        self.forth = aligned(3 * groups_up(H) * (I + H), False)
        pack_gates(&self.forth[0], I + H, 0, &W[0, 0], I, H, order_x, 3)
        pack_gates(&self.forth[0], I + H, I, &R[0, 0], H, H, order_h, 3)
        self.bias = aligned(4 * groups_up(H), False)
        for j from 0 <= j < H by LANES:
            for g in range(3):
                pack_group(&self.bias[4 * j + g * LANES], 0, &b[order_x[g] * H + j], 0, 1, 1, least(LANES, H - j))
            pack_group(&self.bias[4 * j + 3 * LANES], 0, &bn[j], 0, 1, 1, least(LANES, H - j))
        self.back = aligned(groups_up(H) * 3 * H, False)
        self.back_x = aligned(groups_up(I) * 3 * H, False)
        pack(&self.back[0], 3 * H, 0, &R[0, 0], 1, 3 * H, 3 * H, H)
        for g in range(3):
            pack(&self.back_x[0], 3 * H, g * H, &W[0, order_x[g] * H], 1, 3 * H, H, I)

    cdef void _pack_gru_before(self, const real[:, ::1] W, const real[:, ::1] R, const real[::1] b):
        cdef Py_ssize_t I = self.I, H = self.H
        self.ldg = groups_up(3 * H)
        self.forth = aligned(groups_up(2 * H) * (I + H), False)
        pack(&self.forth[0], I + H, 0, &W[0, 0], 3 * H, 1, I, 2 * H)
        pack(&self.forth[0], I + H, I, &R[0, 0], 3 * H, 1, H, 2 * H)
        self.candidate = aligned(groups_up(H) * (I + H), False)
        pack(&self.candidate[0], I + H, 0, &W[0, 2 * H], 3 * H, 1, I, H)
        pack(&self.candidate[0], I + H, I, &R[0, 2 * H], 3 * H, 1, H, H)
        self.bias = aligned(groups_up(2 * H) + groups_up(H), True)
        self.bias[: 2 * H] = b[: 2 * H]
        self.bias[groups_up(2 * H) : groups_up(2 * H) + H] = b[2 * H :]
        self.back = aligned(groups_up(H) * 2 * H, False)
        self.back_n = aligned(groups_up(H) * H, False)
        self.back_x = aligned(groups_up(I) * 3 * H, False)
        pack(&self.back[0], 2 * H, 0, &R[0, 0], 1, 3 * H, 2 * H, H)
        pack(&self.back_n[0], H, 0, &R[0, 2 * H], 1, 3 * H, H, H)
        pack(&self.back_x[0], 3 * H, 0, &W[0, 0], 1, 3 * H, 3 * H, I)

    def allocate(self, Py_ssize_t T, Py_ssize_t B, bint training):
        return Tape(self, T, B, training)

    def forward(self, const real[:, :, ::1] x, tuple states, Tape tape, span):
        cdef Pass p
        cdef int threads = span.threads
        if x.shape[1] == 0 or span.start >= span.stop:
            return
        p = begin(self, x, states, tape, span)
        with nogil:
            walk(&p, False, threads)

    def backward(self, const real[:, :, ::1] x, tuple states, Tape tape, const real[:, :, ::1] dy, tuple dstates,
                 dx, span):
        cdef Pass p
        cdef real[:, ::1] dh = dstates[0], dc
        cdef real[:, :, ::1] dx_ = dx
        cdef int threads = span.threads
        if x.shape[1] == 0 or span.start >= span.stop:
            return
        p = begin(self, x, states, tape, span)
        p.dy, p.dh = &dy[0, 0, 0], &dh[0, 0]
        if p.variant == LSTM:
            dc = dstates[1]
            p.dc = &dc[0, 0]
        if dx is not None:
            p.dx = &dx_[0, 0, 0]
        with nogil:
            walk(&p, True, threads)

    def accumulate(self, const real[:, :, ::1] x, tuple states, Tape tape, grads, span):
        cdef Pass p
        cdef Step s
        cdef Job jobs[JOBS]
        cdef int threads = span.threads, count
        cdef Py_ssize_t K, H = self.H, I = self.I, GH
        cdef real[:, ::1] dW = grads["W"], dR = grads["R"]
        cdef real[::1] db = grads["b"], dbn
        cdef real one = 1
        if x.shape[1] == 0 or span.start >= span.stop:
            return
        p = begin(self, x, states, tape, span)
        s = step_at(&p, p.start)
        K = (p.stop - p.start) * p.B
        GH = dW.shape[1]
        if p.variant == GRU_AFTER:  # [dn dr dz dn⊙r]
            dbn = grads["bn"]
            jobs[0] = job_of(s.x, I, s.gates, H, &dW[0, 2 * H], GH)
            jobs[1] = job_of(s.x, I, s.gates + H, 2 * H, &dW[0, 0], GH)
            jobs[2] = job_of(s.hr, H, s.gates + H, 3 * H, &dR[0, 0], GH)
            jobs[3] = sum_of(&one, s.gates, H, &db[2 * H])
            jobs[4] = sum_of(&one, s.gates + H, 2 * H, &db[0])
            jobs[5] = sum_of(&one, s.gates + 3 * H, H, &dbn[0])
            count = 6
        else:
            jobs[0] = job_of(s.x, I, s.gates, GH, &dW[0, 0], GH)
            jobs[1] = sum_of(&one, s.gates, GH, &db[0])
            if p.variant == GRU_BEFORE:  # R_n met r ⊙ h, the other gates h
                jobs[2] = job_of(s.hr, H, s.gates, 2 * H, &dR[0, 0], GH)
                jobs[3] = job_of(s.rh, H, s.gates + 2 * H, H, &dR[0, 2 * H], GH)
                count = 4
            else:
                jobs[2] = job_of(s.hr, H, s.gates, GH, &dR[0, 0], GH)
                count = 3
        with nogil:
            share_out(jobs, count, p.ldg, K, threads)


cdef class Tape:
    """What one pass leaves for the next: gates (then their gradients), mask ⊙ h and, reset-before, r ⊙ h, per step."""

    cdef readonly bint training
    cdef Py_ssize_t tape_step
    cdef real[::1] gates, hr, rh

    def __init__(self, Weights weights, Py_ssize_t T, Py_ssize_t B, bint training):
        cdef Py_ssize_t rows = B * (T if training else 1)
        self.training = training
        self.tape_step = B if training else 0
        self.hr = aligned(rows * weights.H, True)
        if training or weights.variant == GRU_BEFORE:
            # A product reads whole groups of columns: one panel of room past the last row.
            self.gates = aligned(rows * weights.ldg + PANEL, True)
        if weights.variant == GRU_BEFORE:
            self.rh = aligned(rows * weights.H, True)


cdef Pass begin(Weights w, const real[:, :, ::1] x, states, Tape tape, span):
    """The record that the workers read; the caller holds every array while it is used."""
    cdef Pass p
    cdef real[:, :, ::1] h = states[0], c
    cdef const Py_ssize_t[::1] lengths = span.lengths
    cdef const real[:, ::1] mask = span.mask
    memset(&p, 0, sizeof(p))
    p.variant, p.reverse, p.training = w.variant, span.reverse, tape.training
    p.B, p.I, p.H, p.start, p.stop = x.shape[1], w.I, w.H, span.start, span.stop
    p.forth, p.bias, p.back, p.back_x = &w.forth[0], &w.bias[0], &w.back[0], &w.back_x[0]
    p.ldg, p.tape_step = w.ldg, tape.tape_step
    p.x, p.h, p.hr = &x[0, 0, 0], &h[0, 0, 0], &tape.hr[0]
    if tape.gates is not None:
        p.gates = &tape.gates[0]
    if w.variant == LSTM:
        c = states[1]
        p.c = &c[0, 0, 0]
    elif w.variant == GRU_BEFORE:
        p.candidate, p.back_n, p.rh = &w.candidate[0], &w.back_n[0], &tape.rh[0]
    if lengths is not None:
        p.lengths = &lengths[0]
    if mask is not None:
        p.mask = &mask[0, 0]
    return p


cdef Job job_of(const real* a, Py_ssize_t M, const real* d, Py_ssize_t N, real* out, Py_ssize_t ldo) noexcept:
    """out[M,N] += aᵀ d with a [K,M]."""
    cdef Job job
    job.a, job.a_row, job.a_k, job.M, job.d, job.N, job.out, job.ldo = a, 1, M, M, d, N, out, ldo
    return job


cdef Job sum_of(const real* one, const real* d, Py_ssize_t N, real* out) noexcept:
    """out[N] += the column sums of d."""
    cdef Job job
    job.a, job.a_row, job.a_k, job.M, job.d, job.N, job.out, job.ldo = one, 0, 0, 1, d, N, out, N
    return job
