"""Trust regions: steps to the minimum of a quadratic model, no longer than the model is good.

Nocedal and Wright, 2006, "Numerical optimization", algorithm 4.1, with the model's minimum by
Steihaug's conjugate gradients. The first pass stands still, on a gradient that is zero, and
evaluates the function at the start: so the program has it once.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import nets.frontend.tensor.functions as functions
from nets.frontend.tracing.control_flow import while_loop
from nets.optimize import conjugate_gradients
from nets.optimize.descent import CONVERGED, NOT_A_NUMBER, STOPPED, STUCK, Bounds
from nets.optimize.numbers import dot, epsilon, first_of, norm
from nets.optimize.objective import Minimum, Objective

_ROUNDING: Final = 10
"""Changes of the value below so many units in its last place say nothing of the model."""


class TrustNCG:
    """``trust-ncg`` of a function."""

    defaults: dict[str, Any] = {
        "gtol": 1e-4,
        "maxiter": None,
        "initial_trust_radius": 1.0,
        "max_trust_radius": 1000.0,
        "eta": 0.15,
    }
    tolerances = ("gtol",)
    bounds: Bounds = (
        ("eta < 0.25", lambda o: o["eta"] < 0.25),
        (
            "0 < initial_trust_radius < max_trust_radius",
            lambda o: 0 < o["initial_trust_radius"] < o["max_trust_radius"],
        ),
    )

    def __init__(self, objective: Objective, options: dict[str, Any]) -> None:
        self.objective, self.options = objective, options


class _State(NamedTuple):
    x: Any
    value: Any
    gradient: Any
    radius: Any
    nit: Any
    """Steps; −1 before the first pass."""
    njev: Any
    nhev: Any
    status: Any


def descend(method: TrustNCG) -> Minimum:
    """Go down from the start until the gradient is small."""
    objective, options = method.objective, method.options
    most = objective.most_steps(options["maxiter"])

    def advance(s: _State) -> _State:
        model = conjugate_gradients.minimum(
            lambda p: objective.product(s.x, p), s.gradient, s.radius
        )
        value, gradient = objective.value_and_gradient(s.x + model.step)
        predicted = -0.5 * dot(model.step, s.gradient + model.residual)
        is_first = s.nit < 0
        ratio = _ratio(s.value, value, predicted)
        accepts = is_first | ((ratio > options["eta"]) & (predicted > 0))
        value = functions.where(accepts, value, s.value)
        gradient = functions.where(accepts, gradient, s.gradient)
        size = norm(gradient)
        status = first_of(
            (~(functions.isfinite(value) & functions.isfinite(size)), NOT_A_NUMBER),
            (accepts & (size <= options["gtol"]), CONVERGED),
            (~is_first & ~(predicted > 0), STUCK),
            (s.nit + 1 >= most, STOPPED),
        )
        return _State(
            functions.where(accepts, s.x + model.step, s.x),
            value,
            gradient,
            _radius(s.radius, ratio, model.on_border, options["max_trust_radius"]),
            s.nit + 1,
            s.njev + accepts,
            s.nhev + model.products,
            status,
        )

    x = objective.start
    count = functions.zeros((), "int64")
    last = while_loop(
        lambda s: s.status < 0,
        advance,
        _State(
            *(x, functions.full((), float("inf"), x.dtype), functions.zeros_like(x)),
            functions.full((), options["initial_trust_radius"], x.dtype),
            *(count - 1, count, count, count - 1),
        ),
    )
    return Minimum(
        *(last.x, last.value, last.gradient, last.status),
        *(last.nit, last.nit + 1, last.njev, last.nhev),
    )


def _ratio(before: Any, value: Any, predicted: Any) -> Any:
    """The decrease of the function by that of the model; 1 where both are below rounding (Conn,
    Gould and Toint, 2000, "Trust-region methods", 17.4.2), and −1 where the value is not finite."""
    rounding = _ROUNDING * epsilon(value) * functions.abs(before)
    is_small = (functions.abs(before - value) <= rounding) & (predicted <= rounding)
    ratio = functions.where(is_small, 1.0, (before - value) / predicted)
    return functions.where(functions.isfinite(value), ratio, -1.0)


def _radius(radius: Any, ratio: Any, on_border: Any, most: float) -> Any:
    larger = functions.where(
        (ratio > 0.75) & on_border, functions.minimum(2 * radius, most), radius
    )
    return functions.where(ratio < 0.25, 0.25 * radius, larger)
