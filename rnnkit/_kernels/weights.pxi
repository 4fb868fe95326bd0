# A cell's parameters, packed; and the tape: what one pass leaves for the next.

cdef enum:
    COPY = 16  # multiply-adds in whose time one number is packed


VARIANTS = {"rnn_tanh": RNN_TANH, "rnn_relu": RNN_RELU, "lstm": LSTM, "gru_after": GRU_AFTER, "gru_before": GRU_BEFORE}


cdef real[::1] aligned(Py_ssize_t n, bint zero):
    """n numbers that start on a cache line."""
    cdef real[::1] raw = (np.zeros if zero else np.empty)(n + LANES, DTYPE)
    cdef Py_ssize_t skip = (64 - <uintptr_t>&raw[0] % 64) % 64 // sizeof(real)
    return raw[skip : skip + n]


# How a variant's panels are made of its gates.
cdef struct Recipe:
    int G, x_gates, h_gates, back_gates  # gates in the tape's panel, in forth's (of x, of h), in back's
    int panel[4]  # the parameters' gate of x in each group of a panel, -1 where x feeds none
    int below[4]  # the same of h
    int x[4]  # the same, those that are there, in forth's order
    int h[4]


cdef Recipe recipe_of(int variant):
    cdef Recipe recipe
    if variant == LSTM:
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates = 4, 4, 4, 4
        recipe.panel, recipe.below, recipe.x, recipe.h = [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]
    elif variant == GRU_AFTER:  # parameters are [r z n], panels [n r z q]
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates = 4, 3, 3, 3
        recipe.panel, recipe.below, recipe.x, recipe.h = [2, 0, 1, -1], [-1, 0, 1, 2], [2, 0, 1, -1], [0, 1, 2, -1]
    elif variant == GRU_BEFORE:
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates = 3, 2, 2, 2
        recipe.panel, recipe.below, recipe.x, recipe.h = [0, 1, 2, -1], [0, 1, -1, -1], [0, 1, 2, -1], [0, 1, 2, -1]
    else:
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates = 1, 1, 1, 1
        recipe.panel, recipe.below, recipe.x, recipe.h = [0, -1, -1, -1], [0, -1, -1, -1], [0, -1, -1, -1], [0, -1, -1, -1]
    return recipe


cdef class Weights:
    """A cell's parameters, packed for forward at once and, transposed, for backward when it is first asked for.

    With ``table [V,I]`` what enters is ids: the table is projected here, and every step starts from a row of it.
    """

    cdef readonly int variant
    cdef readonly Py_ssize_t I, H, V
    cdef Py_ssize_t panels, width, full, rest, tail
    cdef int threads
    cdef bint rounded
    cdef Py_ssize_t pairs_x, pairs_h
    cdef Recipe recipe
    cdef const real[:, ::1] W, R, table
    cdef real[::1] forth  # per panel: I rows of W, then H of R (reset-before: of r and z)
    cdef real[::1] candidate  # reset-before: the same for n
    cdef real[::1] bias  # panel by panel
    cdef real[::1] seeds  # the projected table, panel by panel
    cdef real[::1] back  # Rᵀ (reset-before: of r and z)
    cdef real[::1] back_n  # reset-before: R_nᵀ
    cdef real[::1] back_x  # Wᵀ
    cdef half[::1] low_forth, low_back, low_back_x  # the same in bfloat16, in pairs along K

    def __init__(self, str variant, params, const real[:, ::1] table=None, bint rounded=False, int threads=1):
        cdef const real[::1] b = params["b"]
        self.W, self.R, self.table, self.threads = params["W"], params["R"], table, threads
        self.rounded = rounded
        self.low_forth = self.low_back = self.low_back_x = None
        self.seeds = self.candidate = self.back = self.back_n = self.back_x = None
        self.variant = VARIANTS[variant]
        self.recipe = recipe_of(self.variant)
        self.I, self.H = self.W.shape[0], self.R.shape[0]
        if self.variant <= RNN_RELU:
            self.panels, self.width = (self.H + PANEL - 1) // PANEL, PANEL
        else:
            self.panels, self.width = (self.H + LANES - 1) // LANES, self.recipe.G * LANES
        self._end_panels()
        self._pack_bias(b, params.get("bn"))
        self._pack_forth()
        self.pairs_x, self.pairs_h = (self.I + 1) // 2, (self.H + 1) // 2
        if rounded:
            self._round_forth()
        if table is not None:
            self.V = table.shape[0]
            self.seeds = aligned(self.panels * self.width * self.V, False)
            self._project_table()

    cdef void _end_panels(self):
        """How the last panel ends: a vanilla RNN's with fewer groups, a gated cell's closed up where that saves some."""
        cdef Py_ssize_t n = self.H % LANES
        self.full, self.rest, self.tail = self.panels, 0, 0
        if self.variant <= RNN_RELU:
            self.full, self.rest = self.H // PANEL, groups_up(self.H % PANEL)
        elif self.recipe.G == 4 and n and groups_up(4 * n) < self.width:
            self.full, self.rest, self.tail = self.panels - 1, groups_up(4 * n), n

    cdef Py_ssize_t _depth(self, int G) noexcept nogil:
        """Columns of G gates in all panels: how deep a product over them is."""
        return self.full * (PANEL if self.variant <= RNN_RELU else G * LANES) + self.rest

    cdef void _pack_bias(self, const real[::1] b, const real[::1] bn):
        cdef Py_ssize_t H = self.H
        cdef const real* source
        cdef real* to
        cdef Py_ssize_t j
        cdef int g
        self.bias = aligned(self.panels * self.width, True)
        if self.variant <= RNN_RELU:
            self.bias[:H] = b
            return
        for j in range(self.panels):
            for g in range(self.recipe.G):
                source = &b[self.recipe.panel[g] * H] if self.recipe.panel[g] >= 0 else &bn[0]
                to = &self.bias[j * self.width + g * (self.tail if self.tail and j == self.full else LANES)]
                load(to, source + j * LANES, least(LANES, H - j * LANES))

    cdef void _pack_forth(self):
        cdef Py_ssize_t depth = self.I + self.H
        cdef int team = team_size(self.threads, self.panels, <double>depth * self.W.shape[1] * COPY)
        self.forth = aligned(self.panels * (self.width if self.variant <= RNN_RELU else self.recipe.x_gates * LANES) * depth,
                             False)
        if self.variant == GRU_BEFORE:
            self.candidate = aligned(groups_up(self.H) * depth, False)
        if team == 1:
            self._pack_forth_share(0, 1)
        else:
            with nogil, parallel(num_threads=team):
                self._pack_forth_share(rnnkit_thread(), rnnkit_team())

    cdef void _pack_forth_share(self, int thread, int team) noexcept nogil:
        cdef Py_ssize_t I = self.I, H = self.H, depth = I + H, ld = self.W.shape[1]
        cdef Py_ssize_t first = self.panels * thread // team, last = self.panels * (thread + 1) // team
        cdef int G = self.recipe.x_gates
        cdef real* to
        if self.variant <= RNN_RELU:
            pack_some(&self.forth[0], depth, 0, &self.W[0, 0], H, 1, I, H, first, last)
            pack_some(&self.forth[0], depth, I, &self.R[0, 0], H, 1, H, H, first, last)
            return
        pack_gates(&self.forth[0], depth, 0, &self.W[0, 0], I, H, ld, self.recipe.x, G, first, least(last, self.full))
        pack_gates(&self.forth[0], depth, I, &self.R[0, 0], H, H, ld, self.recipe.h, G, first, least(last, self.full))
        if self.tail and last > self.full:
            to = &self.forth[self.full * G * LANES * depth]
            pack_tail(to, &self.W[0, 0], I, ld, H, self.recipe.panel, self.tail, self.rest)
            pack_tail(to + I * self.rest, &self.R[0, 0], H, ld, H, self.recipe.below, self.tail, self.rest)
        if self.variant == GRU_BEFORE and thread == 0:
            pack(&self.candidate[0], depth, 0, &self.W[0, 2 * H], ld, 1, I, H)
            pack(&self.candidate[0], depth, I, &self.R[0, 2 * H], ld, 1, H, H)

    cdef void _round_forth(self):
        """Panels of pairs; x and h begin with a pair of their own.  What the table meets is rounded where it lies."""
        cdef Py_ssize_t I = self.I, H = self.H, j, cols
        cdef Pass p = self._pass()
        cdef const real* P
        cdef half* to
        cdef real[::1] W
        cols = 0
        for j in range(self.panels):
            cols += forth_cols(&p, j)
        self.low_forth = np.empty(cols * (self.pairs_x + self.pairs_h) * 2, np.uint16)
        to = &self.low_forth[0]
        for j in range(self.panels):
            cols, P = forth_cols(&p, j), forth_at(&p, j)
            zip_weights(to, P, I, cols)
            zip_weights(to + self.pairs_x * 2 * cols, P + I * cols, H, cols)
            to += (self.pairs_x + self.pairs_h) * 2 * cols
            if self.table is not None:
                round_values(<real*>P, I * cols)

    cdef void _round_back(self):
        cdef Py_ssize_t H = self.H, I = self.I, u, K = self._depth(self.recipe.back_gates)
        self.low_back = np.empty(self.back.shape[0], np.uint16)
        for u from 0 <= u < H by PANEL:
            zip_weights(&self.low_back[u * K], &self.back[u * K], K, groups_up(least(PANEL, H - u)))
        self.low_back_x = np.empty(self.back_x.shape[0], np.uint16)
        K = self._depth(3 if self.variant >= GRU_AFTER else self.recipe.back_gates)
        for u from 0 <= u < I by PANEL:
            zip_weights(&self.low_back_x[u * K], &self.back_x[u * K], K, groups_up(least(PANEL, I - u)))
        if self.table is not None:  # what their sums by token meet
            round_values(&self.back_x[0], self.back_x.shape[0])

    cdef void _pack_back(self, int threads):
        cdef int all_gates = 3 if self.variant >= GRU_AFTER else self.recipe.back_gates
        cdef Py_ssize_t blocks = (self.H + PANEL - 1) // PANEL + (self.I + PANEL - 1) // PANEL
        cdef int team = team_size(threads, blocks, <double>(self.I + self.H) * self.W.shape[1] * COPY)
        self.back = aligned(groups_up(self.H) * self._depth(self.recipe.back_gates), False)
        self.back_x = aligned(groups_up(self.I) * self._depth(all_gates), False)
        if self.variant == GRU_BEFORE:
            self.back_n = aligned(groups_up(self.H) * self._depth(1), False)
        if team == 1:
            self._pack_back_share(0, 1)
        else:
            with nogil, parallel(num_threads=team):
                self._pack_back_share(rnnkit_thread(), rnnkit_team())
        if self.rounded:
            self._round_back()

    cdef void _pack_back_share(self, int thread, int team) noexcept nogil:
        """This thread's share of the panels of Rᵀ, then of Wᵀ."""
        cdef Py_ssize_t I = self.I, H = self.H, ld = self.W.shape[1]
        cdef Py_ssize_t of_h = (H + PANEL - 1) // PANEL, of_x = (I + PANEL - 1) // PANEL
        cdef Py_ssize_t first = (of_h + of_x) * thread // team, last = (of_h + of_x) * (thread + 1) // team
        cdef int G = self.recipe.back_gates, all_gates = 3 if self.variant >= GRU_AFTER else G
        cdef int last_gate[1]
        last_gate[0] = 2
        pack_back(&self.back[0], &self.R[0, 0], H, ld, H, self.recipe.h, G, self.recipe.below, self.tail, self.rest, first,
                  least(last, of_h))
        pack_back(&self.back_x[0], &self.W[0, 0], I, ld, H, self.recipe.x, all_gates, self.recipe.panel, self.tail, self.rest,
                  max(0, first - of_h), last - of_h)
        if self.variant == GRU_BEFORE:
            pack_back(&self.back_n[0], &self.R[0, 0], H, ld, H, last_gate, 1, NULL, 0, 0, first, least(last, of_h))

    cdef Pass _pass(self):
        """A record with the sizes and weights filled in."""
        cdef Pass p
        memset(&p, 0, sizeof(p))
        p.variant, p.I, p.H, p.width, p.panels = self.variant, self.I, self.H, self.width, self.panels
        p.forth, p.bias = &self.forth[0], &self.bias[0]
        p.full, p.rest, p.tail = self.full, self.rest, self.tail
        p.seed_kind, p.seed, p.seed_rows = BIAS, p.bias, 1
        if self.variant == GRU_BEFORE:
            p.candidate = &self.candidate[0]
        if self.V:
            p.seed_kind, p.seed, p.seed_rows, p.V, p.table = TOKENS, &self.seeds[0], self.V, self.V, &self.table[0, 0]
        p.rounded, p.pairs_x, p.pairs_h = self.rounded, self.pairs_x, self.pairs_h
        if self.low_forth is not None:
            p.low_forth = &self.low_forth[0]
        if self.low_back is not None:
            p.low_back, p.low_back_x = &self.low_back[0], &self.low_back_x[0]
        if self.back is not None:
            p.back, p.back_x = &self.back[0], &self.back_x[0]
            p.back_n = &self.back_n[0] if self.variant == GRU_BEFORE else NULL
        return p

    cdef void _project_table(self):
        cdef Pass p = self._pass()
        cdef real[:, ::1] table
        if self.rounded:
            table = np.array(self.table)
            round_values(&table[0, 0], self.V * self.I)
            self.table = table
        project(&p, &self.table[0, 0], self.V, &self.seeds[0], 0, self.panels)

    def allocate(self, Py_ssize_t T, Py_ssize_t B, bint training):
        return Tape(self, T, B, training)

    def forward(self, x, tuple states, Tape tape, span):
        cdef Pass p
        cdef int threads = span.threads
        if x.shape[1] == 0 or span.start >= span.stop:
            return
        p = begin(self, x, states, tape, span)
        with nogil:
            walk(&p, False, &tape.rows[0], &tape.order[0], threads)

    def backward(self, x, tuple states, Tape tape, const real[:, :, ::1] dy, tuple dstates, dx, span):
        cdef Pass p
        cdef real[:, ::1] dh = dstates[0], dc
        cdef real[:, :, ::1] dx_ = dx
        cdef int threads = span.threads
        if x.shape[1] == 0 or span.start >= span.stop:
            return
        if self.back is None:
            self._pack_back(threads)
        p = begin(self, x, states, tape, span)
        p.dy, p.dh = &dy[0, 0, 0], &dh[0, 0]
        if p.variant == LSTM:
            dc = dstates[1]
            p.dc = &dc[0, 0]
        if dx is not None:
            p.dx = &dx_[0, 0, 0]
        with nogil:
            walk(&p, True, &tape.rows[0], &tape.order[0], threads)

    def accumulate(self, x, tuple states, Tape tape, grads, span):
        cdef Pass p
        cdef Job jobs[JOBS]
        cdef int threads = span.threads, count
        cdef real[:, ::1] dE
        cdef real* table = NULL
        if x.shape[1] == 0 or span.start >= span.stop:
            return
        p = begin(self, x, states, tape, span)
        count = jobs_of(self, &p, jobs, grads)
        if tape.sums_of_tiles is not None:
            p.sums = &tape.sums_of_tiles[0]
        if self.rounded:
            tape.make_low_room(self, threads)
            p.low_panels, p.low_room = &tape.low_panels[0], tape.low_room
        if tape.room is not None:
            p.room, p.room_half = &tape.room[0], tape.half
        if self.V:
            p.token_sums = &tape.sums[0]
            if "E" in grads:
                dE = grads["E"]
                table = &dE[0, 0]
        with nogil:
            accumulate_all(&p, jobs, count, table, threads)


cdef enum:
    MANY = 24  # panels that pay for packing the columns of x and h


cdef Py_ssize_t tile_rows(Weights w):
    """Rows of the tiles that make the gradients of the matrices, whole strips each."""
    cdef Py_ssize_t H = (w.H + MR - 1) // MR * MR, I = (w.I + MR - 1) // MR * MR
    return (2 * H if w.variant == GRU_BEFORE else H) + (0 if w.V else I)


cdef class Tape:
    """What one pass leaves for the next: gates (then their gradients), mask ⊙ h and, reset-before, r ⊙ h, per step."""

    cdef readonly bint training
    cdef Py_ssize_t tape_step, count, half
    cdef real[::1] gates, hr, rh, ahead, sums, room, sums_of_tiles
    cdef half[::1] low_x, low_h, low_panels
    cdef Py_ssize_t low_room, low_threads
    cdef Py_ssize_t[::1] order, rows

    def __init__(self, Weights weights, Py_ssize_t T, Py_ssize_t B, bint training):
        self.gates = self.hr = self.rh = self.ahead = self.sums = self.room = self.sums_of_tiles = None
        self.low_x = self.low_h = self.low_panels = None
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
        elif B and B <= FEW and not weights.V:
            self.ahead = aligned(weights.panels * weights.width * max(AHEAD, B), False)
        if weights.V and training:
            self.sums = aligned(weights.panels * weights.width * weights.V + PANEL, False)
        if weights.rounded:
            self.low_x = np.zeros(B * 2 * weights.pairs_x, np.uint16)
            self.low_h = np.zeros(B * 2 * weights.pairs_h, np.uint16)
        if training and (weights.panels >= MANY or weights.rounded):
            columns = tile_rows(weights) + 2 * LANES  # rounded columns come in whole groups
            self.half = columns * (max(1, CHUNK // max(B, 1)) * B)
            self.room = aligned(2 * self.half, False)
        if training and T * B > CHUNK:
            columns = tile_rows(weights) + 3 * MR  # at most so many for biases
            self.sums_of_tiles = aligned(weights.panels * columns * PANEL, False)


    cdef void make_low_room(self, Weights weights, int threads):
        """Room for a zipped panel of gate gradients for every thread."""
        cdef Py_ssize_t rows
        if self.low_panels is None or self.low_threads < threads:
            rows = max(CHUNK, self.tape_step) + 1
            self.low_room, self.low_threads = rows * weights.width, threads
            self.low_panels = np.empty(threads * self.low_room, np.uint16)


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
    if mask is not None:
        p.mask = &mask[0, 0]
        if tape.hr is None:
            tape.hr = aligned(tape.count * w.H, False)
        p.hr = &tape.hr[0]
    return p


cdef int jobs_of(Weights w, const Pass* p, Job* jobs, grads) except -1:
    """The sums that make the gradients of the parameters; returns how many."""
    cdef real[:, ::1] dW = grads["W"], dR = grads["R"]
    cdef real[::1] db = grads["b"], dbn
    cdef Py_ssize_t I = w.I, H = w.H, GH = dW.shape[1], all_cols = w.width
    cdef const real* h = p.hr if p.mask != NULL else p.h + (p.B * H if p.reverse else 0)  # step 0's
    cdef const real* x = p.table if w.V else p.x
    cdef int tokens = w.V > 0
    if w.variant >= GRU_AFTER:
        all_cols = 3 * LANES
    jobs[0] = job_of(x, 1, I, I, p, 0, all_cols, w.recipe.panel, tokens, &dW[0, 0], GH)
    jobs[1] = job_of(&ONE, 0, 0, 1, p, 0, all_cols, w.recipe.panel, tokens, &db[0], GH)
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
