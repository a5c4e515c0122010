"""Updates: results in the place of arguments, by the loop interpreter and by native code."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nets.backend.numpy import loop_interpreter
from nets.errors import VerifyError
from nets.ir.core import Function, Operation, Value
from nets.ir.parser import parse_function
from nets.ir.types import i64
from nets.ops.definition.registry import Array, lookup
from nets.ops.loop.accesses import buffer_of, is_access, memory_of
from nets.passes.lowering.sink_updates import update_pairs
from nets.passes.pipelines import LOOPS, OPTIMIZE
from tests.backend.native import Native
from tests.passes.lowered import Program, operations, run_passes, tensor
from tests.property.programs import arguments, random_program
from tests.property.results import assert_matches

Build = Callable[[Program, Sequence[Value]], Sequence[Value]]


def made(build: Build, *types: object, in_place: Any) -> Function:
    p = Program(*types)  # type: ignore[arg-type]
    function = p.done(*build(p, p.arguments))
    function.attributes["in_place"] = tuple(in_place)
    return function


def loops_of(function: Function, *before: str) -> Function:
    return run_passes(function, *(before or OPTIMIZE), *LOOPS)


def call(loops: Function, arrays: Sequence[Array], native: bool) -> tuple[int, list[Array], list]:
    """Status, results in order, and the argument arrays afterwards."""
    pairs = dict(loops.attributes["in_place"])
    inputs = [np.array(x, order="C") for x in arrays]
    fresh = [np.zeros(a.type.shape, a.type.dtype.numpy) for a in loops.arguments[len(inputs) :]]
    buffers = [*inputs, *fresh]
    if native:
        status = Native(loops).call([x.ctypes.data for x in buffers])
    else:
        status = loop_interpreter.run(loops, buffers)
    rest = iter(fresh)
    count = len(fresh) + len(pairs)
    return status, [inputs[pairs[r]] if r in pairs else next(rest) for r in range(count)], inputs


def check(function: Function, arrays: Sequence[Array], *before: str) -> Function:
    """Compare with the reference; what is not in place must be as it was."""
    loops = loops_of(function, *before)
    updated = {argument for _, argument in function.attributes["in_place"]}
    for native in (False, True):
        status, found, inputs = call(loops, arrays, native)
        assert status == 0
        assert_matches(function, arrays, found)
        for i, (was, now) in enumerate(zip(arrays, inputs, strict=True)):
            assert i in updated or np.array_equal(was, now, equal_nan=True)
    return loops


A, B = np.arange(12, dtype="f").reshape(3, 4), np.linspace(-1, 2, 12, dtype="f").reshape(3, 4)
S = tensor(3, 4)


@pytest.mark.parametrize("before", [OPTIMIZE, ("dce",)], ids=["fused", "alone"])
@pytest.mark.parametrize(
    ("build", "in_place", "copies"),
    [
        (lambda p, x: [p.b.add(x[0], x[1])], [(0, 0)], 0),
        (lambda p, x: [p.b.add(x[0], x[1])], [(0, 1)], 0),
        # Read after the update in program order: the update comes later.
        (
            lambda p, x: [p.b.mul(x[0], x[1]), p.b.emit("reduce_sum", x[0], axes=(0, 1))],
            [(0, 0)],
            0,
        ),
        # The result is used as well.
        (
            lambda p, x: [y := p.b.mul(x[0], x[1]), p.b.emit("reduce_sum", y, axes=(0,))],
            [(0, 0)],
            None,
        ),
        (lambda p, x: [x[1], x[0]], [(0, 0), (1, 1)], 1),
        (lambda p, x: [x[0], p.b.add(x[0], x[1])], [(0, 0)], 0),
        (lambda p, x: [x[0], p.b.neg(x[0])], [(1, 0)], None),
        (lambda p, x: [p.b.emit("flip", x[0], axes=(1,))], [(0, 0)], 1),
        (
            lambda p, x: [
                p.b.reshape(p.b.add(p.b.reshape(x[0], (4, 3)), p.b.reshape(x[1], (4, 3))), (3, 4))
            ],
            [(0, 0)],
            None,
        ),
        (lambda p, x: [y := p.b.add(x[0], x[1]), p.b.sub(y, x[0])], [(0, 0), (1, 1)], None),
        (lambda p, x: [y := p.b.add(x[0], x[1]), y], [(0, 0), (1, 1)], None),
        (lambda p, x: [p.b.full((3, 4), 2, x[0].type.dtype)], [(0, 0)], 0),
    ],
)
@pytest.mark.sampled(5)
def test_updates(build: Build, in_place: Any, copies: int | None, before: tuple[str, ...]) -> None:
    loops = check(made(build, S, S, in_place=in_place), [A, B], *before)
    if copies is not None and before == OPTIMIZE:
        assert len(operations(loops, "loop.alloc")) == copies


def test_a_matrix_that_kernels_read_transposed_is_updated_in_place() -> None:
    def build(p: Program, x: Sequence[Value]) -> Sequence[Value]:
        w, g = x
        new = p.b.sub(w, g)
        return [new, p.b.emit("matmul", g, p.b.transpose(w, (1, 0)))]

    square = tensor(8, 8)
    arrays = [np.random.default_rng(i).normal(size=(8, 8)).astype("f") for i in range(2)]
    loops = check(made(build, square, square, in_place=[(0, 0)]), arrays)
    assert not operations(loops, "loop.alloc")


@pytest.mark.parametrize("is_early", [False, True])
def test_a_call_that_is_refused_changes_nothing(is_early: bool) -> None:
    def build(p: Program, x: Sequence[Value]) -> Sequence[Value]:
        table, places, total = x
        new = p.b.add(total, p.b.one(total))
        source = p.b.add(table, new) if is_early else table
        return [p.b.emit("gather", source, places, axis=0), new]

    function = made(build, tensor(5), tensor(3, dtype=i64), tensor(5), in_place=[(1, 2)])
    table, total = np.arange(5, dtype="f"), np.zeros(5, "f")
    check(function, [table, np.array([0, 4, 2]), total])
    loops = loops_of(function)
    assert len(operations(loops, "loop.stop")) == 1
    for native in (False, True):
        status, _, inputs = call(loops, [table, np.array([0, 5, 2]), total], native)
        assert status == 1
        assert np.array_equal(inputs[2], total)


LOOP = """
func @f(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) attributes {in_place = [[0, 0]]} {
  %0 = negative %x : tensor<4xf32>
  %1 = scan %0 {carries = 1, xs = 0, length = 3, reverse = false} (%c: tensor<4xf32>) {
    %2 = exp %c : tensor<4xf32>
    yield %2 : tensor<4xf32>
  } : tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}
"""


def test_an_update_that_a_loop_of_the_program_needs_waits_for_its_end() -> None:
    """A call that is interrupted in the loop leaves its arguments as they are."""
    function = parse_function(LOOP, lookup)
    loops = check(function, [np.arange(4, dtype="f")])
    x = loops.arguments[0]
    order = list(loops.body)
    stores = [
        place
        for place, outer in enumerate(order)
        for op in (outer, *outer.walk_regions())
        if is_access(op) and not op.results and memory_of(buffer_of(op)) is x
    ]
    repeated = [place for place, op in enumerate(order) if operations_of(op, "loop.math")]
    assert stores
    assert min(stores) > max(repeated)


def operations_of(op: Operation, name: str) -> list[Operation]:
    return [inner for inner in (op, *op.walk_regions()) if inner.name == name]


def test_random_programs() -> None:
    in_place = 0
    for seed in range(20):
        function = random_program(seed, random.Random(seed).choice((6, 12, 30)))
        pairs, taken = [], set()
        for r, value in enumerate(function.returned):
            for i, argument in enumerate(function.arguments):
                if argument.type == value.type and i not in taken:
                    pairs.append((r, i))
                    taken.add(i)
                    break
        if pairs:
            in_place += len(pairs)
            function.attributes["in_place"] = tuple(pairs)
            check(function, arguments(function, np.random.default_rng(seed)))
    assert in_place > 10


@pytest.mark.parametrize(
    "pairs", [[(0, 2)], [(1, 0)], [(0, 0), (0, 1)], [(0,)], [5], [("a", 0)], [(0, -1)]]
)
def test_pairs_that_are_none(pairs: object) -> None:
    function = made(lambda p, x: [p.b.add(*x)], S, S, in_place=pairs)
    with pytest.raises(VerifyError, match="no pair"):
        update_pairs(function)


def test_what_follows_the_last_reader_stays_behind_what_it_needs() -> None:
    def build(p: Program, values: Sequence[Value]) -> list[Value]:
        old, step = values
        new = p.b.sub(old, step)
        reader = p.b.mul(old, old)
        made_later = p.b.emit("matmul", step, step)
        return [new, reader, p.b.mul(new, made_later)]

    function = made(build, tensor(5, 5), tensor(5, 5), in_place=[(0, 0)])
    check(function, arguments(function, np.random.default_rng(0)), "dce")
