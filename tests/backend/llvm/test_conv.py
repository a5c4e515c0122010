"""Convolution kernels: the one order of their sums, under every CPU and split, in their buffers."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from nets.backend.llvm import conv
from nets.ir.types import DType, TensorType, f32, f64
from nets.machine.machine import Machine
from nets.machine.table import V2
from nets.machine.table import V3 as AVX2
from nets.machine.table import V4 as AVX512
from nets.ops.definition.registry import Array, lookup
from nets.ops.tensor.conv_geometry import Geometry
from tests.backend.guarded import Guarded
from tests.backend.kernels import GemmKernel
from tests.machines import NEON
from tests.property.conv_order import conv_in_order
from tests.property.native_order import fused_multiply_add, multiply_then_add

Shape = tuple[int, ...]


class Case(NamedTuple):
    """Shapes of x and w, and attributes."""

    x: Shape
    w: Shape
    steps: Shape = (1, 1)
    low: Shape = (0, 0)
    high: Shape = (0, 0)
    dilation: Shape = (1, 1)
    groups: int = 1

    @property
    def attributes(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self._fields[2:]}

    def y(self, dtype: DType) -> Shape:
        types = TensorType(self.x, dtype), TensorType(self.w, dtype)
        shape: Shape = lookup("conv").rules.infer(*types, **self.attributes).static_shape
        return shape


ONES = (1, 1)

# Zeros around; several blocks of channels; steps, with remainders; a table of taps; bands; groups
# and lone channels; steps above the kernel; wide margins; small images; long rows.
CASES = [
    Case((2, 3, 9, 21), (5, 3, 3, 3), low=ONES, high=ONES),
    Case((1, 70, 6, 7), (9, 70, 3, 3), low=ONES, high=ONES),
    Case((1, 70, 7, 11), (5, 70, 3, 3), (2, 2), ONES, (0, 1)),
    Case((2, 4, 12, 13), (6, 2, 5, 6), (3, 2), (2, 0), (1, 5), (2, 1), 2),
    Case((1, 2, 80, 33), (3, 2, 2, 3)),
    Case((2, 19, 5, 18), (38, 1, 3, 3), (1, 2), ONES, ONES, ONES, 19),
    Case((2, 3, 8, 9), (4, 3, 1, 2), (3, 4)),
    Case((1, 1, 2, 3), (2, 1, 2, 2), (2, 1), (4, 5), (3, 4)),
    Case((11, 3, 5, 4), (17, 3, 3, 3), low=ONES, high=ONES),
    Case((1, 2, 2, 1203), (3, 2, 1, 3), (1, 1)),
    # Loops over taps, planes and phases: of rows; of both; steps above the kernel, or with a factor
    # in common with the dilation, or beyond it; one tap or none; zeros on every side.
    Case((2, 2, 11, 19), (3, 2, 7, 4), ONES, (3, 1), (3, 2)),
    Case((1, 3, 17, 40), (7, 3, 9, 11), (1, 1), (4, 5), (4, 5)),
    Case((1, 2, 23, 29), (4, 2, 7, 8), (2, 3), (3, 2), (1, 4)),
    Case((2, 2, 21, 25), (3, 2, 2, 3), (4, 5), (1, 0), (3, 1)),
    Case((1, 4, 30, 31), (4, 2, 6, 7), (4, 6), (2, 3), (0, 5), (2, 4), 2),
    Case((1, 2, 9, 50), (2, 2, 1, 9), (1, 4), (0, 3), (0, 2), (1, 3)),
    Case((2, 3, 16, 24), (5, 3, 8, 8), (8, 8)),
    Case((1, 70, 12, 13), (3, 70, 6, 6), (3, 3), ONES, ONES),
    # Tiles of sums of weights that end one tap into a channel, or two; lone taps.
    Case((1, 9, 1, 5), (2, 9, 1, 3)),
    Case((2, 18, 2, 5), (4, 9, 1, 3), low=(0, 1), groups=2),
    Case((2, 15, 5, 6), (3, 15, 1, 1), (2, 2)),
]
NAMES = ("conv", "conv_input", "conv_weight")


def operands(name: str, case: Case, dtype: DType) -> tuple[list[Array], Shape]:
    """The arrays, and the shape of the result."""
    x, w, y = case.x, case.w, case.y(dtype)
    shapes = {"conv": (x, w, y), "conv_input": (y, w, x), "conv_weight": (x, y, w)}[name]
    generator = np.random.default_rng(len(name))
    arrays = [generator.standard_normal(shape).astype(dtype.numpy) for shape in shapes[:2]]
    return arrays, shapes[2]


def kernel(name: str, case: Case, dtype: DType, target: Machine) -> GemmKernel:
    role = {"conv": "output", "conv_input": "input", "conv_weight": "weight"}[name]
    geometry = Geometry(case.steps, case.low, case.dilation, case.groups)
    return GemmKernel(
        conv.convolution_code(
            role, dtype, case.x[0], case.x, case.w, case.y(dtype), geometry, target
        ),
        target,
    )


def targets(number: int) -> tuple[Machine, Machine]:
    """The widest vectors and, by turns, few, short, or such as multiply and then add."""
    return AVX512, (AVX2, NEON, V2)[number // 2 % 3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", range(len(CASES)))
@pytest.mark.sampled(7)
def test_every_cpu_and_split_has_the_bits_of_the_order(name: str, number: int) -> None:
    """Between pages that cannot be touched. Of three kernels, one or two are in f64."""
    turn = number + NAMES.index(name)
    case, dtype = CASES[number], (f32, f64)[turn % 2]
    arrays, shape = operands(name, case, dtype)
    extra = {"conv_input": {"shape": case.x[2:]}, "conv_weight": {"shape": case.w[2:]}}
    attributes = {**case.attributes, **extra.get(name, {})}
    expected = conv_in_order(name, *arrays, attributes, fused_multiply_add)
    for target in targets(turn):
        sums = kernel(name, case, dtype, target)
        for at_end in (False, True):
            out = between_guards(sums, arrays, np.full(shape, np.nan, dtype.numpy), at_end)
            np.testing.assert_array_equal(out, expected, str(target))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", range(0, len(CASES), 4))
@pytest.mark.sampled(5)
def test_the_profile_without_fma_rounds_products_and_sums(name: str, number: int) -> None:
    case, dtype = CASES[number], (f32, f64)[number // 4 % 2]
    arrays, shape = operands(name, case, dtype)
    extra = {"conv_input": {"shape": case.x[2:]}, "conv_weight": {"shape": case.w[2:]}}
    attributes = {**case.attributes, **extra.get(name, {})}
    expected = conv_in_order(name, *arrays, attributes, multiply_then_add)
    for target in (V2, AVX2):
        code = kernel(name, case, dtype, target).code
        sums = GemmKernel(code, target, "strict-nofma")
        found = sums(*arrays, np.full(shape, np.nan, dtype.numpy))
        np.testing.assert_array_equal(found, expected, str(target))


def between_guards(sums: GemmKernel, arrays: list[Array], out: Array, at_end: bool) -> Array:
    """The output of a call in pieces, the last one first; a touch outside ends the process.

    Each piece may run in a thread of its own, and finds nothing in the workspace.
    """
    buffers = [Guarded(array, at_end=at_end).read_only() for array in arrays]
    written = Guarded(out, at_end=at_end)
    size = -(-sums.code.workspace_bytes // 64) * 64  # as the layout of a workspace has it
    workspace = Guarded(np.full(size, 0xFF, np.uint8), at_end=at_end)
    sums.workspace = workspace.address
    panels = sums.code.panels
    cuts = [0, panels // 3, panels // 3, panels // 2, panels] if at_end else [0, panels]
    for begin, end in reversed(list(pairwise(cuts))):
        workspace.array[:] = 0xFF
        sums.run(*(buffer.address for buffer in (*buffers, written)), begin, end)
    return written.array.copy()
