"""Systems: roots of as many equations as unknowns, by Newton's and Broyden's methods.

Both go along a direction that would be right if the function were linear, and come back from it
where the residuals do not get smaller (Dennis and Schnabel, 1983, "Numerical methods for
unconstrained optimization and nonlinear equations", 6.3). The first pass stands still and evaluates
the function at the start: so the program has it once, and its Jacobian once.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import nets.frontend.tensor.functions as functions
from nets.frontend.tracing.control_flow import cond, while_loop
from nets.linalg.systems import solution
from nets.optimize.equations import Equations
from nets.optimize.numbers import dot, epsilon, first_of, largest, norm

FOUND: Final = 0
STOPPED: Final = 1
STUCK: Final = 2
NOT_A_NUMBER: Final = 3

_GAIN: Final = 1e-4
"""By what part of the step the residuals must get smaller."""
_TRIALS: Final = 25
"""Lengths that are tried along one direction."""
_SHORT: Final = 0.1
"""Below this length a direction counts as a bad one, and Broyden's estimate as stale."""


class State(NamedTuple):
    """Where the iteration stands; at its end, what it has found."""

    x: Any
    residuals: Any
    size: Any
    """The length of the residuals, infinite before the first pass."""
    inverse: Any
    """Of Broyden's method: the estimate of the inverse Jacobian; None of Newton's."""
    is_stale: Any
    """Whether the estimate is to be made anew of the Jacobian."""
    nit: Any
    nfev: Any
    njev: Any
    status: Any


class _Trial(NamedTuple):
    length: Any
    residuals: Any
    count: Any
    done: Any


def solve(equations: Equations, is_broyden: bool, fatol: float, most: int) -> State:
    """Go from the start to where no residual is above ``fatol``, in ``most`` steps."""

    def advance(s: State) -> State:
        is_first = s.nit < 0
        inverse, direction = (_broyden if is_broyden else _newton)(equations, s)
        trial = _backtracked(equations, s, direction)
        step = functions.where(trial.done & ~is_first, trial.length * direction, 0.0)
        residuals = functions.where(trial.done, trial.residuals, s.residuals)
        fresh = s.is_stale & ~is_first
        uses_old = is_broyden & ~s.is_stale
        if is_broyden:
            inverse = _updated(inverse, step, residuals - s.residuals)
        size = largest(residuals)
        return State(
            s.x + step,
            residuals,
            functions.where(trial.done, norm(residuals), s.size),
            inverse,
            is_first | ~trial.done | (trial.length < _SHORT) if is_broyden else s.is_stale,
            s.nit + trial.done,
            s.nfev + trial.count,
            s.njev + fresh,
            first_of(
                (~functions.isfinite(size), NOT_A_NUMBER),
                (trial.done & (size <= fatol), FOUND),
                (~trial.done & ~uses_old, STUCK),
                (s.nit + 1 >= most, STOPPED),
            ),
        )

    x = equations.start
    count = functions.zeros((), "int64")
    size = equations.size
    first = State(
        x,
        functions.zeros(size, x.dtype),
        functions.full((), float("inf"), x.dtype),
        functions.zeros((size, size), x.dtype) if is_broyden else None,
        count == 0,
        *(count - 1, count, count, count - 1),
    )
    return while_loop(lambda s: s.status < 0, advance, first)


def _newton(equations: Equations, s: State) -> tuple[None, Any]:
    """The step to the root of the linear model (Nocedal and Wright, 2006, 11.1)."""

    def step() -> Any:
        jacobian = equations.jacobian(s.x, *equations.constant_args)
        right = functions.reshape(s.residuals, (-1, 1))
        return -functions.reshape(solution(jacobian, right), (-1,))

    return None, cond(s.nit < 0, lambda: functions.zeros_like(s.x), step)


def _broyden(equations: Equations, s: State) -> tuple[Any, Any]:
    """The same by the estimate, which is made of the Jacobian at the start, and again where it has
    led nowhere."""

    def made_anew() -> Any:
        jacobian = equations.jacobian(s.x, *equations.constant_args)
        return solution(jacobian, functions.eye(equations.size, dtype=s.x.dtype))

    inverse = cond(s.is_stale & (s.nit >= 0), made_anew, lambda: s.inverse)
    return inverse, -(inverse @ s.residuals)


def _updated(inverse: Any, step: Any, change: Any) -> Any:
    """Broyden's good update (Broyden, 1965, "A class of methods for solving nonlinear simultaneous
    equations"), of the inverse by Sherman and Morrison's formula."""
    image = inverse @ change
    along = dot(step, image)
    learns = functions.abs(along) > epsilon(step) * norm(step) * norm(image)
    over = functions.where(learns, 1 / along, 0.0)
    return inverse + functions.outer(over * (step - image), step @ inverse)


def _backtracked(equations: Equations, s: State, direction: Any) -> _Trial:
    """The first length along a direction at which the residuals are smaller by a part of it; in the
    first pass, the first length."""

    def advance(t: _Trial) -> _Trial:
        found = equations.residuals(s.x + t.length * direction, *equations.constant_args)
        size = norm(found)
        done = (s.nit < 0) | (size <= (1 - _GAIN * t.length) * s.size)
        # The minimum of the parabola through the square of the sizes, whose slope is known.
        ratio = size / s.size
        part = 1 / (ratio * ratio / t.length - 1 / t.length + 2)
        part = functions.where(functions.isfinite(part), functions.clip(part, 0.1, 0.5), 0.1)
        length = functions.where(done, t.length, part * t.length)
        return _Trial(length, found, t.count + 1, done)

    count = functions.zeros((), "int64")
    start = _Trial(functions.ones_like(s.size), s.residuals, count, count > 0)
    return while_loop(lambda t: (t.count < _TRIALS) & ~t.done, advance, start)
