# Drawing a token from the logits: penalty, runs that may not come again, temperature, top-k, top-p, min-p.

cdef enum:
    RECENT = 64  # tokens back that the penalty looks


cdef inline float exp_(float x) noexcept nogil:
    """exp for x <= 0: 2^n times a polynomial of degree 6 on ±ln(2)/2 (error 2e-7); 0 below -87, NaN for NaN."""
    cdef Bits power
    cdef float n, f, p
    n = rintf((x if x > -87 else -87) * <float>1.44269504088896341)
    f = x - n * <float>0.693359375  # ln 2 in two parts, the first exact
    f = f + n * <float>2.12194440e-4
    p = <float>1.9875691500e-4  # Cephes, expf
    p = p * f + <float>1.3981999507e-3
    p = p * f + <float>8.3334519073e-3
    p = p * f + <float>4.1665795894e-2
    p = p * f + <float>1.6666665459e-1
    p = p * f + <float>5.0000001201e-1
    p = p * f * f + f + 1
    power.i = <uint32_t>((<int32_t>n + 127) << 23)
    return 0 if x < -87 else p * power.f


cdef inline uint32_t mix(uint32_t hash, int32_t token) noexcept nogil:
    """One round of FNV-1a over whole tokens, its upper bits brought down."""
    hash = (hash ^ <uint32_t>token) * <uint32_t>16777619
    return hash ^ (hash >> 15)


cdef void remember(Run* r, Py_ssize_t at, int32_t token) noexcept nogil:
    """Write a token down at that position, in the chain of those that end the same no_repeat - 1 tokens."""
    cdef Py_ssize_t n = r.rules.no_repeat, i
    cdef uint32_t hash = 0
    r.tokens[at] = token
    if n < 2 or at < n - 2:
        return
    for i in range(at - n + 2, at + 1):
        hash = mix(hash, r.tokens[i])
    hash = hash & r.mask
    r.links[at] = r.heads[hash]
    r.heads[hash] = <int32_t>at


cdef void restore(const Run* r, float* z) noexcept nogil:
    """The logits as they are."""
    memcpy(z, r.logits, r.net.Vg * sizeof(float))


cdef void forbid(const Run* r, Py_ssize_t count, float* z) noexcept nogil:
    """z = -inf where a token would write a run of no_repeat tokens again, unless that would leave none."""
    cdef Py_ssize_t n = r.rules.no_repeat, V = r.net.V, i, k, left = 0
    cdef float lowest = <float>-INFINITY
    if n == 1:
        for i in range(count):
            z[r.tokens[i]] = lowest
    else:
        # the chain of the last position holds every earlier one with the same last n - 1 tokens
        i = r.links[count - 1] if count >= n - 1 and count > 0 else -1
        while i >= 0:
            k = 0
            while k < n - 1 and r.tokens[i - k] == r.tokens[count - 1 - k]:
                k += 1
            if k == n - 1:
                z[r.tokens[i + 1]] = lowest
            i = r.links[i]
    for i in range(V):
        left += z[i] > lowest
    if left == 0:
        restore(r, z)


cdef void penalise(const Run* r, Own* own, Py_ssize_t count, float* z) noexcept nogil:
    """Each of the last RECENT tokens once: logits above 0 divided by the penalty, others multiplied."""
    cdef Py_ssize_t i
    cdef int32_t token, stamp = <int32_t>count + 1
    for i in range(count - least(count, RECENT), count):
        token = r.tokens[i]
        if own.mark[token] != stamp:
            own.mark[token] = stamp
            z[token] = z[token] / r.rules.penalty if z[token] > 0 else z[token] * r.rules.penalty


cdef inline bint ahead(const float* z, int32_t a, int32_t b) noexcept nogil:
    """Whether token a comes before token b: likelier, or as likely with a lower id."""
    return z[a] > z[b] or (z[a] == z[b] and a < b)


cdef void sift(const float* z, int32_t* heap, Py_ssize_t n, Py_ssize_t at) noexcept nogil:
    """Let the token at a place of a heap of n sink to where it belongs; the likeliest is on top."""
    cdef Py_ssize_t child = 2 * at + 1
    cdef int32_t token = heap[at]
    while child < n:
        if child + 1 < n and ahead(z, heap[child + 1], heap[child]):
            child += 1
        if not ahead(z, heap[child], token):
            break
        heap[at] = heap[child]
        at = child
        child = 2 * at + 1
    heap[at] = token


cdef int32_t pop(const float* z, int32_t* heap, Py_ssize_t* n) noexcept nogil:
    """The likeliest token of a heap of n, which goes to the place behind those that stay."""
    cdef int32_t token = heap[0]
    n[0] -= 1
    heap[0] = heap[n[0]]
    heap[n[0]] = token
    sift(z, heap, n[0], 0)
    return token


cdef void choose(const Run* r, int32_t* heap, float* z, float top) noexcept nogil:
    """z = -inf for all but the top_k likeliest, and of these the fewest that hold top_p of their probability."""
    cdef Py_ssize_t V = r.net.V, k = r.rules.top_k if 0 < r.rules.top_k < r.net.V else r.net.V, n = V, i
    cdef float heat = 1 / r.rules.temperature
    cdef double total = 0, held = 0
    for i in range(V):
        heap[i] = <int32_t>i
    for i in range(V // 2 - 1, -1, -1):
        sift(z, heap, V, i)
    if r.rules.top_p < 1:
        if k < V:
            for i in range(k):
                total += exp_((z[pop(z, heap, &n)] - top) * heat)
        else:
            for i in range(V):
                total += exp_((z[i] - top) * heat)
    i = 0  # likeliest tokens kept so far: the last i of the array, backwards
    while i < k and (r.rules.top_p >= 1 or i == 0 or held < r.rules.top_p * total):
        if V - n == i:
            pop(z, heap, &n)
        held += exp_((z[heap[V - 1 - i]] - top) * heat)
        i += 1
    for k in range(V - i):
        z[heap[k]] = <float>-INFINITY


cdef inline float highest(const float* z, Py_ssize_t n) noexcept nogil:
    """The largest of n numbers, or NaN where one is no finite number; n in whole groups."""
    cdef float most[LANES]
    cdef float odd[LANES]
    cdef float top = z[0], strange = 0
    cdef Py_ssize_t i
    cdef int l
    for l in range(LANES):
        most[l] = z[l]
        odd[l] = 0
    for i from 0 <= i < n by LANES:
        for l in range(LANES):
            most[l] = z[i + l] if z[i + l] > most[l] else most[l]
            odd[l] += 0 * z[i + l]
    for l in range(LANES):
        top = most[l] if most[l] > top else top
        strange += odd[l]
    return top + strange


cdef inline float largest_of(const float* z, Py_ssize_t n) noexcept nogil:
    cdef float top = z[0]
    cdef Py_ssize_t i
    for i in range(n):
        top = z[i] if z[i] > top else top
    return top


cdef int32_t draw(const Run* r, Own* own, Py_ssize_t count, double uniform) noexcept nogil:
    """The next token after ``count`` of them, or -1 where the logits are no numbers; see generation.py."""
    cdef float* z = own.z
    cdef Py_ssize_t V = r.net.V, i
    cdef float top, heat
    cdef double total = 0, sum = 0
    cdef int l
    cdef int32_t token = 0
    restore(r, z)
    top = highest(z, r.net.Vg)
    if top != top:
        return -1
    if r.rules.no_repeat > 0:
        forbid(r, count, z)
    if r.rules.penalty != 1:
        penalise(r, own, count, z)
    if r.rules.no_repeat > 0 or r.rules.penalty != 1:
        top = largest_of(z, V)
    if r.rules.temperature == 0:
        while z[token] != top:
            token += 1
        return token
    if r.rules.top_k > 0 or r.rules.top_p < 1:
        choose(r, own.heap, z, top)
    heat = 1 / r.rules.temperature
    for i from 0 <= i < r.net.Vg by LANES:
        for l in range(LANES):
            z[i + l] = exp_((z[i + l] - top) * heat)
            z[i + l] = z[i + l] if z[i + l] >= r.rules.min_p else 0  # the likeliest has 1
    for i in range(V):
        total += z[i]
    for i in range(V):
        sum += z[i]
        if z[i] > 0:
            token = <int32_t>i  # the last that can be drawn, should rounding leave none above the number
        if sum > uniform * total:
            break
    return token
