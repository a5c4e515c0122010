"""Conjugate gradients: the minimum of a quadratic model, from products with its matrix alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import nets.frontend.tensor.functions as functions
from nets.frontend.tracing.control_flow import while_loop
from nets.optimize.numbers import dot, norm

_PER_UNKNOWN: Final = 20
"""Steps per unknown after which it ends, as in SciPy: rounding may keep it from its tolerance."""


class Model(NamedTuple):
    """The state of the iteration; at its end ``step`` is the step that was found."""

    step: Any
    residual: Any
    """The gradient of the model at ``step``."""
    direction: Any
    products: Any
    on_border: Any
    """Whether the step ends where the radius or the curvature does not let it go on."""
    done: Any


def minimum(product: Callable[[Any], Any], gradient: Any, radius: Any = None) -> Model:
    """The step that about minimises gradient·p + p·product(p)/2, a symmetric matrix.

    With a ``radius``, no longer than that: Steihaug, 1983, "The conjugate gradient method and trust
    regions in large scale optimization"; Nocedal and Wright, 2006, algorithm 7.2. Without, it
    ends before a direction of negative curvature, which only the first may be: their algorithm 7.1.
    The residual gets smaller than min(1/2, √|g|) |g|, for superlinear convergence.
    """
    first = norm(gradient)
    enough = functions.minimum(0.5, functions.sqrt(first)) * first
    most = _PER_UNKNOWN * gradient.shape[0]

    def advance(s: Model) -> Model:
        image = product(s.direction)
        curvature, before = dot(s.direction, image), dot(s.residual, s.residual)
        full = before / curvature
        border = _to_border(s, radius)
        stops = curvature <= 0
        if radius is not None:
            stops = stops | (norm(s.step + full * s.direction) >= radius)
        length = functions.where(stops, border, full)
        step, residual = s.step + length * s.direction, s.residual + length * image
        after = dot(residual, residual)
        count = s.products + 1
        done = stops | (functions.sqrt(after) <= enough) | (count >= most)
        direction = after / before * s.direction - residual
        return Model(step, residual, direction, count, stops, done)

    none = functions.zeros((), "int64")
    at_once = ~(first > 0)  # a gradient that is not a number ends it, too
    start = Model(functions.zeros_like(gradient), gradient, -gradient, none, none > 0, at_once)
    return while_loop(lambda s: ~s.done, advance, start)


def _to_border(s: Model, radius: Any) -> Any:
    """How far to go along the direction where the model does not say: to the border; without one,
    not at all, or along the first direction as it is."""
    if radius is None:
        return functions.astype(s.products == 0, s.step.dtype)
    along, length = dot(s.step, s.direction), dot(s.direction, s.direction)
    rest = radius * radius - dot(s.step, s.step)
    # The root of |step + t direction| = radius without cancellation, for along is not negative.
    return rest / (along + functions.sqrt(along * along + length * rest))
