# Dense layers: y = act(x W + b) and, going back, dx = da Wᵀ, dW += xᵀ da, db += Σ da, all on the tiles of product.pxi.

cdef enum:
    LINEAR, RELU, TANH, SIGMOID

cdef enum:
    DEPTH = 512  # inputs at a time: a panel of them, 128 KiB, stays in the second-level cache
    CACHED = 262144  # bytes of panels that stay in the second-level cache beside some rows,
    BLOCKED = 8 * MR  # so many at a time; larger weights are read once for all rows
    CHUNK = 256  # rows at a time in the gradient of W, packed: 64 KiB
    STACK = 64  # tiles that share a packed chunk, at most
    EDGE = 2  # columns beyond whole groups that are cheaper as dot products than as another group of lanes

ACTIVATIONS = {"linear": LINEAR, "relu": RELU, "tanh": TANH, "sigmoid": SIGMOID}


cdef inline void act(int activation, real* a, Py_ssize_t n) noexcept nogil:
    """The activation of n numbers, in place; NaN stays."""
    cdef Py_ssize_t l
    if activation == RELU:
        for l in range(n):
            a[l] = 0 if a[l] < 0 else a[l]
    elif activation == TANH:
        for l in range(n):
            a[l] = tanh_(a[l])
    elif activation == SIGMOID:
        for l in range(n):
            a[l] = sigmoid(a[l])


# y[N,V] = act(A[N,K] P + bias), with P packed in panels; without bias from zero.
cdef struct Map:
    const real* a
    Py_ssize_t N, K
    const real* panels
    Py_ssize_t V  # columns in panels
    const real* edge  # the `edges` columns after them, each in whole groups of K
    int edges, activation
    const real* bias
    real* y
    Py_ssize_t ldy


cdef void map_panel(const Map* p, Py_ssize_t j, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    """The panel of columns from j on, for rows r0 to r1."""
    cdef real c[MR * PANEL]
    cdef Py_ssize_t n = least(PANEL, p.V - j), cols = groups_up(n), k, depth, row, rows, r
    cdef real* y
    for k from 0 <= k < p.K by DEPTH:
        depth = least(DEPTH, p.K - k)
        row = r0
        while row < r1:
            rows = least(MR, r1 - row)
            y = p.y + row * p.ldy + j
            if k > 0:
                for r in range(rows):
                    memcpy(c + r * PANEL, y + r * p.ldy, n * sizeof(real))
            elif p.bias == NULL:
                memset(c, 0, sizeof(c))
            else:
                for r in range(rows):
                    memcpy(c + r * PANEL, p.bias + j, cols * sizeof(real))
            product(<int>rows, <int>cols, depth, p.a + row * p.K + k, p.K, 1, p.panels + j * p.K + k * cols, cols, c)
            for r in range(rows):
                if k + depth == p.K:
                    act(p.activation, c + r * PANEL, cols)
                if n == PANEL:
                    memcpy(y + r * p.ldy, c + r * PANEL, PANEL * sizeof(real))
                else:
                    memcpy(y + r * p.ldy, c + r * PANEL, n * sizeof(real))
            row += rows


cdef inline void dots(int rows, const Map* p, Py_ssize_t row, int e) noexcept nogil:
    """Edge column e of some rows: products along K, one sum for each lane, the lanes added at the end."""
    cdef real acc[MR][LANES]
    cdef real x[LANES]
    cdef const real* w = p.edge + e * groups_up(p.K)
    cdef const real* a = p.a + row * p.K
    cdef Py_ssize_t k, whole = p.K // LANES * LANES
    cdef int r, l
    memset(acc, 0, sizeof(acc))
    for k from 0 <= k < whole by LANES:
        for r in range(rows):
            for l in range(LANES):
                acc[r][l] += a[r * p.K + k + l] * w[k + l]
    for r in range(rows):
        if whole < p.K:
            load(x, a + r * p.K + whole, p.K - whole)
            for l in range(LANES):
                acc[r][l] += x[l] * w[whole + l]
        x[0] = lanes_sum(&acc[r][0])
        if p.bias != NULL:
            x[0] += p.bias[groups_up(p.V) + e]
        act(p.activation, x, 1)
        p.y[(row + r) * p.ldy + p.V + e] = x[0]


cdef void map_edges(const Map* p, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    """The edge columns of rows r0 to r1."""
    cdef Py_ssize_t row
    cdef int e
    for e in range(p.edges):
        row = r0
        while row + MR <= r1:
            dots(MR, p, row, e)
            row += MR
        while row < r1:
            dots(1, p, row, e)
            row += 1


cdef void map_share(const Map* p, int thread, int team) noexcept nogil:
    """This thread's rows, or, where rows are few, its panels."""
    cdef Py_ssize_t tiles = (p.N + MR - 1) // MR, panels = (p.V + PANEL - 1) // PANEL, j, r0 = 0, r1 = p.N
    cdef Py_ssize_t first = 0, last = panels, r, rows
    if tiles >= 2 * team or tiles >= panels:
        r0, r1 = least(p.N, tiles * thread // team * MR), least(p.N, tiles * (thread + 1) // team * MR)
        map_edges(p, r0, r1)
    else:
        first, last = panels * thread // team, panels * (thread + 1) // team
        if thread == 0:
            map_edges(p, r0, r1)
    rows = BLOCKED if p.K * p.V * sizeof(real) <= CACHED else p.N
    for r from r0 <= r < r1 by rows:
        for j in range(first, last):
            map_panel(p, j * PANEL, r, least(r + rows, r1))


# out(m, n) += Σ_k a(k, m) d(k, n) over N rows k: W's gradient from x and da, or its transpose from da and x.
cdef struct Outer:
    const real* a
    Py_ssize_t M
    const real* d
    Py_ssize_t cols
    real* out
    Py_ssize_t out_m, out_n
    Py_ssize_t N


cdef Py_ssize_t cost_of(Py_ssize_t M, Py_ssize_t cols) noexcept nogil:
    """Tile rows times whole groups of columns: what is computed, padding included."""
    return (M + MR - 1) // MR * groups_up(cols)


cdef void outer_block(const Outer* o, Py_ssize_t j, Py_ssize_t t0, Py_ssize_t t1, real* work) noexcept nogil:
    """Tiles t0 to t1 of the panel of columns from j on; ``work``: a packed chunk, then the tiles' sums.

    A chunk is summed apart and then added, as wide sums keep more digits.
    """
    cdef real c[MR * PANEL]
    cdef real* packed = work
    cdef real* total
    cdef real* out
    cdef Py_ssize_t n = least(PANEL, o.cols - j), width = groups_up(n), k, depth, t, m, r, l
    memset(work + CHUNK * PANEL, 0, (t1 - t0) * MR * PANEL * sizeof(real))
    for k from 0 <= k < o.N by CHUNK:
        depth = least(CHUNK, o.N - k)
        pack(packed, depth, 0, o.d + k * o.cols + j, o.cols, 1, depth, n)
        for t in range(t0, t1):
            m = t * MR
            memset(c, 0, sizeof(c))
            product(<int>least(MR, o.M - m), <int>width, depth, o.a + k * o.M + m, 1, o.M, packed, width, c)
            total = work + CHUNK * PANEL + (t - t0) * MR * PANEL
            for l in range(MR * PANEL):
                total[l] += c[l]
    for t in range(t0, t1):
        m = t * MR
        for r in range(least(MR, o.M - m)):
            total = work + CHUNK * PANEL + ((t - t0) * MR + r) * PANEL
            out = o.out + (m + r) * o.out_m + j * o.out_n
            for l in range(n):
                out[l * o.out_n] += total[l]


cdef void outer_share(const Outer* o, real* work, int thread, int team) noexcept nogil:
    """This thread's share of the output tiles, column by column."""
    cdef Py_ssize_t down = (o.M + MR - 1) // MR, units = down * ((o.cols + PANEL - 1) // PANEL), t, count
    cdef Py_ssize_t u = units * thread // team, last = units * (thread + 1) // team
    while u < last:
        t = u % down
        count = least(STACK, least(down - t, last - u))
        outer_block(o, u // down * PANEL, t, t + count, work)
        u += count


cdef void sum_share(const real* d, Py_ssize_t N, Py_ssize_t V, real* out, int thread, int team) noexcept nogil:
    """out[V] += Σ over the rows of d, by groups of columns; a chunk summed apart."""
    cdef real c[LANES]
    cdef real x[LANES]
    cdef Py_ssize_t groups = (V + LANES - 1) // LANES, g, k, i, n
    cdef int l
    for g in range(groups * thread // team, groups * (thread + 1) // team):
        n = least(LANES, V - g * LANES)
        for k from 0 <= k < N by CHUNK:
            memset(c, 0, sizeof(c))
            if n == LANES:
                for i in range(k, least(N, k + CHUNK)):
                    for l in range(LANES):
                        c[l] += d[i * V + g * LANES + l]
            else:
                for i in range(k, least(N, k + CHUNK)):
                    for l in range(n):
                        c[l] += d[i * V + g * LANES + l]
            for l in range(n):
                out[g * LANES + l] += c[l]


cdef void forth_share(const Map* p, int thread, int team) noexcept nogil:
    cdef unsigned mode = rnnkit_flush_denormals()
    map_share(p, thread, team)
    rnnkit_restore(mode)


cdef void back_share(const Map* p, const Outer* o, const real* da, Py_ssize_t V, real* db, real* work, int thread,
                     int team) noexcept nogil:
    cdef unsigned mode = rnnkit_flush_denormals()
    outer_share(o, work + thread * (CHUNK + STACK * MR) * PANEL, thread, team)
    sum_share(da, o.N, V, db, thread, team)
    if p != NULL:
        map_share(p, thread, team)
    rnnkit_restore(mode)


cdef class Dense:
    """A dense layer's parameters, packed for the products of forward and, when first needed, of backward."""

    cdef readonly Py_ssize_t K, V
    cdef int edges
    cdef const real[:, ::1] W
    cdef real[::1] forth, edge, bias  # W by panels; its last columns; b, the panels' part in whole groups
    cdef real[::1] back  # Wᵀ by panels
    cdef real[::1] work  # of each thread

    cdef bint back_packed

    def __init__(self, Py_ssize_t K, Py_ssize_t V):
        cdef Py_ssize_t panels
        self.K, self.V = K, V
        self.edges = V % LANES if V % LANES <= EDGE else 0
        panels = groups_up(V - self.edges)
        self.forth = aligned(panels * K, False)
        self.edge = aligned(self.edges * groups_up(K), True)
        self.bias = aligned(panels + self.edges, True)
        self.back = self.work = None

    def pack(self, const real[:, ::1] W, const real[::1] b):
        """Take these parameters; they are read again when backward first needs Wᵀ."""
        cdef Py_ssize_t V = self.V - self.edges, e, k
        self.W, self.back_packed = W, False
        self.bias[:V] = b[:V]
        self.bias[groups_up(V) :] = b[V:]
        pack(&self.forth[0], self.K, 0, &W[0, 0], self.V, 1, self.K, V)
        for e in range(self.edges):
            for k in range(self.K):
                self.edge[e * groups_up(self.K) + k] = W[k, V + e]

    def forward(self, const real[:, ::1] x, str activation, real[:, ::1] y, int threads):
        cdef Map p
        cdef int team
        if x.shape[0] == 0:
            return
        p.a, p.N, p.K, p.V, p.edges = &x[0, 0], x.shape[0], self.K, self.V - self.edges, self.edges
        p.panels, p.edge, p.bias = &self.forth[0], &self.edge[0], &self.bias[0]
        p.activation, p.y, p.ldy = ACTIVATIONS[activation], &y[0, 0], self.V
        with nogil:
            team = team_size(threads, max((p.N + MR - 1) // MR, (p.V + PANEL - 1) // PANEL),
                             <double>p.N * p.K * self.V)
            if team == 1:
                forth_share(&p, 0, 1)
            else:
                with parallel(num_threads=team):
                    forth_share(&p, rnnkit_thread(), rnnkit_team())

    def backward(self, const real[:, ::1] x, const real[:, ::1] da, real[:, ::1] dW, real[::1] db, dx, int threads):
        cdef Map p
        cdef Outer o
        cdef real[:, ::1] dx_ = dx
        cdef Py_ssize_t K = self.K, V = self.V, N = x.shape[0]
        cdef bint wanted = dx is not None
        cdef int team
        if N == 0:
            return
        o.N, o.out = N, &dW[0, 0]
        if cost_of(K, V) <= cost_of(V, K):
            o.a, o.M, o.d, o.cols, o.out_m, o.out_n = &x[0, 0], K, &da[0, 0], V, V, 1
        else:
            o.a, o.M, o.d, o.cols, o.out_m, o.out_n = &da[0, 0], V, &x[0, 0], K, 1, V
        if wanted:
            if self.back is None:
                self.back = aligned(groups_up(K) * V, False)
            if not self.back_packed:
                self.back_packed = True
                pack(&self.back[0], V, 0, &self.W[0, 0], 1, V, V, K)
            p.a, p.N, p.K, p.V, p.edges, p.activation = &da[0, 0], N, V, K, 0, LINEAR
            p.panels, p.edge, p.bias, p.y, p.ldy = &self.back[0], NULL, NULL, &dx_[0, 0], K
        team = team_size(threads, threads, (2.0 if wanted else 1.0) * N * K * V)
        if self.work is None or self.work.shape[0] < team * (CHUNK + STACK * MR) * PANEL:
            self.work = aligned(team * (CHUNK + STACK * MR) * PANEL, False)
        with nogil:
            if team == 1:
                back_share(&p if wanted else NULL, &o, &da[0, 0], V, &db[0], &self.work[0], 0, 1)
            else:
                with parallel(num_threads=team):
                    back_share(&p if wanted else NULL, &o, &da[0, 0], V, &db[0], &self.work[0], rnnkit_thread(),
                               rnnkit_team())
