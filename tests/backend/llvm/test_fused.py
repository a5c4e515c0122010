"""Multiply-add in software: rounded once, on every kind of operand, in every lane."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from nets.backend.llvm.math.fused import with_functions
from nets.backend.llvm.target import assembly, host, machine_of
from nets.ir.types import DType, f32, f64
from nets.machine.machine import Machine
from nets.machine.table import V2, V3
from nets.ops.definition.registry import Array
from tests.backend.kernels import compiled

MultiplyAdd = Callable[[Array, Array, Array], Array]
COUNT = 1 << 14

both = pytest.mark.parametrize("dtype", [f32, f64], ids=str)


def module(dtype: DType, lanes: int) -> str:
    """A loop of multiply-additions over three arrays."""
    scalar = "float" if dtype == f32 else "double"
    type, suffix = (scalar, "") if lanes == 1 else (f"<{lanes} x {scalar}>", f"v{lanes}")
    loads = "".join(
        f"  %{name}p = getelementptr {scalar}, ptr %{name}s, i64 %i\n"
        f"  %{name} = load {type}, ptr %{name}p, align {dtype.itemsize}\n"
        for name in "xyz"
    )
    return f"""\
define void @run(ptr %xs, ptr %ys, ptr %zs, ptr %out, i64 %n) {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %end
body:
{loads}  %r = call {type} @llvm.fma.{suffix}{dtype}({type} %x, {type} %y, {type} %z)
  %at = getelementptr {scalar}, ptr %out, i64 %i
  store {type} %r, ptr %at, align {dtype.itemsize}
  %next = add i64 %i, {lanes}
  br label %head
end:
  ret void
}}
"""


def multiply_add(dtype: DType, lanes: int, machine: Machine) -> MultiplyAdd:
    arguments = (*(ctypes.c_void_p,) * 4, ctypes.c_int64)
    run = compiled(with_functions(module(dtype, lanes), machine), "run", *arguments)

    def call(x: Array, y: Array, z: Array) -> Array:
        out = np.empty_like(x)
        run(*(array.ctypes.data for array in (x, y, z, out)), x.size)
        return out

    return call


class Triples:
    """Operands that are hard in one way or another, as many of each kind as are asked for."""

    def __init__(self, dtype: DType, count: int, seed: int) -> None:
        self.dtype, self.count = dtype, count
        self.draw = np.random.default_rng(seed)
        info = np.finfo(dtype.numpy)
        self.digits = info.nmant + 1
        self.least, self.most = int(info.minexp) - info.nmant, int(info.maxexp)

    def __iter__(self) -> Iterator[tuple[Array, Array, Array]]:
        yield self.bits(), self.bits(), self.bits()
        yield self.special()
        for is_short in (False, True):
            yield self.anywhere(is_short)
            yield self.cancelling(is_short)
            yield self.halfway(is_short)

    def bits(self) -> Array:
        """Any number there is."""
        data = self.draw.bytes(self.count * self.dtype.itemsize)
        return np.frombuffer(data, self.dtype.numpy).copy()

    def special(self) -> tuple[Array, Array, Array]:
        """All triples of the ends of the format, zeros of both signs, infinities and NaN."""
        info = np.finfo(self.dtype.numpy)
        ends = [0.0, 1.0, 1.5, np.inf, info.max, info.tiny, info.smallest_subnormal]
        numbers = np.array([*ends, *(-x for x in ends), np.nan, 3.0], self.dtype.numpy)
        x, y, z = (axis.ravel() for axis in np.meshgrid(numbers, numbers, numbers))
        return x, y, z

    def anywhere(self, is_short: bool) -> tuple[Array, Array, Array]:
        """Results all over the range and beyond both ends, of sums that overlap."""
        x_exponent, result = self.exponents(), self.exponents()
        near = self.draw.integers(-3 * self.digits, 3 * self.digits, self.count)
        y = self.numbers(is_short, result - x_exponent - self.digits)
        return self.numbers(is_short, x_exponent), y, self.numbers(is_short, result + near)

    def cancelling(self, is_short: bool) -> tuple[Array, Array, Array]:
        """z is −x · y rounded, or one of its neighbours."""
        x, y, _ = self.anywhere(is_short)
        with np.errstate(all="ignore"):
            z = -(x * y)
        steps = self.draw.integers(-2, 3, self.count).astype(f"i{self.dtype.itemsize}")
        return x, y, (z.view(steps.dtype) + steps).view(self.dtype.numpy)

    def halfway(self, is_short: bool) -> tuple[Array, Array, Array]:
        """x · y is about half of the last digit of z."""
        x_exponent, z_exponent = self.exponents(), self.exponents()
        half = z_exponent - x_exponent - self.digits + self.draw.integers(-2, 3, self.count)
        y = self.numbers(is_short, half)
        return self.numbers(is_short, x_exponent), y, self.numbers(is_short, z_exponent)

    def exponents(self) -> Array:
        return self.draw.integers(self.least - self.digits, self.most, self.count)

    def numbers(self, is_short: bool, exponents: Array) -> Array:
        """Of these exponents; the short ones have few digits, or are next to a power of two."""
        half = 1 << (self.digits - 1)
        digits = self.draw.integers(half, 2 * half, self.count)
        if is_short:
            lost = self.draw.integers(0, self.digits, self.count)
            digits = (digits >> lost) << lost
            near = half + self.draw.integers(-1, 3, self.count)
            digits = np.where(self.draw.random(self.count) < 0.3, near, digits)
        digits = digits * self.draw.choice([-1, 1], self.count)
        first = exponents // 2
        with np.errstate(all="ignore"):
            lifted = np.ldexp(digits.astype(np.float64), first - self.digits + 1)
            return np.ldexp(lifted, exponents - first).astype(self.dtype.numpy)


def assert_equal(found: Array, expected: Array, *operands: Array) -> None:
    """The same bits, or NaN for NaN."""
    kind = f"u{found.itemsize}"
    same = (found.view(kind) == expected.view(kind)) | (np.isnan(found) & np.isnan(expected))
    at = int(np.argmin(same))
    assert same[at], (found[at], expected[at], *(float(x[at]).hex() for x in operands))


@both
@pytest.mark.parametrize("lanes", [1, 2, 4, 16])
def test_the_bits_are_those_of_the_instruction(dtype: DType, lanes: int) -> None:
    if not host().fma_sizes:
        pytest.skip("this CPU has no fused multiply-add to compare with")
    soft, hard = multiply_add(dtype, lanes, V2), multiply_add(dtype, 8, V3)
    for operands in Triples(dtype, COUNT, lanes):
        size = operands[0].size // 16 * 16
        x, y, z = (operand[:size] for operand in operands)
        assert_equal(soft(x, y, z), hard(x, y, z), x, y, z)


def exact(x: float, y: float, z: float, dtype: DType) -> float:
    """x · y + z, whose operands are finite, in rational arithmetic, rounded once."""
    value = Fraction(x) * Fraction(y) + Fraction(z)
    if value == 0:
        return x * y + z  # a sum of zeros, or of opposites, which is right about the sign
    info = np.finfo(dtype.numpy)
    digits, least = info.nmant + 1, int(info.minexp) - info.nmant
    size = abs(value)
    binade = size.numerator.bit_length() - size.denominator.bit_length()
    binade -= size < Fraction(2) ** binade
    unit = max(binade - digits + 1, least)
    steps = round(size / Fraction(2) ** unit)  # ties go to even
    is_beyond = steps * Fraction(2) ** unit >= Fraction(2) ** int(info.maxexp)
    return math.copysign(math.inf if is_beyond else math.ldexp(steps, unit), (value > 0) - 0.5)


@both
def test_the_result_is_the_exact_one_rounded_once(dtype: DType) -> None:
    soft = multiply_add(dtype, 2, V2)
    for operands in Triples(dtype, 400, 5):
        finite = np.logical_and.reduce([np.isfinite(operand) for operand in operands])
        x, y, z = (np.resize(operand[finite], 400) for operand in operands)
        with np.errstate(over="ignore"):
            wanted = [exact(*map(float, triple), dtype) for triple in zip(x, y, z, strict=True)]
        assert_equal(soft(x, y, z), np.array(wanted, dtype.numpy), x, y, z)


@both
@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_no_function_of_the_c_library_is_called(dtype: DType, lanes: int) -> None:
    machine = machine_of("x86-64-v2")
    attributes = f'nounwind "target-cpu"="{machine.cpu}"'
    text = with_functions(module(dtype, lanes), machine, attributes=attributes)
    assert "fma@PLT" not in (found := assembly(text, machine))
    assert "fmaf" not in found


def test_what_the_machine_has_stays_as_it_is() -> None:
    for dtype in (f32, f64):
        assert with_functions(module(dtype, 4), V3) == module(dtype, 4)
