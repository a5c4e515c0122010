"""recompute: what is computed again and no longer stored, and what must be stored as before."""

from __future__ import annotations

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function, Value
from nets.ir.types import i64
from tests.passes.lowered import Program, operations, run_passes, tensor
from tests.property.programs import arguments
from tests.property.results import assert_same

SHAPE = (64, 64)
"""16 KB of f32: beyond what stays in the first cache."""


def apart(p: Program, x: Value) -> Value:
    """A product, which no group takes part in, that waits for x."""
    return p.b.emit("matmul", x, x)


def stored(function: Function) -> int:
    """Tensors that fusions store for others; every bit stays."""
    result = run_passes(function, "fuse")
    arrays = arguments(function, np.random.default_rng(0), special=False)
    assert_same(evaluate(function, arrays), evaluate(result, arrays), result)
    return sum(len(op.results) for op in operations(result, "fusion"))


def test_what_is_cheap_is_computed_again() -> None:
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    cheap = p.b.mul(x, x)
    product = apart(p, p.b.emit("exp", cheap))
    function = p.done(p.b.mul(p.b.mul(product, cheap), x))
    assert stored(function) == 2  # the exponentials and the result


def test_what_costs_much_is_stored() -> None:
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    costly = p.b.emit("exp", x)
    product = apart(p, p.b.neg(costly))
    assert stored(p.done(p.b.mul(p.b.mul(product, costly), x))) == 3


def test_small_tensors_are_stored() -> None:
    p = Program(tensor(4, 4))
    (x,) = p.arguments
    cheap = p.b.mul(x, x)
    product = apart(p, p.b.emit("exp", cheap))
    assert stored(p.done(p.b.mul(p.b.mul(product, cheap), x))) == 3


def test_more_than_one_new_tensor_is_too_much_to_read() -> None:
    p = Program(*(tensor(*SHAPE) for _ in range(3)))
    x, y, z = p.arguments
    cheap = p.b.mul(x, y)
    product = apart(p, p.b.emit("exp", cheap))
    assert stored(p.done(p.b.mul(p.b.mul(product, cheap), z))) == 3


@pytest.mark.parametrize("moved", ["transpose", "flip", "back and forth"])
def test_what_is_read_at_another_place_as_well_keeps_its_bits(moved: str) -> None:
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    inner = p.b.mul(x, x)
    other = p.b.transpose(inner, (1, 0)) if moved == "transpose" else flipped(p, inner)
    if moved == "back and forth":
        other = flipped(p, other)
    cheap = p.b.add(inner, other)
    product = apart(p, p.b.emit("exp", cheap))
    stored(p.done(p.b.mul(p.b.mul(product, cheap), x)))


def flipped(p: Program, value: Value) -> Value:
    return p.b.emit("flip", value, axes=(0,))


def test_one_reader_of_another_kind_keeps_it_for_all() -> None:
    """A gather reads it where it stands in memory."""
    p = Program(tensor(*SHAPE), tensor(3, dtype=i64))
    x, places = p.arguments
    cheap = p.b.mul(x, x)
    product = apart(p, p.b.emit("exp", cheap))
    rows = p.b.emit("gather", cheap, places, axis=0)
    last = p.b.mul(p.b.mul(product, cheap), x)
    function = p.done(last, p.b.emit("exp", rows))
    result = run_passes(function, "fuse")
    arrays = [np.random.default_rng(0).random(SHAPE, np.float32), np.array([5, 0, 63])]
    assert_same(evaluate(function, arrays), evaluate(result, arrays), result)
    stored_shapes = [
        value.type.static_shape for op in operations(result, "fusion") for value in op.results
    ]
    assert stored_shapes.count(SHAPE) == 3  # the value, its exponentials, and the result
