"""memory_order: what frees more memory than it takes comes at once, all else in program order."""

import numpy as np
import pytest

from nets.ir.core import Value
from nets.ir.types import DType, f64, i8, i16, i32
from nets.passes.fusion.fusion_groups import Groups
from nets.passes.fusion.memory_order import in_memory_order
from tests.passes.lowered import Program, tensor


def order(p: Program, *results: Value, moves: tuple[Value, ...] = ()) -> list[str]:
    """The hints of what the nodes compute in memory order; ``moves`` stand in no node."""
    function = p.done(*results)
    behind = {value: value.operation for value in moves if value.operation is not None}
    groups = Groups(behind)
    nodes = [
        groups.add(op, position, None)
        for position, op in enumerate(function.body)
        if op not in behind.values()
    ]
    ordered = in_memory_order(nodes, groups)
    assert sorted(map(id, ordered)) == sorted(map(id, nodes))
    ops = [op for node in ordered for op in node.ops]
    assert ops[-1].name == "return"
    return [op.result.hint or op.name for op in ops[:-1]]


def named(hint: str, value: Value) -> Value:
    value.hint = hint
    return value


def program(*shapes: tuple[int, ...]) -> Program:
    return Program(*(tensor(*shape) for shape in shapes))


def test_a_step_follows_its_gradient() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    steps = [named(f"new {i}", p.b.sub(v, ct)) for i, v, ct in ((0, x, first), (1, y, second))]
    assert order(p, *steps) == ["of x", "new 0", "of y", "new 1"]


def test_what_takes_as_much_as_it_frees_stays() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    third = named("later", p.b.neg(first))
    total = named("total", p.b.add(third, second))
    assert order(p, total) == ["of x", "of y", "later", "total"]


@pytest.mark.parametrize(
    ("dtype", "is_early"), [(i8, True), (i16, True), (i32, False), (f64, False)], ids=str
)
def test_bytes_decide(dtype: DType, is_early: bool) -> None:
    """A vector of f32 dies; one of a dtype is made, and read afterwards."""
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    made = named("made", p.b.cast(first, dtype))
    read = named("read", p.b.neg(made))
    made_and_read = ["made", "read"]
    expected = [*made_and_read, "of y"] if is_early else ["of y", *made_and_read]
    assert order(p, read, second) == ["of x", *expected]


def test_what_others_still_read_does_not_die() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    low = named("low", p.b.emit("reduce_min", first, axes=(0,)))
    other = named("other", p.b.emit("reduce_max", second, axes=(0,)))
    high = named("high", p.b.emit("reduce_max", first, axes=(0,)))
    assert order(p, low, other, high) == ["of x", "of y", "other", "low", "high"]


def test_two_reads_by_one_node_are_one_reader() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    square = named("square", p.b.mul(first, first))
    assert order(p, square, second) == ["of x", "square", "of y"]


@pytest.mark.parametrize("is_argument", [True, False])
def test_arguments_and_constants_do_not_die(is_argument: bool) -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    table = p.b.emit("constant", value=np.arange(8, dtype=np.float32))
    first = named("of x", p.b.emit("exp", x))
    second = named("of y", p.b.emit("exp", y))
    step = named("step", p.b.sub(x if is_argument else table, first))
    late = named("late", p.b.neg(first))
    assert order(p, step, second, late)[1:] == ["of x", "of y", "step", "late"]


def test_results_do_not_die() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    total = named("total", p.b.sum(first, (0,)))
    assert order(p, first, second, total) == ["of x", "of y", "total"]


def test_what_waits_for_others_does_not_come_before_them() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    third = named("third", p.b.neg(y))
    both = named("both", p.b.add(first, second))
    assert order(p, both, third) == ["of x", "of y", "both", "third"]


def test_a_step_brings_what_it_frees_in_turn() -> None:
    """A chain of ever smaller values runs to its end, in the order of the program."""
    p = program((4, 8), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    rows = named("rows", p.b.sum(first, (0,)))
    total = named("total", p.b.sum(rows, (0,)))
    assert order(p, total, second) == ["of x", "rows", "total", "of y"]


def test_of_several_users_the_first_one_comes_first() -> None:
    """Both free something of their own with what they wait for."""
    p = program((8,), (8,))
    x, y = p.arguments
    one, other = named("one", p.b.emit("exp", x)), named("other", p.b.neg(x))
    last, late = named("last", p.b.emit("exp", y)), named("late", p.b.neg(y))
    first, second = named("first", p.b.mul(one, last)), named("second", p.b.mul(other, last))
    assert order(p, first, second, late) == ["one", "other", "last", "first", "second", "late"]


@pytest.mark.parametrize("is_move", [True, False])
def test_views_are_read_where_they_look(is_move: bool) -> None:
    p = program((2, 4), (8,))
    x, y = p.arguments
    first = named("of x", p.b.emit("exp", x))
    view = named("view", p.b.reshape(first, (4, 2)))
    again = named("view", p.b.reshape(view, (8,)))
    second = named("of y", p.b.emit("exp", y))
    step = named("step", p.b.sub(y, again))
    found = order(p, step, second, moves=(view, again) if is_move else ())
    assert [name for name in found if name != "view"] == ["of x", "step", "of y"]


def test_views_do_not_die() -> None:
    """What others read stays, when a view of a view of it is read for the last time."""
    p = program((2, 4), (8,))
    x, y = p.arguments
    first = named("of x", p.b.emit("exp", x))
    again = p.b.reshape(p.b.reshape(first, (4, 2)), (8,))
    second = named("of y", p.b.emit("exp", y))
    step, other = named("step", p.b.sub(y, again)), named("other", p.b.neg(first))
    found = [name for name in order(p, step, second, other) if name != "reshape"]
    assert found == ["of x", "of y", "step", "other"]


def test_reads_through_index_changes_count() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first, second = named("of x", p.b.emit("exp", x)), named("of y", p.b.emit("exp", y))
    turned = p.b.emit("flip", first, axes=(0,))
    step = named("step", p.b.sub(y, turned))
    assert order(p, step, second, moves=(turned,)) == ["of x", "step", "of y"]


def test_what_nobody_reads_takes_nothing() -> None:
    p = program((8,), (8,))
    x, y = p.arguments
    first = named("of x", p.b.emit("exp", x))
    second = named("of y", p.b.emit("exp", y))
    named("unused", p.b.neg(first))
    assert order(p, second) == ["of x", "unused", "of y"]
