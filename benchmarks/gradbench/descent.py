"""Gradient descent to the end, as particle and saddle want it, through which gradients go.

The step is halved where it leads upward and doubled after ten that led down; the search ends where
the gradient is short or the next point near.
"""

from __future__ import annotations

from functools import partial
from typing import Any

MODES = ("ff", "fr", "rf", "rr")
"""Of the outer and the inner derivative: forward or reverse."""

NEAR, FIRST_STEP, GOOD_STEPS = 1e-5, 1e-5, 10

CHECKPOINTS = 512
"""As many states of a loop as reverse mode keeps: all that there are."""


def modes_of(lib: Any, modes: str) -> list[tuple[Any, Any]]:
    """For each mode the transform, and the while_loop that it can follow."""
    ways = {
        "f": (lib.jacfwd, lib.while_loop),
        "r": (lib.grad, partial(lib.while_loop, checkpoints=CHECKPOINTS)),
    }
    return [ways[mode] for mode in modes]


def systems_with(modes: str) -> list[str]:
    """JAX has no while_loop that reverse mode can follow; PyTorch takes minutes for one search."""
    return ["nets", "jax"] if modes[0] == "f" else ["nets"]


def length(lib: Any, x: Any) -> Any:
    return lib.sqrt((x * x).sum())


def argmin(lib: Any, function: Any, gradient: Any, start: Any, loop: Any) -> Any:
    """The point that the search ends at."""

    def searching(state):
        _, _, slope, _, _, ended = state
        return (length(lib, slope) > NEAR) & ~ended

    def move(point, value, slope, step, good, after):
        found = function(after)
        return lib.cond(
            found < value,
            lambda: (after, found, gradient(after), step, good + 1),
            lambda: (point, value, slope, step / 2, good * 0),
        )

    def advance(state):
        point, value, slope, step, good, _ = state
        step = lib.where(good == GOOD_STEPS, step * 2, step)
        good = lib.where(good == GOOD_STEPS, good * 0, good)
        after = point - step * slope
        ended = length(lib, point - after) <= NEAR
        moved = lib.cond(
            ended,
            lambda: (point, value, slope, step, good),
            lambda: move(point, value, slope, step, good, after),
        )
        return (*moved, ended)

    first = function(start)
    step = first * 0 + FIRST_STEP
    state = (start, first, gradient(start), step, step * 0, first != first)
    return loop(searching, advance, state)[0]
