"""Roots and roundings without an instruction for them: the bits are NumPy's, of any number."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from nets.backend.llvm.math.soft import with_soft_functions
from nets.machine.families import SIMD128, WASM
from nets.machine.machine import Machine
from nets.machine.table import V2, V3
from nets.ops.definition.registry import Array
from tests.backend.kernels import compiled

WITHOUT = replace(V3, root_sizes=(), rounding_sizes=())
FUNCTIONS = {
    "sqrt": np.sqrt,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "roundeven": np.rint,
}
NAMES = {"float32": ("float", "f32"), "float64": ("double", "f64")}

EACH = """\
define void @run(ptr %x, ptr %y, i64 %n) nounwind {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %j, %next ]
  %from = getelementptr {scalar}, ptr %x, i64 %i
  %value = load {type}, ptr %from, align 4
  %found = call {type} @llvm.{name}.{suffix}({type} %value)
  %to = getelementptr {scalar}, ptr %y, i64 %i
  store {type} %found, ptr %to, align 4
  %j = add i64 %i, {lanes}
  %more = icmp slt i64 %j, %n
  br i1 %more, label %next, label %done
done:
  ret void
}}
"""


def numbers(dtype: str) -> Array:
    """Any bits, near integers and halves, subnormals, and what is special."""
    kind, rng = np.dtype(dtype), np.random.default_rng(0)
    bits = rng.integers(0, 1 << (8 * kind.itemsize), 40_000, f"u{kind.itemsize}").view(kind)
    near = np.arange(-600, 600, dtype=kind) / 2
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 0.49999997, -0.49999997], kind)
    tiny = np.arange(500).astype(kind) * np.finfo(kind).smallest_subnormal
    whole = 2.0 ** np.arange(18, 60, dtype=kind)
    parts = [bits, near, np.nextafter(near, kind.type(9)), special, tiny, whole - 0.5, whole + 1]
    return np.resize(np.concatenate(parts).astype(kind), 44_000)


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", NAMES)
def test_bits_are_those_of_numpy(dtype: str, name: str, lanes: int) -> None:
    scalar, suffix = NAMES[dtype]
    type, many = (f"<{lanes} x {scalar}>", f"v{lanes}{suffix}") if lanes > 1 else (scalar, suffix)
    text = EACH.format(type=type, scalar=scalar, suffix=many, name=name, lanes=lanes)
    text = with_soft_functions(text, WITHOUT, "nounwind")
    assert f"llvm.{name}" not in text
    run = compiled(text, "run", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    x = numbers(dtype)
    found = np.empty_like(x)
    run(x.ctypes.data, found.ctypes.data, x.size)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](x)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    same = found.view(f"u{x.itemsize}") == expected.view(f"u{x.itemsize}")
    assert np.all(same | np.isnan(x) | np.isnan(expected))


WIDE = """\
define void @run(ptr %x, ptr %y, i64 %n) nounwind {
  %a = load i64, ptr %x
  %second = getelementptr i64, ptr %x, i64 1
  %b = load i64, ptr %second
  %aw = zext i64 %a to i128
  %bw = zext i64 %b to i128
  %nw = zext i64 %n to i128
  %product = mul i128 %aw, %bw
  %shifted = shl i128 %product, %nw
  store i128 %product, ptr %y, align 8
  %next = getelementptr i8, ptr %y, i64 16
  store i128 %shifted, ptr %next, align 8
  ret void
}
"""


def test_products_and_shifts_of_128_bits() -> None:
    text = with_soft_functions(WIDE, WASM, "nounwind")
    assert "@nets_mul(" in text
    assert "@nets_shl(" in text
    run = compiled(text, "run", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    rng = np.random.default_rng(1)
    ends = [0, 1, 2**32 - 1, 2**32, 2**64 - 1]
    pairs = [(a, b) for a in ends for b in ends]
    pairs += [tuple(map(int, rng.integers(0, 2**64, 2, "uint64"))) for _ in range(100)]
    for count, (a, b) in enumerate(pairs):
        x, y, by = np.array([a, b], "uint64"), np.zeros(4, "uint64"), count % 128
        run(x.ctypes.data, y.ctypes.data, by)
        low, high, shifted_low, shifted_high = map(int, y)
        assert low | high << 64 == a * b
        assert shifted_low | shifted_high << 64 == (a * b << by) % 2**128


@pytest.mark.parametrize(
    ("machine", "is_split"), [(WASM, True), (SIMD128, False), (V2, False)], ids=str
)
def test_vectors_of_multiply_additions_stay_where_there_are_vectors(
    machine: Machine, is_split: bool
) -> None:
    text = EACH.format(type="<4 x float>", scalar="float", suffix="v4f32", name="fma", lanes=4)
    text = with_soft_functions(text, machine, "nounwind")
    assert ("@llvm.fma.v4f32(" not in text) == is_split
    assert ("@llvm.fma.f32(" in text) == is_split
