"""Descent: steps along directions that a line search ends: BFGS, L-BFGS and Newton-CG.

One loop for all of them. A method says what it remembers, the direction it makes of that, and what
it learns of a step. The first pass stands still, on a gradient that is zero, and evaluates the
function at the start: so the program has it once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import nets.frontend.tensor.functions as functions
from nets.frontend.tracing.control_flow import fori_loop, while_loop
from nets.optimize import conjugate_gradients
from nets.optimize.line_search import Point, search
from nets.optimize.numbers import dot, epsilon, first_of, largest, norm
from nets.optimize.objective import Minimum, Objective

CONVERGED: Final = 0
STOPPED: Final = 1
STUCK: Final = 2
NOT_A_NUMBER: Final = 3


Bounds = tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...]


class Method:
    """A way to choose directions; ``options`` are those of the user."""

    defaults: dict[str, Any] = {"gtol": 1e-5, "maxiter": None, "c1": 1e-4, "c2": 0.9, "maxls": 25}
    tolerances: tuple[str, ...] = ("gtol",)
    """What ``tol`` sets."""
    bounds: Bounds = (("0 < c1 < c2 < 1", lambda o: 0 < o["c1"] < o["c2"] < 1),)
    """What must hold of the options."""
    has_products = False
    """Whether it computes products with the Hessian."""

    def __init__(self, objective: Objective, options: dict[str, Any]) -> None:
        self.objective, self.options = objective, options

    def start(self, x: Any) -> Any:
        """What is remembered at first."""
        raise NotImplementedError

    def direction(self, memory: Any, x: Any, gradient: Any) -> tuple[Any, Any]:
        """Where to go, and how many products with the Hessian that took."""
        raise NotImplementedError

    def learn(self, memory: Any, step: Any, change: Any) -> Any:
        """What is remembered after a step, and a change of the gradient."""
        return memory

    def inverse(self, memory: Any) -> Any:
        """The estimate of the inverse Hessian, where it has one."""
        return None

    def length(self, memory: Any, gradient: Any) -> Any:
        """The first length to try along the direction."""
        return functions.ones((), gradient.dtype)

    def is_there(self, gradient: Any, step: Any, before: Any, value: Any) -> Any:
        """Whether the solution was reached by that step."""
        return largest(gradient) <= self.options["gtol"]


class _State(NamedTuple):
    x: Any
    value: Any
    gradient: Any
    memory: Any
    nit: Any
    """Steps; −1 before the first pass."""
    nfev: Any
    nhev: Any
    status: Any


def descend(method: Method) -> Minimum:
    """Go down from the start until the method is there."""
    objective, options = method.objective, method.options
    most = objective.most_steps(options["maxiter"])

    def advance(s: _State) -> _State:
        direction, products = method.direction(s.memory, s.x, s.gradient)
        slope = dot(direction, s.gradient)
        direction = functions.where(slope < 0, direction, -s.gradient)
        start = Point(functions.zeros_like(s.value), s.value, dot(direction, s.gradient))
        is_first = s.nit < 0
        found = search(
            objective.value_and_gradient,
            s.x,
            direction,
            start,
            s.gradient,
            method.length(s.memory, s.gradient),
            is_first,
            max(1, options["maxls"]),
            options["c1"],
            options["c2"],
        )
        value, gradient = found.low.value, found.gradient
        moves = found.low.step > 0
        step = functions.where(moves, found.low.step * direction, 0.0)
        there = method.is_there(gradient, step, s.value, value)
        status = first_of(
            (~(functions.isfinite(value) & functions.isfinite(largest(gradient))), NOT_A_NUMBER),
            (there & moves, CONVERGED),
            (~moves, STUCK),
            (s.nit + 1 >= most, STOPPED),
        )
        return _State(
            s.x + step,
            value,
            gradient,
            method.learn(s.memory, step, gradient - s.gradient),
            s.nit + moves,
            s.nfev + found.evaluations,
            s.nhev + products,
            status,
        )

    x = objective.start
    count = functions.zeros((), "int64")
    unknown = functions.full((), float("inf"), x.dtype)
    first = _State(
        *(x, unknown, functions.zeros_like(x), method.start(x)),
        *(count - 1, count, count, count - 1),
    )
    last = while_loop(lambda s: s.status < 0, advance, first)
    return Minimum(
        *(last.x, last.value, last.gradient, last.status, last.nit, last.nfev, last.nfev),
        *(last.nhev if method.has_products else None, method.inverse(last.memory)),
    )


# --------------------------------------------------------------------------------- methods


class _Inverse(NamedTuple):
    """An estimate of the inverse Hessian, and how many steps it has learnt from."""

    inverse: Any
    count: Any


class BFGS(Method):
    """The inverse Hessian by updates of rank two (Nocedal and Wright, 2006, 6.17), the first one of
    a multiple of the identity (6.20)."""

    def start(self, x: Any) -> _Inverse:
        return _Inverse(functions.eye(self.objective.size, dtype=x.dtype), _none())

    def direction(self, memory: _Inverse, x: Any, gradient: Any) -> tuple[Any, Any]:
        return -(memory.inverse @ gradient), _none()

    def inverse(self, memory: _Inverse) -> Any:
        return memory.inverse

    def length(self, memory: _Inverse, gradient: Any) -> Any:
        return _first_length(memory.count, gradient)

    def learn(self, memory: _Inverse, step: Any, change: Any) -> _Inverse:
        along = dot(step, change)
        learns = _is_curved(step, change)
        scale = functions.where((memory.count == 0) & learns, along / dot(change, change), 1.0)
        image = scale * (memory.inverse @ change)
        over = functions.where(learns, 1 / along, 0.0)
        # (I − s yᵀ/ys) H (I − y sᵀ/ys) + s sᵀ/ys, multiplied out.
        side = over * (0.5 * (1 + over * dot(change, image)) * step - image)
        added = functions.outer(step, side) + functions.outer(side, step)
        return _Inverse(scale * memory.inverse + added, memory.count + learns)


class _Pairs(NamedTuple):
    """The latest steps and changes of the gradient, in a ring of rows."""

    steps: Any
    changes: Any
    over: Any
    """One over the product of both; 0 in empty rows, which so tell nothing."""
    scale: Any
    count: Any


class LBFGS(Method):
    """The inverse Hessian by the latest ``maxcor`` steps: Liu and Nocedal, 1989, "On the limited
    memory BFGS method"; Nocedal and Wright, 2006, algorithms 7.4 and 7.5."""

    defaults = {
        "maxcor": 10,
        "ftol": 2.220446049250313e-09,
        "gtol": 1e-5,
        "maxiter": 15000,
        "maxls": 20,
        "c1": 1e-4,
        "c2": 0.9,
    }
    tolerances = ("ftol", "gtol")

    def start(self, x: Any) -> _Pairs:
        kept = max(1, self.options["maxcor"])
        rows = functions.zeros((kept, self.objective.size), x.dtype)
        one = functions.ones((), x.dtype)
        return _Pairs(rows, rows, functions.zeros(kept, x.dtype), one, _none())

    def direction(self, memory: _Pairs, x: Any, gradient: Any) -> tuple[Any, Any]:
        kept = memory.over.shape[0]

        def back(i: Any, state: Any) -> Any:
            rest, parts = state
            k = (memory.count + (2 * kept - 1) - i) % kept
            part = functions.take(memory.over, k) * dot(functions.take(memory.steps, k, 0), rest)
            rest = rest - part * functions.take(memory.changes, k, 0)
            return rest, functions.dynamic_update_slice(parts, part[None], k[None])

        def forth(i: Any, result: Any) -> Any:
            k = (memory.count + i) % kept
            own = functions.take(memory.over, k) * dot(functions.take(memory.changes, k, 0), result)
            return result + (functions.take(parts, k) - own) * functions.take(memory.steps, k, 0)

        rest, parts = fori_loop(0, kept, back, (gradient, functions.zeros_like(memory.over)))
        return -fori_loop(0, kept, forth, memory.scale * rest), _none()

    def length(self, memory: _Pairs, gradient: Any) -> Any:
        return _first_length(memory.count, gradient)

    def learn(self, memory: _Pairs, step: Any, change: Any) -> _Pairs:
        along, learns = dot(step, change), _is_curved(step, change)
        k = memory.count % memory.over.shape[0]

        def put(rows: Any, new: Any) -> Any:
            at = functions.stack([k, 0 * k]) if rows.ndim == 2 else k[None]
            old = functions.take(rows, k, 0)
            return functions.dynamic_update_slice(rows, functions.where(learns, new, old)[None], at)

        return _Pairs(
            put(memory.steps, step),
            put(memory.changes, change),
            put(memory.over, 1 / along),
            functions.where(learns, along / dot(change, change), memory.scale),
            memory.count + learns,
        )

    def is_there(self, gradient: Any, step: Any, before: Any, value: Any) -> Any:
        sizes = functions.maximum(functions.abs(before), functions.abs(value))
        less = before - value <= self.options["ftol"] * functions.maximum(sizes, 1.0)
        less = less & functions.isfinite(before)
        return super().is_there(gradient, step, before, value) | less


class NewtonCG(Method):
    """Newton's method by products with the Hessian: line search Newton–CG (Nocedal and Wright,
    2006, algorithm 7.1)."""

    defaults = {"xtol": 1e-5, "maxiter": None, "c1": 1e-4, "c2": 0.9, "maxls": 25}
    tolerances = ("xtol",)
    has_products = True

    def start(self, x: Any) -> None:
        return None

    def direction(self, memory: None, x: Any, gradient: Any) -> tuple[Any, Any]:
        found = conjugate_gradients.minimum(lambda p: self.objective.product(x, p), gradient)
        return found.step, found.products

    def is_there(self, gradient: Any, step: Any, before: Any, value: Any) -> Any:
        is_short = functions.abs(step).sum() <= self.options["xtol"] * self.objective.size
        return (is_short & functions.isfinite(before)) | (largest(gradient) == 0)


def _none() -> Any:
    return functions.zeros((), "int64")


def _first_length(count: Any, gradient: Any) -> Any:
    """1, but as long as nothing is known of the curvature, of a step no longer than 1."""
    size = norm(gradient)
    return functions.where((count > 0) | ~(size > 1), 1.0, 1 / size)


def _is_curved(step: Any, change: Any) -> Any:
    """Whether a step tells of a positive curvature, above rounding."""
    return dot(step, change) > epsilon(step) * norm(step) * norm(change)
