"""The cells in Numba: what happens to rows of numbers between the products, forward and back, as vectors.

Forward, gates come in as pre-activations and are left in the tape as gates.  Back, they turn where they stand into
the gradients of the pre-activations; ``dh`` and ``dc`` come in as gradients of the new states and go out as those of
the old states, but for what passes through h·R.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnkit._kernels.numba_vector import Lanes, Slot, exp, lanewise, sigmoid, tanh


@lanewise
def clear(a: Slot) -> None:
    a.set(0.0)


@lanewise
def copy(source: Slot, target: Slot) -> None:
    target.set(source.get())


@lanewise
def add(source: Slot, total: Slot) -> None:
    total.set(total.get() + source.get())


@lanewise
def multiply(a: Slot, b: Slot, product: Slot) -> None:
    product.set(a.get() * b.get())


@lanewise
def add_masked(source: Slot, mask: Slot, total: Slot) -> None:
    total.set(total.get() + source.get() * mask.get())


# -- h' = tanh(a) or max(a, 0) -----------------------------------------------------------------


@lanewise
def tanh_units(a: Slot, h: Slot) -> None:
    h.set(tanh(a.get()))


@lanewise
def tanh_units_back(a: Slot, h: Slot, dy: Slot, dh: Slot) -> None:
    new, d = h.get(), dh.get() + dy.get()
    a.set(d - d * new * new)
    dh.set(0.0)


@lanewise
def relu_units(a: Slot, h: Slot) -> None:
    h.set(a.get().where("<", 0.0, 0.0, a.get()))


@lanewise
def relu_units_back(a: Slot, h: Slot, dy: Slot, dh: Slot) -> None:
    a.set(h.get().where(">", 0.0, dh.get() + dy.get(), 0.0))
    dh.set(0.0)


# -- c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') --------------------------------------------------------


@lanewise
def lstm_units(a_i: Slot, a_f: Slot, a_g: Slot, a_o: Slot, c_old: Slot, c_new: Slot, h: Slot) -> None:
    i, f, g, o = sigmoid(a_i.get()), sigmoid(a_f.get()), tanh(a_g.get()), sigmoid(a_o.get())
    c = f * c_old.get() + i * g
    c_new.set(c)
    h.set(o * tanh(c))
    for slot, gate in ((a_i, i), (a_f, f), (a_g, g), (a_o, o)):
        slot.set(gate)


@lanewise
def lstm_units_back(
    a_i: Slot, a_f: Slot, a_g: Slot, a_o: Slot, c_old: Slot, c_new: Slot, dy: Slot, dh: Slot, dc: Slot
) -> None:
    i, f, g, o = a_i.get(), a_f.get(), a_g.get(), a_o.get()
    d, t = dh.get() + dy.get(), tanh(c_new.get())
    e = dc.get() + d * o * (1.0 - t * t)  # gradient of c'
    a_i.set(e * g * i * (1.0 - i))
    a_f.set(e * c_old.get() * f * (1.0 - f))
    a_g.set(e * i * (1.0 - g * g))
    a_o.set(d * t * o * (1.0 - o))
    dc.set(e * f)
    dh.set(0.0)


# -- h' = n − z ⊙ n + z ⊙ h, n = tanh(a_n + r ⊙ q), q = h·R_n + bn (after), or n = tanh(a_n + (r ⊙ h)·R_n) (before) ---


@lanewise
def gru_after_units(a_n: Slot, a_r: Slot, a_z: Slot, q: Slot, h_old: Slot, h: Slot) -> None:
    r, z = sigmoid(a_r.get()), sigmoid(a_z.get())
    n = tanh(a_n.get() + r * q.get())
    h.set(n - z * n + z * h_old.get())
    for slot, gate in ((a_n, n), (a_r, r), (a_z, z)):
        slot.set(gate)


@lanewise
def gru_after_units_back(a_n: Slot, a_r: Slot, a_z: Slot, q: Slot, h_old: Slot, dy: Slot, dh: Slot) -> None:
    n, r, z, d = a_n.get(), a_r.get(), a_z.get(), dh.get() + dy.get()
    dn = (d - d * z) * (1.0 - n * n)
    a_z.set(d * (h_old.get() - n) * z * (1.0 - z))
    a_r.set(dn * q.get() * r * (1.0 - r))
    a_n.set(dn)
    q.set(dn * r)
    dh.set(d * z)


@lanewise
def gru_before_gates(a_r: Slot, a_z: Slot, left: Slot, reset: Slot) -> None:
    r = sigmoid(a_r.get())
    reset.set(r * left.get())
    a_r.set(r)
    a_z.set(sigmoid(a_z.get()))


@lanewise
def gru_before_units(a_n: Slot, a_z: Slot, h_old: Slot, h: Slot) -> None:
    n, z = tanh(a_n.get()), a_z.get()
    h.set(n - z * n + z * h_old.get())
    a_n.set(n)


@lanewise
def gru_before_units_back(a_n: Slot, a_z: Slot, h_old: Slot, dy: Slot, dh: Slot) -> None:
    n, z, d = a_n.get(), a_z.get(), dh.get() + dy.get()
    a_z.set(d * (h_old.get() - n) * z * (1.0 - z))
    a_n.set((d - d * z) * (1.0 - n * n))
    dh.set(d * z)


@lanewise
def gru_before_reset_back(a_r: Slot, left: Slot, back: Slot) -> None:
    """INOUT ``back``: gradient of r ⊙ left in, of left out."""
    r, d = a_r.get(), back.get()
    a_r.set(d * left.get() * r * (1.0 - r))
    back.set(d * r)


# -- cells without R: g(a) is a, or positive: a + ½ where a ≥ 0, else σ(a), so that g' follows from g ----------------


def _linear(a: Lanes) -> Lanes:
    return a


def _linear_slope(d: Lanes, n: Lanes) -> Lanes:
    return d


def _positive(a: Lanes) -> Lanes:
    return a.where("<", 0.0, 0.0, a) + sigmoid(a.where(">", 0.0, 0.0, a))


def _positive_slope(d: Lanes, n: Lanes) -> Lanes:
    return d * n.where(">=", 0.5, 1.0, n * (1.0 - n))


def _mingru(g: Callable[[Lanes], Lanes], slope: Callable[[Lanes, Lanes], Lanes]) -> tuple[Any, Any]:
    """h' = (1 − z) ⊙ h + z ⊙ n, there and back."""

    @lanewise
    def units(a_z: Slot, a_n: Slot, h_old: Slot, h: Slot) -> None:
        z, n = sigmoid(a_z.get()), g(a_n.get())
        h.set((1.0 - z) * h_old.get() + z * n)
        a_z.set(z)
        a_n.set(n)

    @lanewise
    def units_back(a_z: Slot, a_n: Slot, h_old: Slot, dy: Slot, dh: Slot) -> None:
        z, n, d = a_z.get(), a_n.get(), dh.get() + dy.get()
        a_z.set(d * (n - h_old.get()) * z * (1.0 - z))
        a_n.set(slope(d * z, n))
        dh.set(d * (1.0 - z))

    return units, units_back


def _minlstm(g: Callable[[Lanes], Lanes], slope: Callable[[Lanes, Lanes], Lanes]) -> tuple[Any, Any]:
    """h' = k ⊙ h + (1 − k) ⊙ n with k = f/(f + i), there and back; the tape keeps f, k, n."""

    @lanewise
    def units(a_f: Slot, a_i: Slot, a_n: Slot, h_old: Slot, h: Slot) -> None:
        f, i, n = a_f.get(), a_i.get(), g(a_n.get())
        most = 4e307 if f.double else 8e37
        gate = sigmoid(f)
        # k = (1 + e^−i) / (1 + e^−i + 1 + e^−f), all scaled by e^−m so that no exponential is above 1 and one is 1
        f, i = (0.0 - a.where(">", most, most, a.where("<", -most, -most, a)) for a in (f, i))
        m = (f - i).where("<", 0.0, i, f)
        m = m.where("<", 0.0, 0.0, m)
        one = exp(0.0 - m)
        keep, take = one + exp(i - m), one + exp(f - m)
        total = keep + take
        keep, take = keep / total, take / total
        h.set(keep * h_old.get() + take * n)
        a_f.set(gate)
        a_i.set(keep)
        a_n.set(n)

    @lanewise
    def units_back(a_f: Slot, a_i: Slot, a_n: Slot, h_old: Slot, dy: Slot, dh: Slot) -> None:
        f, keep, n, d = a_f.get(), a_i.get(), a_n.get(), dh.get() + dy.get()
        take = 1.0 - keep
        part = d * (h_old.get() - n) * take
        a_f.set(part * keep * (1.0 - f))
        a_i.set(part * (f * take - keep))  # keep ⊙ i = f ⊙ take
        a_n.set(slope(d * take, n))
        dh.set(d * keep)

    return units, units_back


mingru_linear, mingru_linear_back = _mingru(_linear, _linear_slope)
mingru_positive, mingru_positive_back = _mingru(_positive, _positive_slope)
minlstm_linear, minlstm_linear_back = _minlstm(_linear, _linear_slope)
minlstm_positive, minlstm_positive_back = _minlstm(_positive, _positive_slope)
