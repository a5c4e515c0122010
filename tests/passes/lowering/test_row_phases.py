"""The phases of a row: what each pass over the elements feeds, stores and adds to."""

from __future__ import annotations

import pytest

from nets.ir.core import Value
from nets.passes.lowering.row_phases import levels_of, phases_of
from nets.passes.spaces.group import Group
from tests.passes.lowered import Program, cross_short_rows, tensor

SHAPE = (6, 20)


def spread(p: Program, row: Value) -> Value:
    return p.b.broadcast(row, SHAPE, (0,))


def group(p: Program, *outputs: Value) -> Group:
    ops = list(p.function.body)
    p.done(*outputs)
    return Group(ops, [(value, value) for value in outputs])


def test_a_softmax_has_three_phases() -> None:
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    largest = p.b.emit("reduce_max", x, axes=(1,))
    e = p.b.emit("exp", p.b.sub(x, spread(p, largest)))
    total = p.b.sum(e, (1,))
    out = p.b.div(e, spread(p, total))
    found = group(p, out)
    phases = phases_of(found)
    assert [[op.result for op in phase.reductions] for phase in phases] == [[largest], [total], []]
    # The exponentials are kept; they are wanted again, and computed at a price.
    assert [phase.stores for phase in phases] == [[], [e], [out]]
    assert [phase.level for phase in phases] == [0, 1, 2]
    levels = levels_of(found)
    assert [levels[value] for value in (largest, e, total, out)] == [1, 1, 2, 2]


def test_cheap_elements_are_computed_again() -> None:
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    mean = p.b.sum(x, (1,))
    centred = p.b.sub(x, spread(p, mean))
    variance = p.b.sum(p.b.mul(centred, centred), (1,))
    out = p.b.mul(centred, spread(p, variance))
    phases = phases_of(group(p, out))
    assert [phase.stores for phase in phases] == [[], [], [out]]


def test_reductions_that_wait_for_nothing_share_a_phase() -> None:
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    one, other = p.b.sum(x, (1,)), p.b.emit("reduce_max", p.b.neg(x), axes=(1,))
    early = p.b.neg(x)
    phases = phases_of(group(p, one, other, early))
    assert [[op.result for op in phase.reductions] for phase in phases] == [[one, other]]
    assert phases[0].stores == [early]


def test_totals_across_rows_wait_for_what_they_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    cross_short_rows(monkeypatch)
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    total = p.b.sum(x, (1,))
    share = p.b.div(x, spread(p, total))
    across, plain = p.b.sum(share, (0,)), p.b.sum(x, (0,))
    phases = phases_of(group(p, total, across, plain))
    assert [phase.level for phase in phases] == [0, 1]
    assert [[op.result for op in phase.across] for phase in phases] == [[], [across, plain]]


@pytest.mark.parametrize("is_stored", [False, True])
def test_totals_of_what_comes_before_the_last_phase(
    is_stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No phase that feeds a reduction takes them; a last one that only stores does."""
    cross_short_rows(monkeypatch)
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    total, across = p.b.sum(x, (1,)), p.b.sum(x, (0,))
    stored = [p.b.div(x, spread(p, total))] if is_stored else []
    phases = phases_of(group(p, total, across, *stored))
    assert len(phases) == 2
    assert [op.result for op in phases[1].across] == [across]
    assert phases[1].stores == stored


def test_totals_that_wait_longer_than_any_store(monkeypatch: pytest.MonkeyPatch) -> None:
    cross_short_rows(monkeypatch)
    p = Program(tensor(*SHAPE))
    (x,) = p.arguments
    total = p.b.sum(x, (1,))
    across = p.b.sum(p.b.div(x, spread(p, total)), (0,))
    early = p.b.neg(x)
    phases = phases_of(group(p, early, across, total))
    assert phases[0].stores == [early]
    assert [phase.level for phase in phases if phase.across] == [1]
