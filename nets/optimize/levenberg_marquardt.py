"""Levenberg–Marquardt: the smallest sum of squares, by steps between Gauss–Newton's and the
gradient's.

Marquardt, 1963, "An algorithm for least-squares estimation of nonlinear parameters", with the
damping of Nielsen, 1999, "Damping parameter in Marquardt's method" (Madsen, Nielsen and Tingleff,
2004, "Methods for non-linear least squares problems", algorithm 3.16), and the scaling of Moré,
1978, "The Levenberg–Marquardt algorithm: implementation and theory", section 6. Steps come from
orthogonal triangles, so that the condition of the Jacobian is not squared. The first pass stands
still and evaluates everything at the start: so the program has the function and its Jacobian once.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import nets.frontend.tensor.functions as functions
from nets.frontend.tracing.control_flow import cond, while_loop
from nets.optimize.dense import substituted, triangle
from nets.optimize.equations import Equations
from nets.optimize.numbers import dot, epsilon, first_of, largest, norm

NOT_A_NUMBER: Final = -1
STOPPED: Final = 0
GTOL: Final = 1
FTOL: Final = 2
XTOL: Final = 3
BOTH: Final = 4

_DAMPING: Final = 1e-3
"""Of the first step, as a part of the squares of the scales."""


class _Linear(NamedTuple):
    """The residuals about a point, to first order."""

    jacobian: Any
    triangle: Any
    """Of the Jacobian, and beside it the residuals as they are then: (n, n + 1)."""
    gradient: Any
    scales: Any
    """How far a unit of each unknown reaches."""


class State(NamedTuple):
    """Where the iteration stands; at its end, what it has found."""

    x: Any
    residuals: Any
    cost: Any
    linear: _Linear
    damping: Any
    growth: Any
    """By what the damping grows where a step is refused."""
    nfev: Any
    njev: Any
    status: Any


def smallest(
    equations: Equations, ftol: float, xtol: float, gtol: float, most: int, scaled: bool
) -> State:
    """Go down to the least sum of squares from the start, in ``most`` evaluations."""
    args = equations.constant_args

    def advance(s: State) -> State:
        is_first = s.nfev == 0
        step = functions.where(is_first, 0.0, _step(s.linear, s.damping))
        x = s.x + step
        residuals = equations.residuals(x, *args)
        cost = 0.5 * dot(residuals, residuals)
        ratio = _ratio(s, step, cost)
        accepts = is_first | (ratio > 0)
        linear = cond(
            accepts,
            lambda: _linear(equations, x, residuals, s.linear.scales, scaled),
            lambda: s.linear,
        )
        size = largest(linear.gradient)
        less = (s.cost - cost <= ftol * s.cost) & (ratio > 0.25) & ~is_first
        near = (norm(step) <= xtol * (xtol + norm(s.x))) & ~is_first
        cost = functions.where(accepts, cost, s.cost)
        # (1 − (2 ratio − 1)³) is 2 for no gain at all, and below 1 for more than half of it.
        eased = s.damping * functions.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3)
        eased = functions.maximum(functions.where(is_first, s.damping, eased), epsilon(x) ** 2)
        return State(
            functions.where(accepts, x, s.x),
            functions.where(accepts, residuals, s.residuals),
            cost,
            linear,
            functions.where(accepts, eased, s.damping * s.growth),
            functions.where(accepts, 2.0, 2 * s.growth),
            s.nfev + 1,
            s.njev + accepts,
            first_of(
                (~(functions.isfinite(cost) & functions.isfinite(size)), NOT_A_NUMBER),
                (accepts & (size <= gtol), GTOL),
                (less & near, BOTH),
                (less, FTOL),
                (near, XTOL),
                (s.nfev + 1 >= most, STOPPED),
                otherwise=_RUNNING,
            ),
        )

    return while_loop(lambda s: s.status == _RUNNING, advance, _start(equations))


_RUNNING: Final = -2


def _start(equations: Equations) -> State:
    x, (rows, columns) = equations.start, (equations.count, equations.size)
    count = functions.zeros((), "int64")
    flat = _Linear(
        functions.zeros((rows, columns), x.dtype),
        functions.zeros((columns, columns + 1), x.dtype),
        functions.zeros_like(x),
        functions.zeros_like(x),
    )
    return State(
        x,
        functions.zeros(rows, x.dtype),
        functions.full((), float("inf"), x.dtype),
        flat,
        functions.full((), _DAMPING, x.dtype),
        functions.full((), 2.0, x.dtype),
        *(count, count, count + _RUNNING),
    )


def _linear(equations: Equations, x: Any, residuals: Any, scales: Any, scaled: bool) -> _Linear:
    jacobian = equations.jacobian(x, *equations.constant_args)
    size = equations.size
    beside = functions.concatenate([jacobian, functions.reshape(residuals, (-1, 1))], axis=1)
    columns = functions.sqrt((jacobian * jacobian).sum(axis=0))
    reached = functions.maximum(scales, columns) if scaled else functions.ones_like(scales)
    return _Linear(jacobian, triangle(beside, size)[:size], residuals @ jacobian, reached)


def _step(linear: _Linear, damping: Any) -> Any:
    """The least |J step + residuals|² + damping |scales · step|², from the triangle of J."""
    size = linear.scales.shape[0]
    weights = functions.sqrt(damping) * functions.where(linear.scales > 0, linear.scales, 1.0)
    below = functions.concatenate(
        [
            functions.eye(size, dtype=weights.dtype) * weights,
            functions.zeros((size, 1), weights.dtype),
        ],
        axis=1,
    )
    rows = triangle(functions.concatenate([linear.triangle, below]), size)[:size]
    return -functions.reshape(substituted(rows[:, :size], rows[:, size:]), (-1,))


def _ratio(s: State, step: Any, cost: Any) -> Any:
    """The decrease of the cost by that of its model; −1 where the cost is not finite."""
    scales = functions.where(s.linear.scales > 0, s.linear.scales, 1.0)
    predicted = 0.5 * dot(step, s.damping * scales * scales * step - s.linear.gradient)
    ratio = (s.cost - cost) / predicted
    return functions.where(functions.isfinite(cost) & (predicted > 0), ratio, -1.0)
