# One token through the recurrent layers and the dense layer: the share of one thread, and where it waits for the others.

cdef enum:
    RNN_TANH = 0
    RNN_RELU = 1
    LSTM = 2
    GRU_AFTER = 3
    GRU_BEFORE = 4
    MINGRU_LINEAR = 5
    MINGRU_POSITIVE = 6
    MINLSTM_LINEAR = 7
    MINLSTM_POSITIVE = 8

VARIANTS = (
    "rnn_tanh", "rnn_relu", "lstm", "gru_after", "gru_before",
    "mingru_linear", "mingru_positive", "minlstm_linear", "minlstm_positive",
)

cdef struct Layer:  # IN: the weights of one layer
    Matrix W  # K is 0 where ``entry`` is a table
    Matrix R  # all gates, or r and z of the reset-before GRU; nothing where there is none
    Matrix Rn  # its n
    const float* entry  # [V][groups][gates*LANES]: x W + b of every token; or b alone
    Py_ssize_t entry_row  # numbers from one token to the next in ``entry``, 0 for b alone
    const float* bn  # [H]
    const float* gain  # [H] with ``shift``: the layer norm of what the layer hands on; NULL: none
    const float* shift

cdef struct Network:  # IN
    int variant
    int gates
    Py_ssize_t L
    Py_ssize_t H  # in whole groups
    Py_ssize_t units  # hidden units that there are
    bint residual  # a layer hands on its h and what it read
    Py_ssize_t E  # width of ``embedding`` in whole groups, 0 where there is a table
    Py_ssize_t V
    Py_ssize_t Vg  # V in whole groups
    Layer* layers
    const float* embedding  # [V,E]
    Matrix out
    const float* out_bias  # [Vg], -inf beyond V

cdef struct Rules:
    float temperature
    Py_ssize_t top_k  # 0: all
    double top_p
    float penalty
    Py_ssize_t no_repeat  # 0: free
    float min_p  # 0: all

cdef struct Run:  # one call
    const Network* net
    Rules rules
    float* h  # INOUT [L][2][H]: before the step in one, after it in the other, by turns
    float* c  # INOUT [L][H]
    float* logits  # INOUT [Vg]
    int32_t* tokens  # INOUT [capacity]
    int32_t* links  # INOUT [capacity]: the position before with the same hash of its last no_repeat - 1 tokens, or -1
    int32_t* heads  # INOUT [mask + 1]: the last position with that hash, or -1
    uint32_t mask
    Py_ssize_t count  # tokens there are
    Py_ssize_t n  # tokens to read or to draw
    const int32_t* ids  # IN [n]: to read, or NULL
    const double* uniforms  # IN [n]: to draw by
    int32_t* drawn  # OUT [n]
    float* kept  # OUT [n,V]: logits after each, or NULL
    Py_ssize_t done  # OUT
    float* reset  # scratch that all share: r ⊙ h, then z, then x W_n + b_n of the reset-before GRU [3][H]
    rnnkit_barrier barrier

cdef struct Own:  # what each thread has of its own
    Vector* h  # [L] the newest h of each layer
    Vector x  # a row of the embedding
    Vector passed  # what the newest layer hands on, normalised; unused where that is its h
    float* sum  # [H] the same before its norm
    float* norm  # [H] and after it, zeros beyond the units
    Vector reset
    float* z  # [Vg]
    int32_t* heap  # [Vg]
    int32_t* mark  # [Vg]


cdef inline void lstm_group(const float* a, float* c, float* h) noexcept nogil:
    cdef float i[LANES]
    cdef float f[LANES]
    cdef float g[LANES]
    cdef float o[LANES]
    cdef float m[LANES]
    cdef int l
    memcpy(i, a, sizeof(i))
    memcpy(f, a + LANES, sizeof(f))
    memcpy(g, a + 2 * LANES, sizeof(g))
    memcpy(o, a + 3 * LANES, sizeof(o))
    memcpy(m, c, sizeof(m))
    for l in range(LANES):
        m[l] = sigmoid(f[l]) * m[l] + sigmoid(i[l]) * tanh_(g[l])
        o[l] = sigmoid(o[l]) * tanh_(m[l])
    memcpy(c, m, sizeof(m))
    memcpy(h, o, sizeof(o))


cdef inline void gru_group(const float* ax, const float* ah, const float* old, float* h) noexcept nogil:
    """h' = (1 − z) ⊙ n + z ⊙ h with n = tanh(ax_n + r ⊙ ah_n)."""
    cdef float r[LANES]
    cdef float z[LANES]
    cdef float q[LANES]
    cdef float m[LANES]
    cdef int l
    memcpy(m, old, sizeof(m))
    for l in range(LANES):
        r[l] = sigmoid(ax[l] + ah[l])
        z[l] = sigmoid(ax[LANES + l] + ah[LANES + l])
        q[l] = tanh_(ax[2 * LANES + l] + r[l] * ah[2 * LANES + l])
        m[l] = (1 - z[l]) * q[l] + z[l] * m[l]
    memcpy(h, m, sizeof(m))


cdef inline void rnn_group(const float* a, int relu, float* h) noexcept nogil:
    cdef float m[LANES]
    cdef int l
    memcpy(m, a, sizeof(m))
    if relu:
        for l in range(LANES):
            m[l] = 0 if m[l] < 0 else m[l]  # NaN stays NaN
    else:
        for l in range(LANES):
            m[l] = tanh_(m[l])
    memcpy(h, m, sizeof(m))


cdef inline void gates_group(const float* ax, const float* ah, const float* old, float* rh, float* z) noexcept nogil:
    """r ⊙ h and z of the reset-before GRU."""
    cdef float r[LANES]
    cdef float s[LANES]
    cdef int l
    for l in range(LANES):
        r[l] = sigmoid(ax[l] + ah[l]) * old[l]
        s[l] = sigmoid(ax[LANES + l] + ah[LANES + l])
    memcpy(rh, r, sizeof(r))
    memcpy(z, s, sizeof(s))


cdef inline void mix_group(const float* a, const float* z, const float* old, float* h) noexcept nogil:
    """h' = (1 − z) ⊙ tanh(a) + z ⊙ h."""
    cdef float m[LANES]
    cdef int l
    for l in range(LANES):
        m[l] = (1 - z[l]) * tanh_(a[l]) + z[l] * old[l]
    memcpy(h, m, sizeof(m))


cdef inline float finite(float a) noexcept nogil:
    """a, but for infinities; NaN stays."""
    a = <float>8e37 if a > <float>8e37 else a
    return <float>-8e37 if a < <float>-8e37 else a


cdef inline void minimal_group(int variant, const float* a, const float* old, float* h) noexcept nogil:
    """h' = (1 − z) ⊙ h + z ⊙ n, or k ⊙ h + (1 − k) ⊙ n with k = f/(f + i); n = g(a_n).  See minimal.pxi."""
    cdef float take[LANES]
    cdef float keep[LANES]
    cdef float n[LANES]
    cdef float m[LANES]
    cdef float one, f, i
    cdef int l
    memcpy(m, old, sizeof(m))
    memcpy(take, a, sizeof(take))
    if variant <= MINGRU_POSITIVE:
        memcpy(n, a + LANES, sizeof(n))
        for l in range(LANES):
            take[l] = sigmoid(take[l])
            keep[l] = 1 - take[l]
    else:
        memcpy(keep, a + LANES, sizeof(keep))
        memcpy(n, a + 2 * LANES, sizeof(n))
        for l in range(LANES):
            f, i = finite(-take[l]), finite(-keep[l])
            one = i if f < i else f
            one = 0 if one < 0 else one
            f, i, one = exp_(f - one), exp_(i - one), exp_(-one)
            keep[l] = (one + i) / (one + i + (one + f))
            take[l] = (one + f) / (one + i + (one + f))
    if variant == MINGRU_POSITIVE or variant == MINLSTM_POSITIVE:
        for l in range(LANES):
            n[l] = (0 if n[l] < 0 else n[l]) + sigmoid(0 if n[l] > 0 else n[l])  # NaN stays NaN
    for l in range(LANES):
        m[l] = keep[l] * m[l] + take[l] * n[l]
    memcpy(h, m, sizeof(m))


cdef void layer_group(const Run* r, const Layer* y, const Vector* x, const Vector* h, const float* entry, Py_ssize_t g,
                      float* c, float* h_new) noexcept nogil:
    """The units of group g: x W + b and h R, then the gates.  Of the reset-before GRU the first half."""
    cdef float ax[4 * LANES]
    cdef float ah[4 * LANES]
    cdef int G = r.net.gates, variant = r.net.variant
    cdef Py_ssize_t at = g * LANES
    memcpy(ax, entry + g * G * LANES, G * LANES * sizeof(float))
    if y.W.K > 0:
        dot(&y.W, g, x, ax)
    if variant == LSTM:
        dot(&y.R, g, h, ax)
        lstm_group(ax, c + at, h_new + at)
    elif variant == GRU_AFTER:
        memset(ah, 0, 2 * LANES * sizeof(float))
        memcpy(ah + 2 * LANES, y.bn + at, LANES * sizeof(float))
        dot(&y.R, g, h, ah)
        gru_group(ax, ah, h.v + at, h_new + at)
    elif variant == GRU_BEFORE:
        memset(ah, 0, 2 * LANES * sizeof(float))
        dot(&y.R, g, h, ah)
        gates_group(ax, ah, h.v + at, r.reset + at, r.reset + r.net.H + at)
        memcpy(r.reset + 2 * r.net.H + at, ax + 2 * LANES, LANES * sizeof(float))
    elif variant >= MINGRU_LINEAR:
        minimal_group(variant, ax, h.v + at, h_new + at)
    else:
        dot(&y.R, g, h, ax)
        rnn_group(ax, variant == RNN_RELU, h_new + at)


cdef inline const Vector* hand_on(const Network* net, const Layer* y, Own* own, Py_ssize_t n) noexcept nogil:
    """What layer n, whose h is there, gives to the next: u = h + u of the layer below, or h alone; then its norm."""
    cdef const float* h = own.h[n].v
    cdef const float* u = h
    cdef Py_ssize_t k
    if not net.residual and y.gain == NULL:
        return own.h + n
    if net.residual:
        for k in range(net.H):
            own.sum[k] = h[k] + (own.sum[k] if n > 0 else 0)
        u = own.sum
    own.passed.v = u
    if y.gain != NULL:
        normalise(u, net.units, y.gain, y.shift, own.norm, NULL)
        own.passed.v = own.norm
    if net.out.form == INT8:
        round_off(&own.passed, net.H)
    return &own.passed


cdef inline Py_ssize_t turn(Py_ssize_t i, Py_ssize_t first, Py_ssize_t last, bint back) noexcept nogil:
    """The i-th group of a share, from its end when ``back``."""
    return last - 1 - i if back else first + i


cdef void read_token(Run* r, Own* own, Py_ssize_t i, int32_t token, int thread, int team) noexcept nogil:
    """A step of all layers and the logits after it; all threads have them when it ends."""
    cdef const Network* net = r.net
    cdef const Layer* y
    cdef const Vector* x = &own.x
    cdef Vector* h
    cdef Py_ssize_t H = net.H, groups = H // LANES, n, k, g, at = r.count + i
    cdef Py_ssize_t first = groups * thread // team, last = groups * (thread + 1) // team
    cdef Py_ssize_t first_out = net.Vg // LANES * thread // team, last_out = net.Vg // LANES * (thread + 1) // team
    cdef bint back = at & 1, whole = net.out.form == INT8
    cdef float a[LANES]
    cdef float* new
    if net.E > 0:
        own.x.v = net.embedding + token * net.E
        if whole:
            round_off(&own.x, net.E)
    for n in range(net.L):
        y = net.layers + n
        h = own.h + n
        new = r.h + (2 * n + 1 - back) * H
        for k in range(last - first):
            layer_group(r, y, x, h, y.entry + token * y.entry_row, turn(k, first, last, back), r.c + n * H, new)
        if net.variant == GRU_BEFORE:
            rnnkit_wait(&r.barrier, team)
            if whole:
                round_off(&own.reset, H)
            for k in range(last - first):
                g = turn(k, first, last, back)
                memcpy(a, r.reset + 2 * H + g * LANES, sizeof(a))
                dot(&y.Rn, g, &own.reset, a)
                mix_group(a, r.reset + H + g * LANES, h.v + g * LANES, new + g * LANES)
        rnnkit_wait(&r.barrier, team)
        h.v = new
        if whole:
            round_off(h, H)
        x = hand_on(net, y, own, n)
    if thread == 0:
        remember(r, at, token)  # all have drawn by now, and nobody draws again before the next barrier
    for k in range(last_out - first_out):
        g = turn(k, first_out, last_out, back)
        memcpy(a, net.out_bias + g * LANES, sizeof(a))
        dot(&net.out, g, x, a)
        memcpy(r.logits + g * LANES, a, sizeof(a))
        if r.kept != NULL:
            memcpy(r.kept + i * net.V + g * LANES, a, least(LANES, net.V - g * LANES) * sizeof(float))
    rnnkit_wait(&r.barrier, team)
