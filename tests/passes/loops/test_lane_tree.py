"""lane_tree: which loops a reduction becomes, and that all of them have the bits of its tree."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nets.ir.core import Function, Value
from nets.ir.types import BufferType, DType, VectorType, f32, f64, i8, i64
from nets.ir.verifier import verify_function
from nets.machine.machine import Machine
from nets.machine.table import V3, V4
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops import lane_tree
from nets.passes.loops.lane_tree import lower_reduce
from tests.backend.loops import at, buffer, hidden, interpret, loop_function, reduce
from tests.machines import NEON, of_width
from tests.passes.lowered import operations
from tests.property.results import assert_same

Body = Callable[[LoopBuilder, Value, Value, Value], Value]
"""The element at a counter of the first buffer; the second one may be written to."""


def light(s: LoopBuilder, i: Value, x: Value, kept: Value) -> Value:
    return s.load(x, at(i))


def heavy(s: LoopBuilder, i: Value, x: Value, kept: Value) -> Value:
    value = s.load(x, at(i))
    for _ in range(16):
        value = s.binary("max", s.unary("abs", value), value)
    return value


def storing(s: LoopBuilder, i: Value, x: Value, kept: Value) -> Value:
    value = s.load(x, at(i))
    s.store(value, kept, at(i))
    return value


def changing(s: LoopBuilder, i: Value, x: Value, kept: Value) -> Value:
    """Each iteration changes what it reads."""
    value = s.add(s.load(kept, at(i)), s.load(x, at(i)))
    s.store(value, kept, at(i))
    return value


def ordered(s: LoopBuilder, i: Value, x: Value, kept: Value) -> Value:
    """Each iteration reads what the one before has stored."""
    value = s.binary("max", s.load(kept, at(i)), s.load(x, at(i)))
    s.store(value, kept, at(i, 1))
    return value


def reduction(
    body: Body,
    dtype: DType,
    count: int,
    *,
    is_known: bool = True,
    combiners: Sequence[str] = ("add", "argmax"),
) -> Function:
    """Reductions of what the body gives; an ``argmax`` gives its position as well."""
    outs = [b for name in combiners for b in _outputs(name, dtype)]
    function, s = loop_function([buffer(dtype, max(count, 1))], [*outs, buffer(dtype, count + 1)])
    x, *outputs, kept = function.arguments
    with s.inside(s.for_(0, count + 1)) as block:
        s.store(s.const(0, dtype), kept, at(block.arguments[0]))
        s.yield_()
    bound = count if is_known else hidden(s, count)
    found = reduce(s, bound, combiners, lambda s, i: [body(s, i, x, kept)] * len(combiners))
    for value, out in zip(found, outputs, strict=True):
        s.store(s.cast(value, out.type.dtype), out, at())
    s.emit("return")
    return function


def _outputs(combiner: str, dtype: DType) -> list[BufferType]:
    return [buffer(dtype), *([buffer(i64)] if combiner.startswith("arg") else [])]


def lowered(function: Function, machine: Machine) -> Function:
    (op,) = operations(function, "loop.reduce")
    lower_reduce(op, machine)
    verify_function(function)
    return function


def form(function: Function) -> str:
    """Where the running results are, and what they take of the elements at a time."""
    if not operations(function, "loop.scratch"):
        return "registers"
    loads = operations(function, "loop.load") + operations(function, "loop.masked_load")
    elements = [op.result for op in loads if function.arguments[0] in op.operands]
    is_wide = any(isinstance(element.type, VectorType) for element in elements)
    return "vectors" if is_wide else "scalars"


def check(function: Function, machine: Machine) -> Function:
    """The function with the reduction lowered, which gives the same bits."""
    (size,) = function.arguments[0].type.shape
    x = (np.random.default_rng(size).standard_normal(size) * 9).astype(
        function.arguments[0].type.dtype.numpy
    )
    wanted = interpret(function, [x])[1]
    found = lowered(function, machine)
    assert_same(wanted, interpret(found, [x])[1], found)
    return found


FORMS = [
    (light, f32, V3, True, "registers"),
    (light, f32, V3, False, "registers"),
    (light, i8, V3, True, "registers"),
    (light, i8, V3, False, "registers"),  # no masks, but the last iteration may run again
    (storing, f32, V3, False, "registers"),
    (changing, f32, V3, False, "registers"),
    (changing, i8, V3, True, "registers"),
    (changing, i8, V3, False, "vectors"),
    (changing, i8, V4, False, "vectors"),
    (heavy, f32, V3, True, "vectors"),
    (heavy, f32, V4, False, "vectors"),
    (ordered, f32, V3, True, "scalars"),
    (ordered, f32, V3, False, "scalars"),
    (light, f32, of_width(4), True, "scalars"),
    (light, f64, NEON, True, "registers"),
]


@pytest.mark.parametrize(("body", "dtype", "machine", "is_known", "expected"), FORMS)
def test_every_form_has_the_bits_of_the_tree(
    body: Body, dtype: DType, machine: Machine, is_known: bool, expected: str
) -> None:
    for count in (91, 11):
        function = reduction(body, dtype, count, is_known=is_known)
        found = check(function, machine)
        assert form(found) == expected or count == 11


@pytest.mark.parametrize("is_known", [True, False])
def test_whole_rows_and_no_elements(is_known: bool) -> None:
    for body in (light, heavy):
        for count in (0, 64):
            check(reduction(body, f32, count, is_known=is_known), V3)


@pytest.mark.parametrize("is_known", [True, False])
def test_pairs_of_vectors_leave_a_vector_and_a_rest(
    is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_tree, "is_better_in_pairs", lambda body: True)
    monkeypatch.setattr(lane_tree, "_REGISTER_CYCLES", 0)
    for count, steps in ((24, [16, 8]), (27, [16, 8, 8]), (19, [16, 8])):
        found = check(reduction(light, f32, count, is_known=is_known), V3)
        loops = [op.attributes["step"] for op in operations(found, "loop.for")]
        assert loops[1:] == (steps if is_known else [16, 8, 8])


def test_few_heavy_elements_suit_registers() -> None:
    for count, expected in ((8, "registers"), (200, "vectors")):
        assert form(lowered(reduction(heavy, f32, count), V4)) == expected


@pytest.mark.parametrize("machine", [V3, NEON], ids=lambda machine: machine.family)
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("body", [light, heavy, ordered])
@pytest.mark.sampled(5)
def test_positions_beside_a_tree_with_wider_rows(
    body: Body, is_known: bool, machine: Machine
) -> None:
    """Rows of f32 hold two of f64; each tree counts its own."""
    for count in (40, 140):
        function, s = loop_function(
            [buffer(f32, count)], [buffer(f32), buffer(f64), buffer(i64), buffer(f32, count + 1)]
        )
        x, total, extreme, place, kept = function.arguments
        with s.inside(s.for_(0, count + 1)) as block:
            s.store(s.const(0, f32), kept, at(block.arguments[0]))
            s.yield_()

        def element(
            s: LoopBuilder, i: Value, x: Value = x, kept: Value = kept
        ) -> tuple[Value, Value]:
            value = body(s, i, x, kept)
            return value, s.cast(value, f64)

        bound = count if is_known else hidden(s, count)
        found = reduce(s, bound, ("add", "argmax"), element)
        for value, out in zip(found, (total, extreme, place), strict=True):
            s.store(s.cast(value, out.type.dtype), out, at())
        s.emit("return")
        check(function, machine)


def test_vectors_that_take_no_element_are_not_made() -> None:
    """Of the eight vectors of a row those that have an element, and one where there is none."""
    for count, vectors in ((0, 1), (1, 1), (8, 1), (9, 2), (33, 5), (64, 8), (65, 8)):
        function = lowered(reduction(light, f32, count, combiners=("max",)), V3)
        maxima = [
            op for op in operations(function, "loop.max") if isinstance(op.result.type, VectorType)
        ]
        taken = -(-count // 8)
        assert len(maxima) == taken + vectors - 1
