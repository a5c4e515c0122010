"""Checkpointed loops: how often steps run again, and that nothing but time depends on the slots."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from math import comb
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.numpy.interpreter import evaluate
from nets.passes.derivatives.schedule import MOST_STEPS, Schedule

RNG = np.random.default_rng(7)
START = RNG.uniform(0.2, 0.9, 3)
SCALE = RNG.uniform(0.5, 0.9, 3)


def beta(slots: int, repetitions: int) -> int:
    return comb(slots + repetitions, slots) if repetitions >= 0 else 0


def fewest(steps: int, slots: int) -> int:
    """Steps to advance by the theorem of Griewank and Walther: r l − β(s + 1, r − 1)."""
    r = next(r for r in range(steps + 1) if beta(slots, r) >= steps)
    return r * steps - beta(slots + 1, r - 1)


@cache
def fewest_of_all(steps: int, slots: int) -> int:
    """The same by trying every split."""
    if steps <= 1:
        return 0
    if slots == 1:
        return steps * (steps - 1) // 2
    return min(
        k + fewest_of_all(steps - k, slots - 1) + fewest_of_all(k, slots) for k in range(1, steps)
    )


def needed(schedule: Schedule, steps: int) -> int:
    """Steps that a way back with this schedule advances, the first sweep up to its last state."""
    at = schedule.first(steps)
    return at[-1] + way_back(schedule, at, steps)


def way_back(schedule: Schedule, at: list[int], steps: int) -> int:
    """Steps that the way back advances, from states that are kept before the steps ``at``."""
    count = 0
    for t in reversed(range(steps)):
        here = at[-1]
        while t - here > 1 and len(at) < schedule.slots:
            k = schedule.split(t + 1 - here, schedule.slots + 1 - len(at))
            count, here = count + k, here + k
            at.append(here)
        count += t - here
        if at[-1] == t:
            at.pop()
    return count


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 8])
def test_the_schedule_is_the_best(slots: int) -> None:
    for steps in range(1, 60):
        found = needed(Schedule(slots, steps), steps)
        assert found == fewest_of_all(steps, slots) == fewest(steps, slots)


def test_the_schedule_of_many_steps() -> None:
    assert needed(Schedule(64, 100_000), 100_000) == fewest(100_000, 64)


# ----------------------------------------------------------------------------- programs


def scanned(steps: int, slots: int | None, reverse: bool = False) -> Callable[..., Any]:
    def loss(start: Any, scale: Any, rows: Any) -> Any:
        def step(state: Any, row: Any) -> Any:
            following = nets.sin(state * scale + row)
            return following, following * state

        last, stacked = nets.scan(step, start, rows, reverse=reverse, checkpoints=slots)
        return (last**2).sum() + (stacked * rows).sum()

    return loss


def repeated(steps: int, slots: int | None) -> Callable[..., Any]:
    """As many steps, of a loop that does not know it before."""

    def loss(start: Any, scale: Any, rows: Any) -> Any:
        if slots is None:
            last = nets.fori_loop(0, steps, lambda i, x: nets.sin(x * scale + 0.1), start)
        else:
            end = nets.sum(rows * 0).astype("int64") + steps
            _, last = nets.while_loop(
                lambda state: state[0] < end,
                lambda state: (state[0] + 1, nets.sin(state[1] * scale + 0.1)),
                (0, start),
                checkpoints=slots,
            )
        return (last**2).sum() + rows.sum() * 0

    return loss


def run(loss: Callable[..., Any], steps: int) -> tuple[list[bytes], int]:
    """The gradients, bit for bit, and how many sines it took."""
    rows = np.random.default_rng(steps).normal(size=(steps, 3)) * 0.1
    low = nets.grad(loss, argnums=(0, 1, 2)).lower(START, SCALE, rows)
    counted: Counter[str] = Counter()
    results = evaluate(
        low.program.function, [START, SCALE, rows], lambda op, _: counted.update([op.name])
    )
    return [x.tobytes() for x in results], counted["sin"]


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 31])
def test_a_scan_has_the_same_bits_with_any_number_of_slots(steps: int) -> None:
    for reverse in (False, True):
        expected, _ = run(scanned(steps, None, reverse), steps)
        for slots in (1, 2, 3, 5, 31, 40):
            found, sines = run(scanned(steps, slots, reverse), steps)
            assert found == expected, (steps, slots, reverse)
            if steps:  # advance, the rest of the first sweep, and each step with all its values
                first = Schedule(min(slots, steps), steps).first(steps)[-1]
                assert sines == fewest(steps, slots) + (steps - first) + steps


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 31])
def test_a_while_loop_has_the_bits_of_the_loop_of_as_many_steps(steps: int) -> None:
    expected, _ = run(repeated(steps, None), steps)
    for slots in (1, 2, 3, 5, 31, 40):
        found, sines = run(repeated(steps, slots), steps)
        assert found == expected, (steps, slots)
        if steps > 1 and slots > 1:
            r = next(r for r in range(steps) if beta(slots, r) >= steps)
            assert sines <= (r + 3) * steps


def kept(steps: int, slots: int) -> list[int]:
    """The states of Wang, Moin and Iaccarino, 2009: those of a lower level than a later one go."""
    states: list[tuple[int, float]] = []
    for step in range(steps):
        highest, out = -1.0, None
        for place in reversed(range(len(states))):
            if states[place][1] < highest:
                out = place
            highest = max(highest, states[place][1])
        level = 0.0 if states else math.inf
        if len(states) == slots and out is not None:
            states.pop(out)
        elif len(states) == slots:
            level = states.pop()[1] + 1
        states.append((step, level))
    return [step for step, _ in states]


@pytest.mark.parametrize("slots", [2, 3, 5, 8, 40])
def test_which_states_of_a_while_loop_stay(slots: int) -> None:
    for steps in (1, 2, 3, 4, 7, 12, 33):
        _, sines = run(repeated(steps, slots), steps)
        at = kept(steps, slots)
        assert sines == steps + way_back(Schedule(slots, MOST_STEPS), at, steps), steps


def test_a_step_of_a_while_loop_looks_at_as_few_states_of_many_as_of_few() -> None:
    elements = []
    for slots in (64, 1024):
        low = nets.grad(repeated(30, slots)).lower(START, SCALE, rows := np.ones((30, 3)))
        counted: Counter[str] = Counter()

        def observe(op: Any, results: Any, counted: Counter[str] = counted) -> None:
            if not op.regions and op.name not in ("constant", "broadcast", "dynamic_update_slice"):
                counted.update({op.name: sum(x.size for x in results)})

        evaluate(low.program.function, [START, SCALE, rows], observe)
        elements.append(counted)
    assert elements[0] == elements[1]


@pytest.mark.long
def test_a_long_while_loop_repeats_steps_few_times() -> None:
    """States that are kept without knowing the end are nearly as good as the best ones."""
    for steps, slots in ((200, 4), (311, 5), (400, 8)):
        expected, _ = run(repeated(steps, None), steps)
        found, sines = run(repeated(steps, slots), steps)
        assert found == expected
        assert sines <= 1.3 * (fewest(steps, slots) + 2 * steps)


def test_the_program_does_not_grow_with_the_steps() -> None:
    texts = []
    for steps in (1000, 100_000):
        rows = nets.spec(f"f64[{steps},3]")
        low = nets.grad(scanned(steps, 16), argnums=(0, 1)).lower(START, SCALE, rows)
        texts.append(str(low.program.function).count("\n"))
    assert texts[0] == texts[1]
