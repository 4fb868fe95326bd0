# The loop over tokens, the threads, and the two classes that Python holds.


cdef enum:
    # bytes of weights that are worth a thread: at 0.3 MB two take as long as one (measured), at 0.5 MB 0.6 of the time
    SHARE = 262144


cdef void share(Run* r, char* scratch, Py_ssize_t each, int thread, int team) noexcept nogil:
    """What one thread does of a call."""
    cdef unsigned mode = rnnkit_flush_denormals()
    cdef const Network* net = r.net
    cdef Own own
    cdef Py_ssize_t i, n, now = r.count & 1
    cdef int32_t token
    lay_out(&own, net, scratch + each * thread)
    for n in range(net.L):
        own.h[n].v = r.h + (2 * n + now) * net.H
        if net.out.form == INT8:
            round_off(own.h + n, net.H)
    own.reset.v = r.reset
    for i in range(r.n):
        if r.ids != NULL:
            token = r.ids[i]
        else:
            token = draw(r, &own, r.count + i, r.uniforms[i])
            if token < 0:
                break
            if thread == 0:
                r.drawn[i] = token
        read_token(r, &own, i, token, thread, team)
        if thread == 0:
            r.done = i + 1
    rnnkit_restore(mode)


cdef inline Py_ssize_t whole_lines(Py_ssize_t bytes) noexcept nogil:
    return (bytes + 63) // 64 * 64


cdef Py_ssize_t scratch_bytes(const Network* net) noexcept nogil:
    """What ``lay_out`` hands out."""
    return (whole_lines(net.L * sizeof(Vector)) + (net.L + 2) * whole_lines(net.H) + whole_lines(net.E)
            + 2 * whole_lines(net.H * sizeof(float)) + 3 * net.Vg * sizeof(float) + 64)


cdef void lay_out(Own* own, const Network* net, char* at) noexcept nogil:
    """A thread's arrays in its part of the scratch memory, which begins as zeros."""
    cdef Py_ssize_t n
    memset(own, 0, sizeof(Own))
    own.h = <Vector*>at
    at += whole_lines(net.L * sizeof(Vector))
    for n in range(net.L):
        own.h[n].whole = <uint8_t*>at
        at += whole_lines(net.H)
    own.reset.whole = <uint8_t*>at
    at += whole_lines(net.H)
    own.x.whole = <uint8_t*>at
    at += whole_lines(net.E)
    own.passed.whole = <uint8_t*>at
    at += whole_lines(net.H)
    own.sum = <float*>at
    at += whole_lines(net.H * sizeof(float))
    own.norm = <float*>at
    at += whole_lines(net.H * sizeof(float))
    own.z = <float*>at
    own.heap = <int32_t*>(at + net.Vg * sizeof(float))
    own.mark = <int32_t*>(at + 2 * net.Vg * sizeof(float))
    memset(own.mark, 0, net.Vg * sizeof(int32_t))


cdef void run(Run* r, char* scratch, Py_ssize_t each, int team) noexcept nogil:
    if team == 1:
        share(r, scratch, each, 0, 1)
    else:
        with parallel(num_threads=team):
            share(r, scratch, each, rnnkit_thread(), rnnkit_team())


cdef Matrix matrix_of(dict panels):
    """A matrix from what ``panels.pack`` made; its arrays must live as long."""
    cdef Matrix m
    m.form, m.gates, m.K = panels["form"], panels["gates"], panels["K"]
    data = panels["data"]
    m.panel = data.nbytes // len(data)
    m.data = <const char*><size_t>address(data)
    m.scale = <const float*><size_t>address(panels["scale"])
    m.start = <const int32_t*><size_t>address(panels["start"])
    return m


def address(array):
    """Where an array lies."""
    return array.ctypes.data


cdef class Weights:
    """A language model's weights in panels, from ``panels.packed``."""

    cdef Network net
    cdef object packed  # keeps the arrays alive
    cdef double bytes  # that a step reads

    def __cinit__(self, dict packed):
        cdef Py_ssize_t n
        cdef Layer* y
        self.packed = packed
        self.net.variant = VARIANTS.index(packed["variant"])
        self.net.gates, self.net.L, self.net.H = packed["gates"], len(packed["layers"]), packed["H"]
        self.net.units, self.net.residual = packed["units"], packed["residual"]
        self.net.V, self.net.Vg = packed["V"], packed["out"]["groups"] * LANES
        embedding = packed["embedding"]
        self.net.E = 0 if embedding is None else embedding.shape[1]
        self.net.embedding = <const float*>NULL if embedding is None else <const float*><size_t>address(embedding)
        self.net.out = matrix_of(packed["out"])
        self.net.out_bias = <const float*><size_t>address(packed["out_bias"])
        self.net.layers = <Layer*>calloc(self.net.L, sizeof(Layer))
        if self.net.layers == NULL:
            raise MemoryError
        self.bytes = packed["bytes"]
        for n in range(self.net.L):
            layer = packed["layers"][n]
            y = self.net.layers + n
            if layer["W"] is not None:
                y.W = matrix_of(layer["W"])
            if layer["R"] is not None:
                y.R = matrix_of(layer["R"])
            if layer["Rn"] is not None:
                y.Rn = matrix_of(layer["Rn"])
            y.entry = <const float*><size_t>address(layer["entry"])
            y.entry_row = layer["entry"].shape[1] if len(layer["entry"]) > 1 else 0
            y.bn = <const float*><size_t>address(layer["bn"])
            if layer["gain"] is not None:
                y.gain = <const float*><size_t>address(layer["gain"])
                y.shift = <const float*><size_t>address(layer["shift"])

    def __dealloc__(self):
        free(self.net.layers)

    cdef int team(self, int threads) noexcept:
        """How many threads are worth meeting several times a token."""
        cdef double most = min(<double>(self.net.H // LANES), self.bytes / SHARE)
        if forked or not OPENMP:
            return 1
        return <int>max(1, min(<double>threads, most))


cdef class Text:
    """States, logits and tokens of one text."""

    cdef Weights weights
    cdef float[::1] h, c, logits
    cdef int32_t[::1] tokens, links, heads
    cdef float[::1] reset
    cdef char[::1] scratch
    cdef Py_ssize_t count
    cdef Rules rules

    def __init__(self, Weights weights, Py_ssize_t capacity, rules):
        cdef const Network* net = &weights.net
        cdef Rules* r = &self.rules
        self.weights = weights
        self.h = np.zeros(2 * net.L * net.H, np.float32)
        self.c = np.zeros(net.L * net.H, np.float32)
        self.logits = np.zeros(net.Vg, np.float32)
        self.reset = np.zeros(3 * net.H, np.float32)
        self.tokens = np.zeros(capacity, np.int32)
        self.links = np.full(capacity, -1, np.int32)
        self.heads = np.full(1 << max(4, int(capacity).bit_length()), -1, np.int32)
        self.scratch = np.zeros(0, np.int8)
        self.count = 0
        r.temperature, r.top_k, r.top_p, r.penalty, r.no_repeat, r.min_p = rules

    cdef Run start(self, Py_ssize_t n):
        cdef Run r
        if self.count + n > self.tokens.shape[0]:
            raise ValueError("a text has room for the tokens that it was begun with")
        memset(&r, 0, sizeof(Run))
        r.net, r.n, r.count, r.rules = &self.weights.net, n, self.count, self.rules
        r.h, r.c, r.logits, r.reset = &self.h[0], &self.c[0], &self.logits[0], &self.reset[0]
        if n:
            r.tokens, r.links = &self.tokens[0], &self.links[0]
        r.heads, r.mask = &self.heads[0], <uint32_t>(self.heads.shape[0] - 1)
        return r

    cdef Py_ssize_t go(self, Run* r, int threads):
        cdef int team = self.weights.team(threads)
        cdef Py_ssize_t each = whole_lines(scratch_bytes(r.net))
        if self.scratch.shape[0] < team * each + 64:
            self.scratch = np.zeros(team * each + 64, np.int8)
        cdef char* scratch = <char*>(<size_t>whole_lines(<Py_ssize_t><size_t>&self.scratch[0]))
        if r.n:
            with nogil:
                run(r, scratch, each, team)
        self.count += r.done
        return r.done

    def feed(self, const int32_t[::1] ids, float[:, ::1] logits, int threads):
        cdef Run r = self.start(ids.shape[0])
        if r.n:
            r.ids = &ids[0]
            r.kept = &logits[0, 0] if logits is not None else NULL
        self.go(&r, threads)

    def generate(self, const double[::1] uniforms, int32_t[::1] out, int threads):
        cdef Run r = self.start(uniforms.shape[0])
        if r.n:
            r.uniforms, r.drawn = &uniforms[0], &out[0]
        return self.go(&r, threads)
