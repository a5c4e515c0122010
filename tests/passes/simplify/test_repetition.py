"""repetition: which stretches of a program repeat themselves, and how values are passed on."""

from collections.abc import Callable

import numpy as np
import pytest

from nets.ir.core import Operation, Value
from nets.ir.location import Location
from nets.ir.types import f64
from nets.passes.simplify.repetition import (
    Made,
    Repetitions,
    RowOf,
    Same,
    Source,
    Stretch,
    best_phase,
    row_of,
    stretches,
    varying,
)
from tests.passes.lowered import Program, tensor


class Unrolled(Program):
    """A program of f64; ``ops`` are its operations."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__(*(tensor(*shape, dtype=f64) for shape in shapes or ((3,), (3,))))

    @property
    def ops(self) -> list[Operation]:
        return list(self.function.body)

    def slice(self, x: Value, start: int, stop: int, step: int = 1) -> Value:
        """Along the first axis."""
        shape = x.type.shape
        return self.b.emit(
            "slice",
            x,
            starts=(start,) + (0,) * (len(shape) - 1),
            stops=(stop, *shape[1:]),
            steps=(step,) + (1,) * (len(shape) - 1),
        )

    def row(self, x: Value, number: int) -> Value:
        return self.b.reshape(self.slice(x, number, number + 1), x.type.shape[1:])


def longest(p: Unrolled, period: int, count: int, start: int = 0) -> tuple[int, int, list[Source]]:
    return Repetitions(p.ops, Stretch(start, period, count)).longest()


# ------------------------------------------------------------------------------ stretches


def chain(steps: int, before: int = 0, after: int = 0) -> Unrolled:
    """Two operations in each step, between others."""
    p = Unrolled()
    x, w = p.arguments
    for _ in range(before):
        x = p.b.emit("tanh", x)
    for _ in range(steps):
        x = p.b.mul(p.b.emit("sin", x), w)
    for _ in range(after):
        x = p.b.neg(x)
    return p


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (3, 2)])
def test_a_stretch_is_found_where_it_is(before: int, after: int) -> None:
    assert stretches(chain(5, before, after).ops, 4)[0] == Stretch(before, 2, 5)


def test_fewer_repetitions_are_none() -> None:
    assert stretches(chain(4).ops, 4)[0].count == 4
    assert stretches(chain(3).ops, 4) == []
    assert stretches(chain(3).ops, 3)[0] == Stretch(0, 2, 3)
    assert stretches([], 2) == []


def test_parts_of_a_repetition_do_not_count() -> None:
    """Where the next one breaks off in the middle."""
    p = chain(4)
    p.b.emit("sin", p.ops[-1].result)
    assert stretches(p.ops, 4)[0] == Stretch(0, 2, 4)
    assert Stretch(0, 2, 4).stop == 8


def test_longer_stretches_come_first() -> None:
    p = chain(4, before=6)
    found = stretches(p.ops, 2)
    assert found[:2] == [Stretch(6, 2, 4), Stretch(0, 1, 6)]
    assert [it.stop - it.start for it in found] == sorted(
        (it.stop - it.start for it in found), reverse=True
    )


def test_joined_repetitions_leave_the_odd_one() -> None:
    assert Stretch(3, 2, 7).joined(3) == Stretch(3, 6, 2)


def pair(first: Callable[[Unrolled], object], second: Callable[[Unrolled], object]) -> bool:
    """Whether these two operations, one after the other, are repetitions."""
    p = Unrolled((8, 3), (4, 3))
    made: list[Operation] = []
    for emit in (first, second):
        emit(p)
        made.append(p.ops[-1])
    return bool(stretches(made, 2))


def test_operations_are_repetitions_but_for_what_they_read() -> None:
    assert pair(lambda p: p.b.neg(p.arguments[0]), lambda p: p.b.neg(p.ops[0].result))
    assert not pair(lambda p: p.b.neg(p.arguments[0]), lambda p: p.b.neg(p.arguments[1]))
    assert not pair(lambda p: p.b.neg(p.arguments[0]), lambda p: p.b.emit("exp", p.arguments[0]))


def test_attributes_are_the_same() -> None:
    assert pair(*(lambda p: p.b.emit("flip", p.arguments[0], axes=(0,)),) * 2)
    assert not pair(
        lambda p: p.b.emit("flip", p.arguments[0], axes=(0,)),
        lambda p: p.b.emit("flip", p.arguments[0], axes=(1,)),
    )


def test_windows_may_move_but_not_with_steps() -> None:
    assert pair(*(lambda p, i=i: p.slice(p.arguments[0], i, i + 2) for i in (0, 1)))
    assert not pair(*(lambda p, i=i: p.slice(p.arguments[0], i, i + 4, 2) for i in (0, 1)))
    assert not pair(*(lambda p, i=i: p.slice(p.arguments[0], 0, 2 + i) for i in (0, 1)))


@pytest.mark.parametrize(("size", "expected"), [(512, True), (513, False)])
def test_numbers_may_change_in_small_tables(size: int, expected: bool) -> None:
    """Of at most 4096 bytes; large ones are repetitions only of themselves."""
    tables = np.zeros(size), np.ones(size)
    assert pair(*(lambda p, it=it: p.b.emit("constant", value=it) for it in tables)) == expected
    assert pair(*(lambda p: p.b.emit("constant", value=tables[0]),) * 2)


def test_pads_may_move() -> None:
    def pad(p: Unrolled, low: int) -> None:
        zero = p.b.constant(0, f64)
        p.b.emit("pad", p.arguments[0], zero, low=(low, 0), high=(2 - low, 0))

    assert pair(lambda p: pad(p, 0), lambda p: pad(p, 2))


def test_what_may_fail_names_its_own_line() -> None:
    def taken(place: Location) -> Callable[[Unrolled], object]:
        def emit(p: Unrolled) -> None:
            p.b.builder.location = None
            numbers = p.b.emit("constant", value=np.array([1, 2]))
            p.b.builder.location = place
            p.b.emit("gather", p.arguments[0], numbers, axis=0)

        return emit

    here, there = Location("f.py", 3), Location("f.py", 4)
    assert pair(taken(here), taken(here))
    assert not pair(taken(here), taken(there))


def test_which_attributes_may_change() -> None:
    p = Unrolled((8, 3))
    (x,) = p.arguments
    cases = {
        p.slice(x, 0, 2): ("starts", "stops"),
        p.slice(x, 0, 4, 2): (),
        p.b.constant(1, f64): ("value",),
        p.b.emit("constant", value=np.zeros(600)): (),
        p.b.neg(x): (),
    }
    for value, expected in cases.items():
        assert value.operation is not None
        assert varying(value.operation) == expected


# ------------------------------------------------------------------------------------ rows


def test_a_row_is_a_reshape_of_a_slice() -> None:
    p = Unrolled((8, 3), (4,))
    x, y = p.arguments
    assert row_of(p.row(x, 5)) == (x, 5)
    assert row_of(p.row(y, 2)) == (y, 2)


def test_what_is_no_row() -> None:
    p = Unrolled((8, 3), (8, 2, 3))
    x, y = p.arguments
    part = p.b.emit("slice", x, starts=(2, 0), stops=(3, 2), steps=(1, 1))
    late = p.b.emit("slice", x, starts=(2, 1), stops=(3, 3), steps=(1, 1))
    assert row_of(x) is None
    assert row_of(p.slice(x, 2, 3)) is None
    assert row_of(p.b.reshape(x, (24,))) is None
    assert row_of(p.b.reshape(p.b.neg(x), (24,))) is None
    assert row_of(p.b.reshape(p.slice(x, 2, 4), (6,))) is None
    assert row_of(p.b.reshape(part, (2,))) is None
    assert row_of(p.b.reshape(late, (2,))) is None
    assert row_of(p.b.reshape(p.slice(x, 2, 3), (3, 1))) is None
    assert row_of(p.b.reshape(p.slice(y, 2, 3), (6,))) is None
    turned = p.b.emit("slice", y, starts=(2, 0, 0), stops=(3, 2, 3), steps=(1, 1, 2))
    assert row_of(p.b.reshape(turned, (2, 2))) is None


# ----------------------------------------------------------------------------------- phase


def test_the_cut_is_where_the_fewest_values_pass() -> None:
    """Two values live in the middle of a step, one between steps."""
    p = Unrolled()
    x, _ = p.arguments
    for _ in range(6):
        x = p.b.add(p.b.emit("sin", x), p.b.emit("cos", x))
    whole = Stretch(0, 3, 6)
    assert best_phase(p.ops, whole) == whole
    assert best_phase(p.ops, Stretch(1, 3, 5)) == Stretch(3, 3, 4)
    assert best_phase(p.ops, Stretch(2, 3, 5)) == Stretch(3, 3, 4)


def test_what_passes_several_repetitions_passes_all_cuts() -> None:
    p = Unrolled()
    a, b = p.arguments
    for _ in range(6):
        a, b = b, p.b.mul(p.b.emit("sin", a), b)
    assert best_phase(p.ops, Stretch(0, 2, 6)) == Stretch(0, 2, 6)
    assert best_phase(p.ops, Stretch(1, 2, 5)) == Stretch(2, 2, 4)


# --------------------------------------------------------------------------------- sources


def test_sources_of_a_chain() -> None:
    p = chain(5)
    w = p.arguments[1]
    assert longest(p, 2, 5) == (0, 5, [Made(1, 0, 1), Made(0, 0, 0), Same(w)])
    assert longest(chain(5, before=1), 2, 5, start=1)[:2] == (0, 5)


@pytest.mark.parametrize("step", [1, 2, -1, -2])
def test_rows_move_by_a_step(step: int) -> None:
    p = Unrolled((12, 3), (3,))
    x, h = p.arguments
    first = 1 if step > 0 else 10
    values = [p.row(x, first + step * i) for i in range(4)]
    start = len(p.ops)
    for value in values:
        h = p.b.add(h, value)
    assert longest(p, 1, 4, start) == (0, 4, [Made(0, 0, 1), RowOf(x, first, step)])


def test_rows_count_from_the_first_repetition() -> None:
    """Also where the first ones are no part of the loop."""
    p = Unrolled((12, 3), (3,))
    x, h = p.arguments
    values = [p.row(x, i) for i in (9, 3, 4, 5, 6)]
    start = len(p.ops)
    for value in values:
        h = p.b.add(h, value)
    assert longest(p, 1, 5, start) == (1, 5, [Made(0, 0, 1), RowOf(x, 2, 1)])


def test_rows_that_jump_end_a_loop() -> None:
    p = Unrolled((12, 3), (3,))
    x, h = p.arguments
    values = [p.row(x, i) for i in (0, 1, 2, 4, 5, 6, 7, 9)]
    start = len(p.ops)
    for value in values:
        h = p.b.add(h, value)
    assert longest(p, 1, 8, start)[:2] == (3, 7)


def test_rows_of_several_stacks_are_no_rows_of_one() -> None:
    p = Unrolled((12, 3), (12, 3), (3,))
    x, y, h = p.arguments
    values = [p.row((x, y)[i % 2], i) for i in range(4)]
    start = len(p.ops)
    for value in values:
        h = p.b.add(h, value)
    assert longest(p, 1, 4, start) == (0, 0, [])


def test_one_value_from_outside_is_the_same_and_others_are_not() -> None:
    p = Unrolled((3,), (3,), (3,))
    h, v, w = p.arguments
    for value in (v, v, w, w, w, v):
        h = p.b.add(h, value)
    assert longest(p, 1, 6) == (2, 5, [Made(0, 0, 1), Same(w)])


def test_values_from_further_back_end_a_loop() -> None:
    """From the repetition before, then from three before, which the first steps must have."""
    p = Unrolled()
    a, b = p.arguments
    made = [p.b.add(a, b)]
    for back in (1, 1, 1, 3, 3, 3, 3, 3, 1):
        made.append(p.b.add(made[-1], made[-back]))
    assert longest(p, 1, 10) == (6, 9, [Made(0, 0, 1), Made(0, 0, 3)])


def test_what_lies_two_back_must_be_made_before() -> None:
    p = Unrolled()
    a, b = p.arguments
    for _ in range(7):
        a, b = b, p.b.mul(p.b.emit("sin", a), b)
    first, stop, sources = longest(p, 2, 7)
    assert sources == [Made(1, 0, 2), Made(0, 0, 0), Made(1, 0, 1)]
    assert stop == 7
    assert first >= 2


def test_a_first_step_with_two_starts_is_left_out() -> None:
    """Later steps read one value twice; the first one reads two."""
    p = Unrolled((3,), (3,))
    h, v = p.arguments
    h = p.b.add(h, v)
    for _ in range(5):
        h = p.b.add(h, h)
    assert longest(p, 1, 6) == (1, 6, [Made(0, 0, 1), Made(0, 0, 1)])


def test_a_first_step_that_reads_what_it_makes_nowhere_is_left_out() -> None:
    """Later steps read what they make; the first one something from outside."""
    p = Unrolled((3,), (3,))
    h, v = p.arguments
    read = v
    for _ in range(5):
        made = p.b.emit("sin", h)
        h = p.b.add(made, read if read is v else made)
        read = made
    assert longest(p, 2, 5)[:2] == (1, 5)


def test_what_is_the_same_must_be_there_before_the_loop() -> None:
    """A value of a repetition that all later ones use."""
    p = Unrolled((3,), (3,))
    h, v = p.arguments
    made = [p.b.mul(h, v)]
    made.append(p.b.mul(made[-1], v))
    kept = made[-1]
    for _ in range(6):
        made.append(p.b.mul(made[-1], kept))
    first, stop, sources = longest(p, 1, 8)
    assert (first, stop) == (2, 8)
    assert sources == [Made(0, 0, 1), Same(kept)]


def test_what_is_the_same_may_be_made_in_the_first_repetition() -> None:
    """Which makes it for itself, and is left out."""
    p = Unrolled((3,))
    (h,) = p.arguments
    made: list[Value] = []
    for number in range(6):
        made.append(p.b.emit("sin", h))
        h = p.b.mul(made[-1], made[min(number, 1)])
    assert longest(p, 2, 6) == (2, 6, [Made(1, 0, 1), Made(0, 0, 0), Same(made[1])])


def test_the_parts_of_a_stretch() -> None:
    p = chain(5, before=1)
    found = Repetitions(p.ops, Stretch(1, 2, 5))
    assert list(found.step(2)) == p.ops[5:7]
    assert found.operands(2) == [p.ops[4].result, p.ops[5].result, p.arguments[1]]
    assert found.makes(p.ops[1].result)
    assert not found.makes(p.ops[0].result)
    assert not found.makes(p.arguments[0])
