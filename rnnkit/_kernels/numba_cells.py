"""The cells in Numba: what happens to rows of numbers between the products, forward and back, as vectors.

Forward, gates come in as pre-activations and are left in the tape as gates.  Back, they turn where they stand into
the gradients of the pre-activations; ``dh`` and ``dc`` come in as gradients of the new states and go out as those of
the old states, but for what passes through h·R.
"""

from __future__ import annotations

from rnnkit._kernels.numba_vector import Slot, lanewise, sigmoid, tanh


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
