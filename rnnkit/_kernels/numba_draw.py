"""Drawing a token from logits in Numba (rules: ``generation.py``): in float64, within room that is there already."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnkit._kernels.generation import RECENT
from rnnkit._kernels.numba_jit import jit, part


class Desk(NamedTuple):
    """Room to draw with; each array has a place for every token."""

    z: np.ndarray  # float64: logits under the rules
    p: np.ndarray  # float64: probabilities, not yet divided by their sum
    heap: np.ndarray  # intp
    stamps: np.ndarray  # intp: when a token was last met


def desk_for(vocabulary: int) -> Desk:
    """Room to draw from a vocabulary of that size."""
    return Desk(*(np.zeros(vocabulary) for _ in range(2)), *(np.zeros(vocabulary, np.intp) for _ in range(2)))


@part
def _penalise(z, stamps, stamp, penalty, tokens, count):
    """Each of the last tokens once: logits above 0 are divided by the penalty, others multiplied."""
    for i in range(max(0, count - RECENT), count):
        token = tokens[i]
        if stamps[token] != stamp:
            stamps[token] = stamp
            z[token] = z[token] / penalty if z[token] > 0 else z[token] * penalty


@part
def _forbid(z, stamps, stamp, n, tokens, count):
    """z = -inf where a token would write a run of n again, unless that would leave none."""
    left = len(z)
    for i in range(count - n + 1):
        k = 0
        while k < n - 1 and tokens[i + k] == tokens[count - n + 1 + k]:
            k += 1
        token = tokens[i + n - 1]
        if k == n - 1 and stamps[token] != stamp:
            stamps[token] = stamp
            left -= 1
    for i in range(len(z)):
        if left > 0 and stamps[i] == stamp:
            z[i] = -np.inf


@part
def _ahead(z, a, b):
    """Whether token a comes before token b: likelier, or as likely with a lower id."""
    return z[a] > z[b] or (z[a] == z[b] and a < b)


@jit
def _sift(z, heap, n, at):
    """Let the token at a place of a heap of n sink to where it belongs; the likeliest is on top."""
    token, child = heap[at], 2 * at + 1
    while child < n:
        if child + 1 < n and _ahead(z, heap[child + 1], heap[child]):
            child += 1
        if not _ahead(z, heap[child], token):
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = token


@jit
def _pop(z, heap, n):
    """The likeliest token of a heap of n, which goes to the place behind those that stay."""
    token, heap[0] = heap[0], heap[n - 1]
    heap[n - 1] = token
    _sift(z, heap, n - 1, 0)
    return token


@jit
def _narrow(z, p, heap, top_k, top_p):
    """p = 0 for all but the top_k likeliest, and of these the fewest that hold top_p of their probability."""
    V, total = len(z), 0.0
    for i in range(V):
        heap[i] = i
        total += p[i]
    for i in range(V // 2 - 1, -1, -1):
        _sift(z, heap, V, i)
    out = V - top_k if 0 < top_k < V else 0  # tokens, and where the heap of them ends
    if out > 0:
        total = 0.0
        for n in range(V, out, -1):
            total += p[_pop(z, heap, n)]
    wanted, held, at = top_p * total, 0.0, V
    while at > out and (top_p >= 1 or at == V or held < wanted):
        if out == 0:
            _pop(z, heap, at)
        at -= 1
        held += p[heap[at]]
    for i in range(at):
        p[heap[i]] = 0


@jit
def draw(logits, uniform, rules, tokens, count, desk):
    """A token to follow the first ``count`` tokens, or -1 where the logits are no finite numbers."""
    z, p, V, strange = desk.z, desk.p, len(desk.z), 0.0
    for i in range(V):
        z[i] = logits[i]
        strange += 0.0 * z[i]
    if strange != 0:
        return -1
    if rules.penalty != 1:
        _penalise(z, desk.stamps, 2 * count + 1, rules.penalty, tokens, count)
    if rules.no_repeat > 0:
        _forbid(z, desk.stamps, 2 * count + 2, rules.no_repeat, tokens, count)
    best, token, total, held = 0, 0, 0.0, 0.0
    for i in range(1, V):
        best = i if z[i] > z[best] else best
    if rules.temperature == 0:
        return best
    for i in range(V):
        p[i] = np.exp((z[i] - z[best]) / rules.temperature)
    if rules.top_k > 0 or rules.top_p < 1:
        _narrow(z, p, desk.heap, rules.top_k, rules.top_p)
    for i in range(V):
        p[i] = p[i] if p[i] >= rules.min_p else 0.0  # the likeliest has 1
        total += p[i]
    for i in range(V):
        held += p[i]
        token = i if p[i] > 0 else token
        if held > uniform * total:
            break
    return token
