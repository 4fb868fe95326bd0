# The cells without R: h' = (1 − z) ⊙ h + z ⊙ n, or h' = k ⊙ h + (1 − k) ⊙ n with k = f/(f + i); n = g(x W_n + b_n).
#
# No gate waits for h, so that the rows of a tile are those of the walk one after the other, of one step or of several,
# and each takes its state along where the sums lie: a pre-activation never leaves the first-level cache.  Some rows at
# a time go through all panels, so that their x, h and gates stay in the second.  A panel of the tape holds [z n] or
# [f k n] of LANES units, which backward turns into [dz dn] or [df di dn].

cdef enum:
    WALKED = 192  # rows of the batch at a time there, W being read once for them,
    RETURNED = 64  # and on the way back, where none is read


# Where a walk stands: at the i-th of the share's rows that have step t.
cdef struct Place:
    Py_ssize_t t, i, alive


cdef inline Py_ssize_t rows_alive(const Pass* p, const Share* w, Py_ssize_t t, Py_ssize_t by,
                                  Py_ssize_t steps) noexcept nogil:
    """How many rows some steps have, from t on, each ``by`` after the other."""
    cdef Py_ssize_t total = 0, k
    if p.lengths == NULL:
        return steps * w.count
    for k in range(steps):
        total += alive_rows(p, w, t + k * by)
    return total


cdef inline Place place_at(const Pass* p, const Share* w, Py_ssize_t t) noexcept nogil:
    cdef Place at
    at.t, at.i, at.alive = t, 0, alive_rows(p, w, t)
    return at


cdef inline void settle(const Pass* p, const Share* w, Place* at, Py_ssize_t by) noexcept nogil:
    """To the next row there is: one is left."""
    while at.i == at.alive:
        at.t += by
        at.i, at.alive = 0, alive_rows(p, w, at.t)


cdef inline vec positive(vec a) noexcept nogil:
    """a + ½ where a ≥ 0, else σ(a); NaN stays."""
    return vmax(splat(0), a) + sigmoid_v(vmin(splat(0), a))


cdef inline void shares_of(vec f, vec i, vec* keep, vec* take) noexcept nogil:
    """f/(f + i) and i/(f + i) of gates by their pre-activations, also where both are 0 in floating point.

    With 1/σ(a) = 1 + e^−a they are 1 + e^−i and 1 + e^−f over their sum; all is scaled by e^−m, m the largest exponent,
    so that no exponential is above 1 and one of them is 1.
    """
    cdef vec most = splat(<real>(4e307 if sizeof(real) == 8 else 8e37)), m, one, a, b
    f, i = splat(0) - vmax(splat(0) - most, vmin(most, f)), splat(0) - vmax(splat(0) - most, vmin(most, i))  # no ∞ − ∞
    m = vmax(splat(0), vmax(f, i))
    one = exp_v(splat(0) - m)
    a, b = one + exp_v(i - m), one + exp_v(f - m)
    keep[0], take[0] = a / (a + b), b / (a + b)


cdef inline void minimal_lanes(int variant, const real* a, const real* h_old, real* h_new, real* kept) noexcept nogil:
    """IN ``a``: pre-activations of one group of units.  OUT: h' and, unless NULL, what backward needs."""
    cdef int l, last = 1 if variant <= MINGRU_POSITIVE else 2
    cdef vec first, keep, take, n
    for l from 0 <= l < LANES by VL:
        first, n = get(a + l), get(a + last * LANES + l)
        if variant <= MINGRU_POSITIVE:
            take = sigmoid_v(first)
            keep = splat(1) - take
        else:
            shares_of(first, get(a + LANES + l), &keep, &take)
        if variant == MINGRU_POSITIVE or variant == MINLSTM_POSITIVE:
            n = positive(n)
        if kept != NULL:
            put(kept + l, take if variant <= MINGRU_POSITIVE else sigmoid_v(first))
            if variant > MINGRU_POSITIVE:
                put(kept + LANES + l, keep)
            put(kept + last * LANES + l, n)
        put(h_new + l, keep * get(h_old + l) + take * n)


cdef inline void minimal_back_lanes(int variant, real* gates, const real* h_old, const real* dy,
                                    real* dh) noexcept nogil:
    """INOUT ``gates``: what forward kept, then the gradients of the pre-activations; ``dh``: of h', then of h."""
    cdef int l, last = 1 if variant <= MINGRU_POSITIVE else 2
    cdef vec d, n, f, keep, take, part, one = splat(1)
    for l from 0 <= l < LANES by VL:
        d, n = get(dy + l) + get(dh + l), get(gates + last * LANES + l)
        if variant <= MINGRU_POSITIVE:
            take = get(gates + l)
            keep = one - take
            put(gates + l, d * (n - get(h_old + l)) * take * keep)
        else:
            f, keep = get(gates + l), get(gates + LANES + l)
            take = one - keep
            part = d * (get(h_old + l) - n) * take
            put(gates + l, part * keep * (one - f))
            put(gates + LANES + l, part * (f * take - keep))  # k ⊙ i = f ⊙ (1 − k)
        d, take = d * keep, d * take
        if variant == MINGRU_POSITIVE or variant == MINLSTM_POSITIVE:
            take = take * one_from_half(n, n * (one - n))  # g' by g
        put(gates + last * LANES + l, take)
        put(dh + l, d)


cdef inline void minimal_unit(int variant, const real* a, const real* h_old, real* h_new, real* kept,
                              Py_ssize_t n) noexcept nogil:
    """n <= LANES units."""
    cdef real h[LANES]
    if n == LANES:
        minimal_lanes(variant, a, h_old, h_new, kept)
        return
    load(h, h_old, n)
    minimal_lanes(variant, a, h, h, kept)
    copy(h_new, h, n)


cdef inline void minimal_back_unit(int variant, real* gates, const real* h_old, const real* dy, real* dh,
                                   Py_ssize_t n) noexcept nogil:
    """n <= LANES units; the gradients beyond them are zero."""
    cdef real h[LANES]
    cdef real d[LANES]
    cdef real e[LANES]
    if n == LANES:
        minimal_back_lanes(variant, gates, h_old, dy, dh)
        return
    load(h, h_old, n)
    load(d, dy, n)
    load(e, dh, n)
    minimal_back_lanes(variant, gates, h, d, e)
    blank(gates, 2 if variant <= MINGRU_POSITIVE else 3, n)
    copy(dh, e, n)


cdef inline void minimal_rows(int variant, const Pass* p, const Share* w, const real* a, const Place* places, int rows,
                              Py_ssize_t j) noexcept nogil:
    """Panel j of some rows, from their pre-activations on."""
    cdef Py_ssize_t at, old, new, n = least(LANES, p.H - j * LANES)
    cdef real* kept = NULL
    cdef int r
    for r in range(rows):
        at = w.rows[places[r].i] * p.H + j * LANES
        old = (places[r].t + (1 if p.reverse else 0)) * p.B * p.H + at
        new = (places[r].t + (0 if p.reverse else 1)) * p.B * p.H + at
        if p.training:
            kept = gates_at(p, j, places[r].t, w.rows[places[r].i])
        minimal_unit(variant, a + r * PANEL, p.h + old, p.h + new, kept, n)


cdef void minimal_panel(const Pass* p, const Share* w, Py_ssize_t j, Py_ssize_t t, Py_ssize_t by, Py_ssize_t base,
                        Py_ssize_t count) noexcept nogil:
    """Panel j of ``count`` rows from step t on; ``base``: the first step among those that are rounded."""
    cdef real a[MR * PANEL]
    cdef const real* seed[MR]
    cdef const real* x[MR]
    cdef const half* low[MR]
    cdef Place places[MR]
    cdef Place at = place_at(p, w, t)
    cdef int r, rows, cols = <int>p.width
    cdef bint table = p.seed_kind == TOKENS
    while count > 0:
        rows = height(count)
        for r in range(rows):
            settle(p, w, &at, by)
            places[r] = at
            at.i += 1
            seeds_of(p, seed + r, w.rows + places[r].i, 1, j, places[r].t)
            if p.training:
                call_gates(gates_at(p, j, places[r].t, w.rows[places[r].i]), cols)
            if table:
                memcpy(a + r * PANEL, seed[r], cols * sizeof(real))
            elif p.rounded:
                memcpy(a + r * PANEL, seed[r], cols * sizeof(real))
                low[r] = p.low_x + ((places[r].t - base) * p.B + w.rows[places[r].i]) * 2 * p.pairs_x
            else:
                x[r] = p.x + (places[r].t * p.B + w.rows[places[r].i]) * p.I
        if p.rounded and not table:
            rnnkit_dot(rows, cols // LANES, 1, p.pairs_x, low, 2, 0, p.low_forth + j * p.pairs_x * cols * 2, 2 * cols,
                       <float*>a)
        elif not table:
            cell_product(rows, cols, False, seed, p.I, x, forth_at(p, j), 0, x, forth_at(p, j), a)
        if p.variant == MINGRU_LINEAR:
            minimal_rows(MINGRU_LINEAR, p, w, a, places, rows, j)
        elif p.variant == MINGRU_POSITIVE:
            minimal_rows(MINGRU_POSITIVE, p, w, a, places, rows, j)
        elif p.variant == MINLSTM_LINEAR:
            minimal_rows(MINLSTM_LINEAR, p, w, a, places, rows, j)
        else:
            minimal_rows(MINLSTM_POSITIVE, p, w, a, places, rows, j)
        count -= rows


cdef void minimal_dead(const Pass* p, const Share* w, Py_ssize_t t, Py_ssize_t by, Py_ssize_t steps) noexcept nogil:
    """Rows without a step keep their state: before the others in reverse, since they wait there, else after them."""
    cdef Py_ssize_t k
    cdef Step s
    for k in range(steps):
        s = step_at(p, t + k * by)
        s.alive = alive_rows(p, w, s.t)
        keep_dead(p, &s, w)


cdef void minimal_forward(const Pass* p, const Share* w) noexcept nogil:
    """A worker's rows or units, there."""
    cdef Py_ssize_t steps = p.stop - p.start, ahead = max(1, WALKED // p.B), by = -1 if p.reverse else 1
    cdef Py_ssize_t k = 0, j, t, some, base, count, first = w.unit // LANES, last = (w.end + LANES - 1) // LANES
    while k < steps:
        some = least(ahead, steps - k)
        t = p.stop - 1 - k if p.reverse else p.start + k
        base = t - some + 1 if p.reverse else t
        count = rows_alive(p, w, t, by, some)
        if p.lengths != NULL and p.reverse:
            minimal_dead(p, w, t, by, some)
        if p.rounded and p.seed_kind != TOKENS:
            minimal_round(p, w, base, some)
        for j in range(first, last):
            minimal_panel(p, w, j, t, by, base, count)
        if p.lengths != NULL and not p.reverse:
            minimal_dead(p, w, t, by, some)
        k += some


cdef void minimal_round(const Pass* p, const Share* w, Py_ssize_t base, Py_ssize_t steps) noexcept nogil:
    """The share's rows of x of some steps, rounded."""
    cdef Py_ssize_t k, i
    for k in range(steps):
        for i in range(alive_rows(p, w, base + k)):
            rnnkit_round(p.low_x + (k * p.B + w.rows[i]) * 2 * p.pairs_x,
                         <const float*>(p.x + ((base + k) * p.B + w.rows[i]) * p.I), p.I)


cdef inline void minimal_back_rows(int variant, const Pass* p, const Share* w, Py_ssize_t j, Py_ssize_t t,
                                   Py_ssize_t by, Py_ssize_t count) noexcept nogil:
    """Panel j of ``count`` rows from step t back."""
    cdef Place at = place_at(p, w, t)
    cdef Py_ssize_t k, n = least(LANES, p.H - j * LANES), row, old
    cdef real* gates
    for k in range(count):
        settle(p, w, &at, by)
        row = w.rows[at.i] * p.H + j * LANES
        old = at.t + 1 if p.reverse else at.t
        gates = gates_at(p, j, at.t, w.rows[at.i])
        minimal_back_unit(variant, gates, p.h + old * p.B * p.H + row, p.dy + at.t * p.B * p.H + row, p.dh + row, n)
        round_gates(p, gates, p.width)
        at.i += 1


cdef void minimal_backward(const Pass* p, const Share* w) noexcept nogil:
    """A worker's rows or units, back, but for dx."""
    cdef Py_ssize_t steps = p.stop - p.start, ahead = max(1, RETURNED // max(w.count, 1)), by = 1 if p.reverse else -1
    cdef Py_ssize_t k = 0, j, t, some, count
    while k < steps:
        some = least(ahead, steps - k)
        t = p.start + k if p.reverse else p.stop - 1 - k
        count = rows_alive(p, w, t, by, some)
        for j in range(w.unit // LANES, (w.end + LANES - 1) // LANES):
            if p.variant == MINGRU_LINEAR:
                minimal_back_rows(MINGRU_LINEAR, p, w, j, t, by, count)
            elif p.variant == MINGRU_POSITIVE:
                minimal_back_rows(MINGRU_POSITIVE, p, w, j, t, by, count)
            elif p.variant == MINLSTM_LINEAR:
                minimal_back_rows(MINLSTM_LINEAR, p, w, j, t, by, count)
            else:
                minimal_back_rows(MINLSTM_POSITIVE, p, w, j, t, by, count)
        k += some
