"""Whose memory a result may take: what is read later, twice, elsewhere or in another order."""

from __future__ import annotations

from nets.ir.affine import Affine
from nets.ir.core import Value
from nets.ir.types import BufferType, ScalarType, TensorType, f32, i64, index
from nets.passes.lowering.element_builder import Accesses
from nets.passes.lowering.in_place import (
    behind_views,
    in_one_place,
    last_readers,
    may_replace,
    outdated_by,
)
from tests.passes.lowered import Program, tensor

HERE = (Affine.of(Value(ScalarType(index), None, 0)),)
THERE = (HERE[0] + 1,)
OLD = Value(BufferType((8,), f32), None, 0)
RESULT = Value(TensorType((8,), f32), None, 0)


def accesses(*notes: tuple[str, int, tuple[Affine, ...]]) -> Accesses:
    """Loads of the old tensor and stores of the result, each in a body at an index, in order;
    ``over`` says at which index a body runs over the elements."""
    found = Accesses()
    for what, body, place in notes:
        found.body = body
        if what == "load":
            found.note_load(OLD, place)
        elif what == "store":
            found.stores.append((RESULT, place, body))
        else:
            found.places[body] = place
    return found


def test_a_load_before_the_store_in_one_iteration() -> None:
    assert may_replace(accesses(("load", 1, HERE), ("store", 1, HERE)), OLD, RESULT)
    assert not may_replace(accesses(("store", 1, HERE), ("load", 1, HERE)), OLD, RESULT)
    assert not may_replace(accesses(("load", 1, THERE), ("store", 1, HERE)), OLD, RESULT)


def test_a_load_in_an_earlier_loop_over_the_same_elements() -> None:
    store = ("store", 2, HERE)
    assert may_replace(accesses(("over", 1, HERE), ("load", 1, HERE), store), OLD, RESULT)
    # Iteration by iteration the other loop is ahead or behind.
    assert not may_replace(accesses(("over", 1, HERE), ("load", 1, THERE), store), OLD, RESULT)
    assert not may_replace(accesses(("load", 1, HERE), store), OLD, RESULT)


def test_a_load_in_a_later_loop() -> None:
    notes = ("over", 2, HERE), ("store", 1, HERE), ("load", 2, HERE)
    assert not may_replace(accesses(*notes), OLD, RESULT)


def test_every_load_counts_and_what_is_not_stored_replaces_nothing() -> None:
    notes = ("load", 1, HERE), ("store", 1, HERE)
    assert not may_replace(accesses(*notes, ("load", 1, HERE)), OLD, RESULT)
    assert not may_replace(accesses(("load", 1, HERE)), OLD, RESULT)


# --------------------------------------------------------------------------------- kernels


def scattered(p: Program, x: Value, updates: Value) -> Value:
    return p.b.emit("scatter_add", x, p.arguments[1], updates, axis=0)


def program() -> Program:
    return Program(tensor(5), tensor(5, dtype=i64), tensor(5))


def old_of(p: Program, value: Value) -> Value | None:
    return outdated_by(value, last_readers(p.function.body))


def test_a_kernel_that_changes_some_elements_takes_the_place_of_its_operand() -> None:
    p = program()
    x, _, y = p.arguments
    made = p.b.neg(x)
    first = scattered(p, made, y)
    second = scattered(p, first, y)
    p.done(second)
    assert old_of(p, second) is first
    assert in_one_place(second, last_readers(p.function.body)) == [second, first, made]


def test_not_where_something_reads_the_operand_later() -> None:
    p = program()
    x, _, y = p.arguments
    made = p.b.neg(x)
    found = scattered(p, made, y)
    p.done(found, p.b.emit("exp", made))
    assert old_of(p, found) is None
    assert in_one_place(found, last_readers(p.function.body)) == [found]


def test_not_where_it_reads_the_operand_twice() -> None:
    p = program()
    made = p.b.neg(p.arguments[0])
    found = scattered(p, made, made)
    p.done(found)
    assert old_of(p, found) is None


def test_not_where_it_reads_it_once_more_through_a_view() -> None:
    p = program()
    made = p.b.neg(p.arguments[0])
    view = p.b.reshape(p.b.reshape(made, (1, 5)), (5,))
    assert behind_views(view) is made
    found = scattered(p, made, view)
    p.done(found)
    assert old_of(p, found) is None


def test_the_operand_of_a_view_is_what_the_view_shows() -> None:
    p = program()
    x, _, y = p.arguments
    made = p.b.neg(p.b.reshape(x, (1, 5)))
    found = scattered(p, p.b.reshape(made, (5,)), y)
    p.done(found)
    assert old_of(p, found) is made


def test_what_changes_no_operand_replaces_none() -> None:
    p = program()
    found = p.b.neg(p.b.neg(p.arguments[0]))
    p.done(found)
    assert old_of(p, found) is None
