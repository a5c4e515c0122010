"""Kernels that sort: the stable order, on every width of vectors, in lanes and digit by digit."""

import ctypes
import itertools
from typing import Any

import numpy as np
import pytest

from nets.backend.llvm.kernel_code import KernelCode
from nets.backend.llvm.sort import sort_code
from nets.backend.llvm.sort.network import odd_even
from nets.ir.types import BufferType, DType, bool_, f32, f64, i8, i16, i64, u32, u64
from nets.machine.machine import Machine
from nets.machine.table import V2, V3, V4
from nets.ops.definition.registry import Array
from nets.ops.loop.sorting import stable_order, work_type
from tests.backend.guarded import Guarded
from tests.backend.kernels import compiled
from tests.property.results import same_bits

SHAPES = ((1, 1), (3, 2), (5, 7), (17, 16), (9, 31), (3, 65), (2, 150), (1, 1025), (2, 1100))
"""Rows and elements of them: few and many of each, beside the sizes of vectors and of runs."""

_OPERANDS = "ptr %x, ptr %work, ptr %out, ptr %workspace, i64 %begin, i64 %end, i64 %rows, i64 %n"


def draw(dtype: DType, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Numbers, many of them equal; of floats, all that is not like the others as well."""
    if dtype.is_bool:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if not dtype.is_float:
        limits = np.iinfo(str(dtype.numpy))
        found = rng.integers(limits.min, limits.max, shape, dtype.numpy, endpoint=True)
        few = rng.integers(max(limits.min, -3), 4, shape).astype(dtype.numpy)
        return np.where(rng.random(shape) < 0.4, few, found)
    found = rng.standard_normal(shape).astype(dtype.numpy)
    special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, 5e-324], dtype.numpy)
    return np.where(rng.random(shape) < 0.4, rng.choice(special, shape), found)


class Kernels:
    """Some kernels in one module."""

    def __init__(self, codes: list[KernelCode]) -> None:
        cases = "".join(f"    i64 {i}, label %case{i}\n" for i in range(len(codes)))
        calls = "".join(
            f"case{i}:\n  call void @{code.symbol}({_OPERANDS})\n  ret void\n"
            for i, code in enumerate(codes)
        )
        texts = {symbol: text for code in codes for symbol, text in code.texts.items()}
        body = f"  switch i64 %which, label %none [\n{cases}  ]\nnone:\n  ret void\n{calls}"
        head = f"define void @run(i64 %which, {_OPERANDS}) {{"
        text = "\n".join([*texts.values(), head, body, "}"])
        pointers, counts = (ctypes.c_void_p,) * 4, (ctypes.c_int64,) * 4
        self.codes = codes
        self._run = compiled(text, "run", ctypes.c_int64, *pointers, *counts, libc=True)

    def run(self, which: int, x: Array, positions: bool) -> Array:
        rows, n = x.shape
        code = self.codes[which]
        dtype = next(d for d in (f32, f64, i8, i16, i64, u32, u64, bool_) if d.numpy == x.dtype)
        space = np.zeros(code.workspace_bytes + 64, np.uint8)
        aligned = -(-space.ctypes.data // 64) * 64
        work_of = work_type(BufferType((rows, n), dtype), positions)
        work = np.zeros(work_of.static_shape, work_of.dtype.numpy)
        out: Any = np.zeros(x.shape, np.int64 if positions else x.dtype)
        source, target = Guarded(x, at_end=True).read_only(), Guarded(out, at_end=True)
        places = (source.address, work.ctypes.data, target.address, aligned)
        self._run(which, *places, 0, code.panels, rows, n)
        return target.array.copy()


@pytest.mark.parametrize("machine", [V4, V3, V2], ids=str)
@pytest.mark.parametrize("dtype", [f32, f64, u64, i16, bool_, i64, u32, i8], ids=str)
@pytest.mark.sampled(7)
def test_kernels_give_the_stable_order(machine: Machine, dtype: DType) -> None:
    ways = list(itertools.product(SHAPES, (False, True), (False, True)))
    ways = [way for i, way in enumerate(ways) if i % 3 == machine.level % 3 or way[0][1] > 1000]
    codes = [sort_code(dtype, *shape, down, places, machine) for shape, down, places in ways]
    kernels = Kernels(codes)
    rng = np.random.default_rng(machine.level)
    for which, (shape, descending, positions) in enumerate(ways):
        x = draw(dtype, shape, rng)
        order = stable_order(x, descending=descending)
        expected = order if positions else np.take_along_axis(x, order, -1)
        found = kernels.run(which, x, positions)
        assert same_bits(found, expected), (shape, descending, positions)


def test_networks_sort_every_row_of_zeros_and_ones() -> None:
    """A network that sorts these sorts all (Knuth, vol. 3, 5.3.4, theorem Z)."""
    for n in range(1, 13):
        rows = np.array(list(itertools.product((0, 1), repeat=n)))
        for i, j in odd_even(n):
            assert i < j
            rows[:, [i, j]] = np.sort(rows[:, [i, j]], axis=1)
        assert (np.diff(rows, axis=1) >= 0).all()
