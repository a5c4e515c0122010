"""Every op of the tensor dialect on every dtype it takes: native code against the reference.

Exact ops agree bit for bit, on every pair of bytes, and of values where arithmetic goes wrong; math
functions are within 2 ULP of the function itself; sums and products have the bits of their order.
The ops of one dtype are compiled together, so that the whole takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.backend.numpy.interpreter import evaluate
from nets.errors import DTypeError
from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.types import TENSOR_DTYPES, DType, TensorType, bool_, f32, f64, i64, u64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import REGISTRY, Array, OpDef, Sample, lookup
from tests.backend.references import has_formula, reference, ulps
from tests.property.compiled import Way
from tests.property.programs import is_exact
from tests.property.results import assert_native, same_bits

TENSOR_OPS = [definition for definition in REGISTRY.values() if definition.rules.evaluate]
ELEMENTWISE = [
    definition
    for definition in TENSOR_OPS
    if definition.traits & Trait.ELEMENTWISE and not definition.traits & Trait.CHECKED
]
OTHERS = [definition for definition in TENSOR_OPS if definition not in ELEMENTWISE]

MATH_BOUND = 2.0
COMPOSED_BOUND = 8.0
"""Of what is composed of math functions in native code as in the reference, each within 4."""
SUMS = ("logaddexp", "logaddexp2")
"""Sums whose terms may cancel: their bound is in units of the largest one."""

CASES = (
    *(pytest.param(dtype, Way(), id=str(dtype)) for dtype in TENSOR_DTYPES),
    pytest.param(f32, Way(vector_bytes=64), id="f32-wide"),
    pytest.param(f64, Way("none", vector_bytes=16), id="f64-narrow"),
)
"""All dtypes one way, and some in other ways."""


@dataclass
class Batch:
    """Operations side by side in one function, each with arguments of its own or shared ones."""

    function: Function = field(default_factory=lambda: Function("ops", []))
    arrays: list[Array] = field(default_factory=list)
    ops: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.builder = Builder(self.function.body)

    def argument(self, array: Array, dtype: DType) -> Value:
        self.arrays.append(array)
        return self.function.body.add_argument(TensorType(array.shape, dtype))

    def add(self, definition: OpDef, operands: Sequence[Value], **attributes: Any) -> None:
        """Add the operation, unless it takes no such operands."""
        try:
            self.ops.append(self.builder.create(definition, operands, attributes))
        except DTypeError:
            return

    def done(self) -> Function:
        self.builder.create(lookup("return"), [op.result for op in self.ops])
        return self.function


def edge_values(dtype: DType) -> Array:
    if dtype.is_bool:
        return np.array([False, True, True])
    if dtype.is_float:
        limits = np.finfo(dtype.numpy.name)
        near_one = [np.nextafter(dtype.numpy.type(1), dtype.numpy.type(to)) for to in (0, 2)]
        sizes = [limits.max, limits.tiny, limits.smallest_subnormal, limits.tiny / 4, *near_one]
        some = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, np.inf, np.nan, 0.1, 17.3, 1e-3, 88.5, 1e9]
        edges_of_integers = [127.5, 255.9, 32768.0, 2.0**31, 2.0**32, 2.0**63, 2.0**64]
        values = np.array([*sizes, *some, *edges_of_integers], dtype.numpy)
        return np.concatenate([values, -values])
    bounds = np.iinfo(dtype.numpy.name)
    if dtype.bits == 8:
        return np.arange(bounds.min, bounds.max + 1, dtype=dtype.numpy)
    small = [n for n in range(-4, 8) if n >= bounds.min]
    widths = [n for n in (8, 15, 16, 31, 32, 33, 63, 64, 65, 100) if n <= bounds.max]
    near = [bounds.min, bounds.min + 1, bounds.max, bounds.max - 1, bounds.max // 3]
    return np.array(sorted({*small, *widths, *near}), dtype.numpy)


# ---------------------------------------------------------------------------- elementwise


def elementwise(dtype: DType) -> Batch:
    """Every elementwise op that takes the dtype, on every combination of two edge values."""
    batch = Batch()
    values = edge_values(dtype)
    x = batch.argument(np.repeat(values, values.size), dtype)
    y = batch.argument(np.tile(values, values.size), dtype)
    choice = batch.argument(np.arange(values.size**2) % 3 == 0, bool_)
    for definition in ELEMENTWISE:
        count = len(definition.operand_names)
        operands = {1: [x], 2: [x, y], 3: [choice, x, y]}[count]
        if "dtype" in definition.attribute_names:
            for target in TENSOR_DTYPES:
                batch.add(definition, operands, dtype=target)
        else:
            batch.add(definition, operands)
    return batch


@pytest.mark.parametrize(("dtype", "way"), CASES)
@pytest.mark.sampled(7)
def test_elementwise_ops(dtype: DType, way: Way) -> None:
    batch = elementwise(dtype)
    function = batch.done()
    found = way.compile(function)(batch.arrays)
    for op, expected, result in zip(
        batch.ops, evaluate(function, batch.arrays), found, strict=True
    ):
        if is_exact(op):
            assert same_bits(expected, result), disagreement(op, batch, expected, result)
        else:
            check_math(op, batch, expected, result)


def check_math(op: Operation, batch: Batch, expected: Array, result: Array) -> None:
    arrays = [batch.arrays[operand.index] for operand in op.operands]
    name, bound = "pow" if op.name == "power" else op.name, MATH_BOUND
    if has_formula(name):
        error = ulps(result, reference(name, *arrays))
    else:
        error, bound = ulps(result, expected), COMPOSED_BOUND
    if name in SUMS:
        with np.errstate(all="ignore"):
            error *= np.abs(expected) / np.max(np.abs([*arrays, expected]), axis=0)
        error[np.isnan(error)] = 0
    special = ~np.isfinite(expected) | (expected == 0)
    equal = (expected == result) & (np.signbit(expected) == np.signbit(result))
    error[special & (equal | (np.isnan(expected) & np.isnan(result)))] = 0
    worst = int(np.argmax(error))
    assert error[worst] <= bound, (
        f"{op.name} of {[x[worst] for x in arrays]} is off by {error[worst]} ULP: {result[worst]}"
    )


def disagreement(op: Operation, batch: Batch, expected: Array, result: Array) -> str:
    """The first elements that differ, for the message."""
    arrays = [batch.arrays[operand.index] for operand in op.operands]
    lines = [
        f"{op.name}({', '.join(str(x[i]) for x in arrays)}) is {result[i]}, not {expected[i]}"
        for i in range(result.size)
        if not same_bits(expected[i : i + 1], result[i : i + 1])
    ]
    return "\n".join([f"{op}: {len(lines)} wrong", *lines[:10]])


def test_the_elementwise_ops_take_part() -> None:
    tested = {op.name for dtype in TENSOR_DTYPES for op in elementwise(dtype).ops}
    assert tested == {definition.name for definition in ELEMENTWISE}


# --------------------------------------------------------------------------------- others


def retyped(sample: Sample, dtype: DType) -> Sample:
    """The sample with its first operand's dtype (or ``dtype``, or ``value``) replaced."""
    if not sample.operands:
        attributes = dict(sample.attributes)
        if "dtype" in attributes:
            attributes["dtype"] = dtype
        if "value" in attributes:
            value = np.asarray(attributes["value"])
            (attributes["value"],) = lookup("cast").evaluate([value], {"dtype": dtype})
        return Sample((), attributes)
    old = sample.operands[0].dtype
    specs = (replace(s, dtype=dtype if s.dtype == old else s.dtype) for s in sample.operands)
    return Sample(tuple(specs), sample.attributes)


def samples_for(definition: OpDef, dtype: DType) -> Iterator[Sample]:
    """The samples in that dtype, and another one made so: each has its turn."""
    count, turn = len(definition.samples), TENSOR_DTYPES.index(dtype)
    for i, sample in enumerate(definition.samples):
        is_its_own = bool(sample.operands) and sample.operands[0].dtype == dtype
        if is_its_own or i == turn % count:
            yield retyped(sample, dtype)


def others(dtype: DType, rng: np.random.Generator) -> Batch:
    """Ops that are not elementwise in that dtype; half of the elements are edge values."""
    batch = Batch()
    edges = edge_values(dtype)
    for definition in OTHERS:
        for sample in samples_for(definition, dtype):
            operands = []
            for spec in sample.operands:
                array = np.asarray(spec.draw(rng))
                if spec.dtype == dtype and spec.is_free and not is_index(definition, sample):
                    chosen = rng.choice(edges, spec.shape)
                    array = np.where(rng.integers(0, 2, spec.shape) > 0, chosen, array)
                operands.append(batch.argument(array.astype(spec.dtype.numpy), spec.dtype))
            batch.add(definition, operands, **sample.attributes)
    return batch


def is_index(definition: OpDef, sample: Sample) -> bool:
    """Whether operands are indices, which must stay in their bounds."""
    return bool(definition.traits & Trait.CHECKED) and len({s.dtype for s in sample.operands}) == 1


@pytest.mark.parametrize(("dtype", "way"), CASES)
@pytest.mark.sampled(7)
def test_other_ops(dtype: DType, way: Way) -> None:
    batch = others(dtype, np.random.default_rng(1))
    function = batch.done()
    assert_native(function, batch.arrays, way.compile(function)(batch.arrays))


@pytest.mark.parametrize("dtype", [i64, u64])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_large_integers_become_f32_in_one_rounding(dtype: DType, size: int) -> None:
    """Rounded to f64 first, what is a little above the middle of two f32 would become even."""
    top = 63 if dtype == i64 else 64
    middles = [2**k + (2 * odd + 1) * 2 ** (k - 24) for k in range(54, top) for odd in range(4)]
    values = [middle + nudge for middle in middles for nudge in (-1, 0, 1)]
    if dtype == i64:
        values += [-value for value in values]
    function = Function("f", [TensorType((size,), dtype)])
    b = GraphEmitter(Builder(function.body))
    b.emit_all("return", b.cast(function.arguments[0], f32))
    native = Way().compile(function)
    for start in range(0, len(values), size):
        x = np.resize(np.array(values[start : start + size], dtype.numpy), size)
        (found,) = native([x])
        np.testing.assert_array_equal(found, x.astype(np.float32))
