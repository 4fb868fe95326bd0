# A vector times one panel of a matrix, in the three forms of weights.

cdef enum:
    FLOAT32 = 0
    BFLOAT16 = 1
    INT8 = 2
    WAYS = 4  # independent sums that hide the latency of an addition
    NARROW = TILE_BYTES < 64  # too few registers for the gates of a group at once: one after the other

cdef int vnni = rnnkit_has_vnni()
cdef float TINY = 1e-30  # vectors no larger are zero in whole numbers: the inverse of their scale might overflow

cdef struct Matrix:  # IN: K rows (whole groups) in panels of `gates` columns for each of LANES units
    int form
    int gates
    Py_ssize_t K
    Py_ssize_t panel  # bytes
    const char* data  # [groups][K][gates*LANES] float; pairs of rows in one uint32; [K/4][gates*LANES][4] int8
    const float* scale  # [groups][gates*LANES], int8 alone
    const int32_t* start  # the same: -128 times the sum of each column

cdef struct Vector:  # what a matrix is multiplied with
    const float* v
    uint8_t* whole  # 128 + round(v / scale), int8 alone
    float scale

cdef union Bits:
    uint32_t i
    float f


cdef inline float upper(uint32_t pair) noexcept nogil:
    cdef Bits bits
    bits.i = pair & <uint32_t>0xFFFF0000
    return bits.f


cdef inline float lower(uint32_t pair) noexcept nogil:
    cdef Bits bits
    bits.i = pair << 16
    return bits.f


cdef inline void dot_float(int ways, int cols, Py_ssize_t K, Py_ssize_t row, const float* v, const float* P,
                           float* out) noexcept nogil:
    """out[cols] += v[K] P[K,cols], rows of P at distances of ``row``; inlined with constant ways and cols."""
    cdef float acc[WAYS][4 * LANES]
    cdef float a
    cdef Py_ssize_t k
    cdef int w, l
    for w in range(ways):
        for l in range(cols):
            acc[w][l] = 0
    for k from 0 <= k < K by ways:
        for w in range(ways):
            a = v[k + w]
            for l in range(cols):
                acc[w][l] += a * P[l]
            P += row
    for w in range(1, ways):
        for l in range(cols):
            acc[0][l] += acc[w][l]
    for l in range(cols):
        out[l] += acc[0][l]


cdef inline void dot_half(int ways, int cols, Py_ssize_t K, Py_ssize_t row, const float* v, const uint32_t* P,
                          float* out) noexcept nogil:
    """The same in bfloat16: the lower half of P[k] is row 2k, the upper half row 2k + 1."""
    cdef float acc[WAYS][4 * LANES]
    cdef float a, b
    cdef Py_ssize_t k
    cdef int w, l
    for w in range(ways):
        for l in range(cols):
            acc[w][l] = 0
    for k from 0 <= k < K by 2 * ways:
        for w in range(ways):
            a = v[k + 2 * w]
            b = v[k + 2 * w + 1]
            for l in range(cols):
                acc[w][l] += a * lower(P[l])
            for l in range(cols):
                acc[w][l] += b * upper(P[l])
            P += row
    for w in range(1, ways):
        for l in range(cols):
            acc[0][l] += acc[w][l]
    for l in range(cols):
        out[l] += acc[0][l]


cdef void dot_whole(const Matrix* m, Py_ssize_t group, const Vector* x, float* out) noexcept nogil:
    cdef int32_t sums[4 * LANES]
    cdef const int8_t* P = <const int8_t*>m.data + group * m.panel
    cdef const float* scale = m.scale + group * m.gates * LANES
    cdef const int32_t* start = m.start + group * m.gates * LANES
    cdef int l
    if vnni:
        rnnkit_sums_vnni(m.gates, m.K // 4, x.whole, P, start, sums)
    else:
        rnnkit_sums_plain(m.gates, m.K // 4, x.whole, P, start, sums)
    for l in range(m.gates * LANES):
        out[l] += sums[l] * (x.scale * scale[l])


cdef void dot(const Matrix* m, Py_ssize_t group, const Vector* x, float* out) noexcept nogil:
    """out[gates*LANES] += x · the panel of that group."""
    cdef const float* P = <const float*>(m.data + group * m.panel)
    cdef const uint32_t* Q = <const uint32_t*>P
    cdef Py_ssize_t row = m.gates * LANES
    cdef int g
    if m.form == INT8:
        dot_whole(m, group, x, out)
    elif m.form == BFLOAT16:
        if NARROW:
            for g in range(m.gates):
                dot_half(2, LANES, m.K, row, x.v, Q + g * LANES, out + g * LANES)
        elif m.gates == 4:
            dot_half(1, 4 * LANES, m.K, row, x.v, Q, out)
        elif m.gates == 3:
            dot_half(2, 3 * LANES, m.K, row, x.v, Q, out)
        elif m.gates == 2:
            dot_half(2, 2 * LANES, m.K, row, x.v, Q, out)
        else:
            dot_half(4, LANES, m.K, row, x.v, Q, out)
    elif NARROW:
        for g in range(m.gates):
            dot_float(2, LANES, m.K, row, x.v, P + g * LANES, out + g * LANES)
    elif m.gates == 4:
        dot_float(1, 4 * LANES, m.K, row, x.v, P, out)
    elif m.gates == 3:
        dot_float(2, 3 * LANES, m.K, row, x.v, P, out)
    elif m.gates == 2:
        dot_float(2, 2 * LANES, m.K, row, x.v, P, out)
    else:
        dot_float(4, LANES, m.K, row, x.v, P, out)


cdef void round_off(Vector* x, Py_ssize_t K) noexcept nogil:
    """Fill ``whole`` and ``scale`` from v: the largest magnitude is 127; what is no finite number makes the scale NaN."""
    cdef float most[LANES]
    cdef float odd[LANES]
    cdef float largest = 0, strange = 0, inverse, a
    cdef Py_ssize_t k
    cdef int l
    memset(most, 0, sizeof(most))
    memset(odd, 0, sizeof(odd))
    for k from 0 <= k < K by LANES:
        for l in range(LANES):
            a = fabsf(x.v[k + l])
            most[l] = a if a > most[l] else most[l]
            odd[l] += 0 * a
    for l in range(LANES):
        largest = most[l] if most[l] > largest else largest
        strange += odd[l]
    inverse = 127 / largest if largest > TINY and strange == 0 else 0
    for k in range(K):
        x.whole[k] = <uint8_t>(128 + <int32_t>rintf(x.v[k] * inverse))
    x.scale = largest / 127 + strange
