"""Line search: a step along a direction that meets the strong Wolfe conditions.

Nocedal and Wright, 2006, "Numerical optimization", algorithms 3.5 and 3.6, as one loop with one
evaluation in it. Both algorithms keep the best step so far, ``low``; as long as no minimum is
bracketed, the other end ``high`` is at infinity, and then what 3.6 does with a trial is what 3.5
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import nets.frontend.tensor.functions as functions
from nets.frontend.tracing.control_flow import while_loop
from nets.optimize.numbers import epsilon

_MARGIN: Final = 0.1
"""How near to an end of a bracket a trial may come, as a part of it."""

_ROUNDING: Final = 8
"""By so many units in the last place a value may exceed the first one and count as no higher."""


class Point(NamedTuple):
    """A step, the value there, and the slope along the direction."""

    step: Any
    value: Any
    slope: Any


class Found(NamedTuple):
    """The state of a search; at its end ``low`` is the step that was found."""

    low: Point
    high: Point
    gradient: Any
    """At ``low``."""
    trial: Any
    """The next step to try."""
    evaluations: Any
    done: Any


def search(
    evaluate: Callable[[Any], tuple[Any, Any]],
    x: Any,
    direction: Any,
    start: Point,
    gradient: Any,
    trial: Any,
    anyway: Any,
    limit: int,
    c1: float,
    c2: float,
) -> Found:
    """A step from ``x`` along a ``direction`` of descent, within ``limit`` evaluations; the first
    one ``anyway``, whatever is there.

    ``evaluate(x)`` gives the value and the gradient; ``start`` and ``gradient`` are those at ``x``,
    ``trial`` the first step to try. Where none meets the conditions, it is the best that was met;
    step 0 where none is lower. Values that are not finite count as too high.
    """

    def advance(s: Found) -> Found:
        value, slopes = evaluate(x + s.trial * direction)
        here = Point(s.trial, value, (slopes * direction).sum())
        is_lower = (value <= start.value + c1 * s.trial * start.slope) & (value < s.low.value)
        is_finite = functions.isfinite(value) & functions.isfinite(here.slope)
        is_lower = is_lower & is_finite
        is_flat = is_finite & (functions.abs(here.slope) <= -c2 * start.slope)
        done = anyway | (is_flat & (is_lower | (value <= start.value + _slack(start.value))))
        turns = here.slope * (s.high.step - s.low.step) >= 0
        low = _chosen(done | is_lower, here, s.low)
        high = _chosen(is_lower, _chosen(turns, s.low, s.high), here)
        return Found(
            low,
            high,
            functions.where(done | is_lower, slopes, s.gradient),
            _next(low, high),
            s.evaluations + 1,
            done,
        )

    infinite = functions.full_like(start.value, float("inf"))
    none = functions.zeros((), "int64")
    state = Found(start, Point(infinite, infinite, infinite), gradient, trial, none, none > 0)
    return while_loop(lambda s: (s.evaluations < limit) & ~s.done, advance, state)


def _slack(value: Any) -> Any:
    """What rounding may add to a value: near a minimum values tell no more, but slopes do (Hager
    and Zhang, 2005, "A new conjugate gradient method with guaranteed descent", 4.1)."""
    return _ROUNDING * epsilon(value) * functions.abs(value)


def _next(low: Point, high: Point) -> Any:
    """The minimum of the cubic through both ends, kept away from them (Nocedal and Wright, 3.59);
    twice the step where there is one end."""
    width = high.step - low.step
    d1 = low.slope + high.slope - 3 * (high.value - low.value) / width
    d2 = functions.sign(width) * functions.sqrt(d1 * d1 - low.slope * high.slope)
    part = 1 - (high.slope + d2 - d1) / (high.slope - low.slope + 2 * d2)
    part = functions.where(functions.isfinite(part), part, 0.5)
    inside = low.step + functions.clip(part, _MARGIN, 1 - _MARGIN) * width
    return functions.where(functions.isfinite(high.step), inside, 2 * low.step)


def _chosen(condition: Any, one: Point, other: Point) -> Point:
    return Point(*(functions.where(condition, a, b) for a, b in zip(one, other, strict=True)))
