# A cell's parameters, packed, and the passes over them.

cdef enum:
    COPY = 16  # multiply-adds in whose time one number is packed


VARIANTS = {
    "rnn_tanh": RNN_TANH, "rnn_relu": RNN_RELU, "lstm": LSTM, "gru_after": GRU_AFTER, "gru_before": GRU_BEFORE,
    "mingru_linear": MINGRU_LINEAR, "mingru_positive": MINGRU_POSITIVE,
    "minlstm_linear": MINLSTM_LINEAR, "minlstm_positive": MINLSTM_POSITIVE,
}


# How a variant's panels are made of its gates.
cdef struct Recipe:
    int G, x_gates, h_gates, back_gates, inputs_gates  # in the tape's panel, in forth's (of x, of h), in back's, in back_x's
    int panel[4]  # the parameters' gate of x in each group of a panel, -1 where x feeds none
    int below[4]  # the same of h
    int x[4]  # the same, those that are there, in forth's order
    int h[4]


cdef Recipe recipe_of(int variant):
    cdef Recipe recipe
    if variant == LSTM:
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates, recipe.inputs_gates = 4, 4, 4, 4, 4
        recipe.panel, recipe.below, recipe.x, recipe.h = [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]
    elif variant == GRU_AFTER:  # parameters are [r z n], panels [n r z q]
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates, recipe.inputs_gates = 4, 3, 3, 3, 3
        recipe.panel, recipe.below, recipe.x, recipe.h = [2, 0, 1, -1], [-1, 0, 1, 2], [2, 0, 1, -1], [0, 1, 2, -1]
    elif variant == GRU_BEFORE:
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates, recipe.inputs_gates = 3, 2, 2, 2, 3
        recipe.panel, recipe.below, recipe.x, recipe.h = [0, 1, 2, -1], [0, 1, -1, -1], [0, 1, 2, -1], [0, 1, 2, -1]
    elif variant >= MINGRU_LINEAR:
        recipe.G = 2 if variant <= MINGRU_POSITIVE else 3
        recipe.x_gates, recipe.h_gates, recipe.back_gates, recipe.inputs_gates = recipe.G, 0, 0, recipe.G
        recipe.panel, recipe.below, recipe.x, recipe.h = [0, 1, 2, -1], [-1, -1, -1, -1], [0, 1, 2, -1], [-1, -1, -1, -1]
    else:
        recipe.G, recipe.x_gates, recipe.h_gates, recipe.back_gates, recipe.inputs_gates = 1, 1, 1, 1, 1
        recipe.panel, recipe.below, recipe.x, recipe.h = [0, -1, -1, -1], [0, -1, -1, -1], [0, -1, -1, -1], [0, -1, -1, -1]
    return recipe


cdef class Weights:
    """A cell's parameters, packed for forward at once and, transposed, for backward when it is first asked for.

    With ``table [V,I]`` what enters is ids: the table is projected here, and every step starts from a row of it.
    """

    cdef readonly int variant
    cdef readonly Py_ssize_t I, H, V
    cdef Py_ssize_t below  # rows of R
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
        self.W, self.R, self.table, self.threads = params["W"], params.get("R"), table, threads
        self.rounded = rounded
        self.low_forth = self.low_back = self.low_back_x = None
        self.seeds = self.candidate = self.back = self.back_n = self.back_x = None
        self.variant = VARIANTS[variant]
        self.recipe = recipe_of(self.variant)
        self.I, self.H = self.W.shape[0], self.W.shape[1] // (3 if self.variant == GRU_AFTER else self.recipe.G)
        self.below = 0 if self.R is None else self.H
        if self.variant <= RNN_RELU:
            self.panels, self.width = (self.H + PANEL - 1) // PANEL, PANEL
        else:
            self.panels, self.width = (self.H + LANES - 1) // LANES, self.recipe.G * LANES
        self._end_panels()
        self._pack_bias(b, params.get("bn"))
        self._pack_forth()
        self.pairs_x, self.pairs_h = (self.I + 1) // 2, (self.below + 1) // 2
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
        cdef Py_ssize_t depth = self.I + self.below
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
        cdef Py_ssize_t I = self.I, H = self.H, depth = I + self.below, ld = self.W.shape[1]
        cdef Py_ssize_t first = self.panels * thread // team, last = self.panels * (thread + 1) // team
        cdef int G = self.recipe.x_gates
        cdef real* to
        if self.variant <= RNN_RELU:
            pack_some(&self.forth[0], depth, 0, &self.W[0, 0], H, 1, I, H, first, last)
            pack_some(&self.forth[0], depth, I, &self.R[0, 0], H, 1, H, H, first, last)
            return
        pack_gates(&self.forth[0], depth, 0, &self.W[0, 0], I, H, ld, self.recipe.x, G, first, least(last, self.full))
        if self.below == 0:
            return
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
        cdef Py_ssize_t I = self.I, H = self.below, j, cols
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
        cdef Py_ssize_t H = self.below, I = self.I, u, K = self._depth(self.recipe.back_gates)
        self.low_back = np.empty(self.back.shape[0], np.uint16)
        for u from 0 <= u < H by PANEL:
            zip_weights(&self.low_back[u * K], &self.back[u * K], K, groups_up(least(PANEL, H - u)))
        self.low_back_x = np.empty(self.back_x.shape[0], np.uint16)
        K = self._depth(self.recipe.inputs_gates)
        for u from 0 <= u < I by PANEL:
            zip_weights(&self.low_back_x[u * K], &self.back_x[u * K], K, groups_up(least(PANEL, I - u)))
        if self.table is not None:  # what their sums by token meet
            round_values(&self.back_x[0], self.back_x.shape[0])

    cdef void _pack_back(self, int threads):
        cdef Py_ssize_t blocks = (self.below + PANEL - 1) // PANEL + (self.I + PANEL - 1) // PANEL
        cdef int team = team_size(threads, blocks, <double>(self.I + self.below) * self.W.shape[1] * COPY)
        self.back = aligned(groups_up(self.below) * self._depth(self.recipe.back_gates), False)
        self.back_x = aligned(groups_up(self.I) * self._depth(self.recipe.inputs_gates), False)
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
        cdef Py_ssize_t of_h = (self.below + PANEL - 1) // PANEL, of_x = (I + PANEL - 1) // PANEL
        cdef Py_ssize_t first = (of_h + of_x) * thread // team, last = (of_h + of_x) * (thread + 1) // team
        cdef int G = self.recipe.back_gates
        cdef int last_gate[1]
        last_gate[0] = 2
        if self.below:
            pack_back(&self.back[0], &self.R[0, 0], H, ld, H, self.recipe.h, G, self.recipe.below, self.tail, self.rest,
                      first, least(last, of_h))
        pack_back(&self.back_x[0], &self.W[0, 0], I, ld, H, self.recipe.x, self.recipe.inputs_gates, self.recipe.panel,
                  self.tail, self.rest, max(0, first - of_h), last - of_h)
        if self.variant == GRU_BEFORE:
            pack_back(&self.back_n[0], &self.R[0, 0], H, ld, H, last_gate, 1, NULL, 0, 0, first, least(last, of_h))

    cdef Pass _pass(self):
        """A record with the sizes and weights filled in."""
        cdef Pass p
        memset(&p, 0, sizeof(p))
        p.variant, p.I, p.H, p.width, p.panels = self.variant, self.I, self.H, self.width, self.panels
        p.depth = self.I + self.below
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
        if self.rounded or p.lengths != NULL:
            tape.make_own_room(self, threads)
            p.own_panels, p.own_lists, p.own_rows = &tape.own_panels[0], &tape.own_lists[0], tape.own_rows
        if tape.room is not None:
            p.room, p.room_half = &tape.room[0], tape.half
        if self.V:
            p.token_sums = &tape.sums[0]
            if "E" in grads:
                dE = grads["E"]
                table = &dE[0, 0]
        with nogil:
            accumulate_all(&p, jobs, count, table, threads)
