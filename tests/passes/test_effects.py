"""Prints come as often as the program says and in its order, whatever the passes do."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nets.backend.numpy import loop_interpreter
from nets.backend.numpy.interpreter import evaluate
from nets.ir.builder import Builder
from nets.ir.clone import clone_function
from nets.ir.core import Function, Value
from nets.ir.types import f32
from nets.ops.definition.registry import Array, lookup
from nets.passes.derivatives.vjp import carries_cotangent, split_vjp, value_and_vjp
from nets.passes.pipelines import LOOPS, OPTIMIZE
from nets.passes.simplify.effects import without_effects
from tests.machines import let_every_machine_have
from tests.passes.lowered import Program, operations, run_loops, run_passes, tensor
from tests.property.compiled import Way
from tests.property.programs import arguments, random_program
from tests.property.test_control_programs import Loop

PASSES = dict.fromkeys(OPTIMIZE)


def printed(run: Callable[..., object], *args: object) -> list[str]:
    """The lines a call prints."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        run(*args)
    return stream.getvalue().splitlines()


def with_prints(function: Function, seed: int) -> Function:
    """A copy with prints at random places, in loops and branches as well.

    They show shapes, so that rounding makes no difference, and look at values of every kind.
    """
    choose = random.Random(seed)
    copy = clone_function(function)
    number = 0
    for place in copy.programs():
        known: list[Value] = list(place.arguments)
        for op in list(place):
            for _ in range(choose.randrange(3)):
                values = choose.sample(known, min(len(known), choose.randrange(3)))
                fields = " ".join(f"{{{i}.shape}}" for i in range(len(values)))
                text = {"text": f"{number}: {fields}"}
                Builder(place, op).create(lookup("print"), values, text)
                number += 1
            known += op.results
    return copy


def check_every_way(function: Function, seed: int) -> list[str]:
    """The lines of the reference; all compiled forms must print the same."""
    arrays = arguments(function, np.random.default_rng(seed))
    lines = printed(evaluate, function, arrays)
    for name in PASSES:
        assert printed(evaluate, run_passes(function, name), arrays) == lines, name
    for before in (OPTIMIZE, ()):
        loops = run_passes(function, *before, *LOOPS)
        for backwards in (False, True):
            assert printed(run_loops, loops, arrays, backwards) == lines
    for way in (Way(threads=3), Way("none")):
        assert printed(way.compile(function), arrays) == lines
    return lines


@pytest.mark.parametrize("seed", range(700_000, 700_006))
@pytest.mark.sampled(3)
def test_random_programs(seed: int) -> None:
    function = with_prints(random_program(seed, 14), seed)
    assert check_every_way(function, seed)


@pytest.mark.parametrize("seed", range(710_000, 710_008))
@pytest.mark.sampled(3)
def test_random_loops_and_branches(seed: int) -> None:
    function = with_prints(Loop(seed, smooth=False).function(False), seed)
    assert check_every_way(function, seed)


def like(values: Sequence[Value], rng: np.random.Generator) -> list[Array]:
    """Random arrays of the types of the values."""
    found = [(rng.normal(size=v.type.static_shape), v.type.dtype.numpy) for v in values]
    return [np.asarray(array).astype(dtype) for array, dtype in found]


@pytest.mark.parametrize("seed", range(720_000, 720_005))
def test_derivatives_print_in_the_forward_half_only(seed: int) -> None:
    function = with_prints(Loop(seed, smooth=True).function(False), seed)
    rng = np.random.default_rng(seed)
    arrays = arguments(function, rng, special=False)
    cts = like(function.returned, rng)
    wrt = [x.index for x in function.arguments if carries_cotangent(x.type)]
    lines = printed(evaluate, function, arrays)
    whole = value_and_vjp(function, wrt)
    assert printed(evaluate, whole, [*arrays, *cts]) == lines
    assert printed(Way().compile(whole), [*arrays, *cts]) == lines
    split = split_vjp(function, wrt)
    assert printed(evaluate, split.forward, arrays) == lines
    assert not split.backward.has_effects
    again = value_and_vjp(whole, wrt)
    further = [*arrays, *cts, *like(whole.returned, rng)]
    assert printed(evaluate, again, further) == lines


def test_without_effects_nothing_is_printed_and_the_results_are_the_same() -> None:
    function = with_prints(Loop(710_003, smooth=False).function(False), 3)
    silent = without_effects(function)
    assert function.has_effects
    assert not silent.has_effects
    assert without_effects(silent) is silent
    arrays = arguments(function, np.random.default_rng(3))
    with contextlib.redirect_stdout(io.StringIO()):
        expected = evaluate(function, arrays)
    for x, y in zip(evaluate(silent, arrays), expected, strict=True):
        assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f")


# ----------------------------------------------------------------------- the passes one by one


def show(p: Program, text: str, *values: Value) -> None:
    p.b.builder.create(lookup("print"), values, {"text": text})


def check(function: Function, arrays: Sequence[Array], expected: list[str]) -> None:
    assert printed(evaluate, function, arrays) == expected
    loops = run_passes(function, *OPTIMIZE, *LOOPS)
    assert printed(run_loops, loops, arrays) == expected
    assert printed(Way().compile(function), arrays) == expected


def test_equal_prints_stay_two() -> None:
    p = Program(tensor())
    for _ in range(2):
        show(p, "{0}", p.arguments[0])
    check(p.done(p.arguments[0]), [np.float32(2)], ["2.0", "2.0"])


def test_a_print_in_memory_order_waits_for_the_one_before() -> None:
    """Where a print could free memory early, it still comes later than its predecessor."""
    p = Program(tensor(64, 64), tensor(8))
    x, y = p.arguments
    large = p.b.emit("exp", x)
    show(p, "first {0:.0f}", p.b.sum(y, (0,)))
    show(p, "second {0.shape}", large)
    arrays = [np.zeros((64, 64), "f"), np.zeros(8, "f")]
    check(p.done(x), arrays, ["first 0", "second (64, 64)"])


def test_prints_around_chains_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on a chain moves behind it, and so does every print after it."""
    let_every_machine_have(monkeypatch, kept_bytes=1)
    p = Program(tensor(8, 5, 6), tensor(8, 6, 7), tensor(3, dtype=f32))
    x, y, z = p.arguments
    one = p.b.emit("exp", p.b.emit("matmul", x, y))
    show(p, "one {0.shape}", one)
    show(p, "z {0.shape}", z)
    two = p.b.emit("matmul", p.b.add(one, one), p.b.transpose(y, (0, 2, 1)))
    show(p, "two {0.shape}", two)
    function = p.done(two)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=a.type.static_shape).astype("f") for a in function.arguments]
    check(function, arrays, ["one (8, 5, 7)", "z (3,)", "two (8, 5, 6)"])


def test_an_update_does_not_move_past_a_print() -> None:
    """In place: the old elements are printed, then the new ones, then the old ones' copy."""
    p = Program(tensor(5))
    (x,) = p.arguments
    new = p.b.add(x, x)
    show(p, "new {0}", new)
    show(p, "old {0}", x)
    function = p.done(new)
    function.attributes["in_place"] = ((0, 0),)
    loops = run_passes(function, *OPTIMIZE, *LOOPS)
    memory = np.arange(5, dtype="f")
    lines = printed(loop_interpreter.run, loops, [memory])
    assert lines == ["new [0. 2. 4. 6. 8.]", "old [0. 1. 2. 3. 4.]"]
    assert memory.tolist() == [0, 2, 4, 6, 8]


def test_a_print_is_in_no_parallel_loop() -> None:
    function = with_prints(Loop(710_001, smooth=False).function(False), 1)
    loops = run_passes(function, *OPTIMIZE, *LOOPS)
    assert operations(loops, "loop.print")
    for op in operations(loops, "loop.parallel"):
        assert not any(inner.name == "loop.print" for inner in op.walk_regions())
