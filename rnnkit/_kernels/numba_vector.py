"""LLVM vectors with the operators of arithmetic, and loops that take rows of numbers a vector at a time.

What LLVM would have to prove before it vectorises a loop over several arrays (that none overlaps another) is here
said outright: a loop's numbers are loaded, computed and stored as vectors, the last few of a row under a mask.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import factorial
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from rnnkit._kernels.numba_jit import intrinsic

_HOST = llvm.get_host_cpu_features()
VECTOR = 64 if _HOST.get("avx512f") else 32 if _HOST.get("avx") else 16
"""Bytes of a vector register."""


class Lanes:
    """A vector of the code that is being emitted; products and sums may be fused, nothing else is taken for granted."""

    def __init__(self, build: ir.IRBuilder, value: ir.Value) -> None:
        self.build, self.value = build, value

    @property
    def double(self) -> bool:
        return bool(self.value.type.element == ir.DoubleType())

    def _other(self, other: Lanes | float) -> ir.Value:
        kind = self.value.type
        return other.value if isinstance(other, Lanes) else ir.Constant(kind, [float(other)] * kind.count)

    def __add__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.build, self.build.fadd(self.value, self._other(other), flags=("contract",)))

    def __sub__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.build, self.build.fsub(self.value, self._other(other), flags=("contract",)))

    def __rsub__(self, other: float) -> Lanes:
        return Lanes(self.build, self.build.fsub(self._other(other), self.value, flags=("contract",)))

    def __mul__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.build, self.build.fmul(self.value, self._other(other), flags=("contract",)))

    def __truediv__(self, other: Lanes) -> Lanes:
        return Lanes(self.build, self.build.fdiv(self.value, other.value))

    __radd__, __rmul__ = __add__, __mul__

    def where(self, sign: str, bound: float, then: Lanes | float, otherwise: Lanes | float) -> Lanes:
        """``then`` in the lanes that compare with ``bound`` as ``sign`` says; a NaN compares with nothing."""
        asked = self.build.fcmp_ordered(sign, self.value, self._other(bound))
        return Lanes(self.build, self.build.select(asked, self._other(then), self._other(otherwise)))

    def power(self, bias: int, digits: int) -> Lanes:
        """2 to the whole number that stands in the last digits, which a float with that bias and so many has."""
        kind = ir.VectorType(ir.IntType(64 if self.double else 32), self.value.type.count)
        bits = self.build.add(self.build.bitcast(self.value, kind), ir.Constant(kind, [bias] * kind.count))
        bits = self.build.shl(bits, ir.Constant(kind, [digits] * kind.count))
        return Lanes(self.build, self.build.bitcast(bits, self.value.type))


def tanh(x: Lanes) -> Lanes:
    """In float32 a rational approximation (error 3e-7); in float64 u/(u + 2) with u = e^{2x} − 1 (error 1e-13)."""
    bound = 20.0 if x.double else 7.90531110763549805  # from here on tanh is 1 to the dtype's precision
    x = x.where(">", bound, bound, x)
    x = x.where("<", -bound, -bound, x)
    if x.double:
        # 2x is halved to below 0.63, where the Taylor sum's first term left out is under 6e-13 of it, and doubled
        # again by e^{2y} − 1 = u(u + 2).
        y = x * 2.0**-5
        u = _polynomial(y, [1 / factorial(k) for k in range(12, 0, -1)]) * y
        for _ in range(6):
            u = u * (u + 2.0)
        return u / (u + 2.0)
    square = x * x  # the minimax coefficients that Eigen uses
    return x * _polynomial(square, _TANH_ABOVE) / _polynomial(square, _TANH_BELOW)


_TANH_ABOVE = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_BELOW = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def _polynomial(x: Lanes, coefficients: Any) -> Lanes:
    """Horner's rule, the highest power first."""
    highest, second, *others = coefficients
    total = x * highest + second
    for coefficient in others:
        total = total * x + coefficient
    return total


def sigmoid(x: Lanes) -> Lanes:
    """σ(x) = ½ + ½ tanh(x/2), which cannot overflow."""
    return tanh(x * 0.5) * 0.5 + 0.5


def exp(x: Lanes) -> Lanes:
    """e^x for x ≤ 0: 2^k times the Taylor sum of e^r on |r| ≤ ln(2)/2 (error 1e-7 or 1e-15); 0 where 2^k would be."""
    lowest, bias, digits = (-709.2, 1023, 52) if x.double else (-87.9, 127, 23)
    high, low = (0.693147180369123816490, 1.90821492927058770002e-10) if x.double else (0.693359375, -2.12194440e-4)
    x = x.where("<", lowest, lowest, x)
    whole = x * 1.4426950408889634 + 1.5 * 2.0**digits  # k in its last digits: a NaN has some too
    k = whole - 1.5 * 2.0**digits
    r = x - k * high - k * low
    return _polynomial(r, [1 / factorial(n) for n in range(13 if x.double else 7, -1, -1)]) * whole.power(bias, digits)


# -- memory ------------------------------------------------------------------------------------


def mask_of(build: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    """True in the first ``count`` lanes."""
    kind = ir.VectorType(count.type, lanes)
    spread = build.insert_element(ir.Constant(kind, ir.Undefined), count, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    spread = build.shuffle_vector(spread, ir.Constant(kind, ir.Undefined), zeros)
    return build.icmp_signed("<", ir.Constant(kind, list(range(lanes))), spread)


def load(build: ir.IRBuilder, pointer: ir.Value, kind: ir.VectorType, size: int, mask: ir.Value | None) -> ir.Value:
    """A vector from an element's address; lanes outside the mask are not touched and read as zero."""
    pointer = build.bitcast(pointer, kind.as_pointer())
    if mask is None:
        return build.load(pointer, align=size)
    name = f"llvm.masked.load.v{kind.count}f{8 * size}.p0"
    function = ir.FunctionType(kind, [pointer.type, ir.IntType(32), mask.type, kind])
    zeros = ir.Constant(kind, [0.0] * kind.count)
    return build.call(
        cgutils.get_or_insert_function(build.module, function, name), [pointer, ir.IntType(32)(size), mask, zeros]
    )


def store(build: ir.IRBuilder, value: ir.Value, pointer: ir.Value, size: int, mask: ir.Value | None) -> None:
    """A vector to an element's address; lanes outside the mask are left alone."""
    kind = value.type
    pointer = build.bitcast(pointer, kind.as_pointer())
    if mask is None:
        build.store(value, pointer, align=size)
        return
    name = f"llvm.masked.store.v{kind.count}f{8 * size}.p0"
    function = ir.FunctionType(ir.VoidType(), [kind, pointer.type, ir.IntType(32), mask.type])
    build.call(
        cgutils.get_or_insert_function(build.module, function, name), [value, pointer, ir.IntType(32)(size), mask]
    )


class Slot:
    """The numbers of one array that a pass of the loop is about."""

    def __init__(self, build: ir.IRBuilder, pointer: ir.Value, kind: ir.VectorType, size: int, mask: Any) -> None:
        self._at = build, pointer
        self._how = kind, size, mask

    def get(self) -> Lanes:
        build, pointer = self._at
        return Lanes(build, load(build, pointer, *self._how))

    def set(self, value: Lanes | float) -> None:
        build, pointer = self._at
        kind, size, mask = self._how
        vector = value.value if isinstance(value, Lanes) else ir.Constant(kind, [value] * kind.count)
        store(build, vector, pointer, size, mask)


def lanewise(body: Callable[..., None]) -> Any:
    """``f(rows, n, arrays, starts, steps)``: ``body`` over n numbers of each row, one ``Slot`` for each array.

    The arrays are flat; row r of one begins at its start + r · its step.  Arrays may be the same, or overlap where
    the body loads what it needs before it stores.
    """
    count = len(inspect.signature(body).parameters)

    @intrinsic
    def run(typing, rows, n, arrays, starts, steps):
        integers = types.UniTuple(types.intp, count)
        signature = types.void(types.intp, types.intp, types.UniTuple(arrays[0], count), integers, integers)

        def emit(context, build, signature, arguments):
            rows, n = arguments[:2]
            parts, starts, steps = (cgutils.unpack_tuple(build, value, count) for value in arguments[2:])
            kind = signature.args[2].dtype
            size = kind.dtype.bitwidth // 8
            vector = ir.VectorType(context.get_data_type(kind.dtype), VECTOR // size)
            bases = [context.make_array(kind)(context, build, value=part).data for part in parts]
            whole = build.and_(n, n.type(-vector.count))

            def step(pointers, at, mask):
                body(*(Slot(build, build.gep(pointer, [at]), vector, size, mask) for pointer in pointers))

            with cgutils.for_range(build, rows) as row:
                places = [
                    build.gep(base, [build.add(start, build.mul(row.index, by))])
                    for base, start, by in zip(bases, starts, steps, strict=True)
                ]
                with cgutils.for_range_slice(build, n.type(0), whole, n.type(vector.count), n.type) as (at, _):
                    step(places, at, None)
                rest = build.sub(n, whole)
                with build.if_then(build.icmp_signed(">", rest, n.type(0))):
                    step(places, whole, mask_of(build, rest, vector.count))
            return context.get_dummy_value()

        return signature, emit

    return run


# -- denormals ---------------------------------------------------------------------------------

_X86 = llvm.get_default_triple().startswith(("x86_64", "i686", "amd64"))
_FLUSH = 0x8040  # MXCSR: flush results to zero, take operands for zero


def _control(build: ir.IRBuilder, name: str, place: ir.Value) -> None:
    function = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    function = cgutils.get_or_insert_function(build.module, function, f"llvm.x86.sse.{name}mxcsr")
    build.call(function, [build.bitcast(place, ir.IntType(8).as_pointer())])


@intrinsic
def flush_denormals(typing):
    """This thread computes with denormals as zero, each of which may cost a hundred cycles; returns the old mode."""

    def emit(context, build, signature, arguments):
        place = cgutils.alloca_once(build, ir.IntType(32))
        if not _X86:
            return ir.IntType(32)(0)
        _control(build, "st", place)
        mode = build.load(place)
        build.store(build.or_(mode, ir.IntType(32)(_FLUSH)), place)
        _control(build, "ld", place)
        return mode

    return types.uint32(), emit


@intrinsic
def restore(typing, mode):
    """Back to the mode that ``flush_denormals`` returned."""

    def emit(context, build, signature, arguments):
        if _X86:
            place = cgutils.alloca_once(build, ir.IntType(32))
            build.store(arguments[0], place)
            _control(build, "ld", place)
        return context.get_dummy_value()

    return types.void(types.uint32), emit
