"""minimize: minima of scalar functions, with SciPy's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nets.errors import ArgumentError
from nets.ir.location import user_location
from nets.optimize import descent, trust_region
from nets.optimize.objective import Minimum, Objective
from nets.optimize.result import MinimizeResult
from nets.optimize.solver import solver
from nets.optimize.unknowns import (
    Unknowns,
    arguments,
    check_callable,
    known,
    options_of,
    refuse,
)

_METHODS: Final[dict[str, tuple[Any, Callable[[Any], Minimum]]]] = {
    "BFGS": (descent.BFGS, descent.descend),
    "L-BFGS": (descent.LBFGS, descent.descend),
    "L-BFGS-B": (descent.LBFGS, descent.descend),
    "Newton-CG": (descent.NewtonCG, descent.descend),
    "trust-ncg": (trust_region.TrustNCG, trust_region.descend),
}
"""By name, what has the options of a method, and what runs it."""


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str | None = None,
    jac: Callable[..., Any] | bool | None = None,
    hess: Callable[..., Any] | None = None,
    hessp: Callable[..., Any] | None = None,
    bounds: object = None,
    constraints: object = (),
    tol: float | None = None,
    callback: object = None,
    options: dict[str, Any] | None = None,
) -> MinimizeResult:
    """A local minimum of ``fun(x, *args)`` near ``x0``, as ``scipy.optimize.minimize`` finds it.

    ``x0`` is a nest of float32 or float64 tensors of any shapes, at least one element, one dtype;
    ``fun`` takes such a nest and gives a floating-point scalar. ``args``: a tuple of further nests.
    ``method`` (the source of each stands in its class in ``nets/optimize``):

    - ``"BFGS"``, the default: an n×n matrix, strong Wolfe line search. Options ``gtol`` (1e-5, of
      the largest magnitude in the gradient), ``maxiter`` (200 n), ``c1``, ``c2``, ``maxls``;
    - ``"L-BFGS"``, also by the name ``"L-BFGS-B"``: for many unknowns. ``maxcor`` (10), ``ftol``,
      ``gtol``, ``maxiter``, ``maxls``;
    - ``"Newton-CG"``: products with the Hessian. ``xtol`` (1e-5, of the mean step), ``maxiter``;
    - ``"trust-ncg"``: the same within trust regions. ``gtol`` (1e-4, of the gradient's length),
      ``maxiter``, ``initial_trust_radius``, ``max_trust_radius``, ``eta``.

    ``tol`` sets the tolerances of the method. ``jac``: a function that gives the gradient, a nest
    like ``x0``; True where ``fun`` gives the pair of value and gradient; by default it is
    ``nets.grad`` of ``fun``. ``hess(x, *args)`` gives what ``nets.hessian`` would, ``hessp(x, p,
    *args)`` its product with a nest p; by default it is that of ``nets.hvp``.

    Called outside a trace it is compiled once for ``fun`` (and ``jac``, ``hess``, ``hessp``) and
    the types of ``x0`` and ``args``. ``x``, ``fun`` and ``jac`` of the result have derivatives by
    ``args``, in both modes and to any order: those of the equation gradient = 0 at the ``x`` that
    was found, whatever ``status`` says (by conjugate gradients for more than 256 unknowns). Those
    by ``x0`` are zero; ``hess_inv`` is a constant. A value that ``fun`` closes over has none.

    A value or gradient at the start that is not finite ends it with status 3. ArgumentError for
    unknown methods and options, ``bounds``, ``constraints`` and ``callback``, and nests that do not
    fit; DTypeError for other dtypes of ``x0`` or the value, ShapeError where ``fun`` gives no
    scalar, or a derivative has another shape.
    """
    refuse("minimize", "its methods are for unbounded problems", bounds=bounds)
    refuse("minimize", "its methods are for free problems", constraints=constraints)
    refuse("minimize", "its loops are native code", callback=callback)
    check_callable(jac=None if isinstance(jac, bool) else jac, hess=hess, hessp=hessp)
    name = _method(method)
    kind, run = _METHODS[name]
    chosen = _options(name, tol, options)
    derivatives = jac or None, hess, hessp

    def solved(x0: Any, args: tuple[Any, ...]) -> MinimizeResult:
        objective = Objective(Unknowns("minimize", x0), fun, args, *derivatives)
        return _result(objective, args, run(kind(objective, chosen)))

    made = solver("minimize", (fun, *derivatives), (name, *chosen.values()), solved)
    found: MinimizeResult = made(x0, arguments(args))
    return found


def _method(method: Any) -> str:
    """The method of that name, whatever its capitals, as in SciPy."""
    wanted = "bfgs" if method is None else str(method).lower()
    for name in _METHODS:
        if name.lower() == wanted:
            return name
    raise ArgumentError(
        f"minimize has the methods {', '.join(_METHODS)}, not {method!r}", user_location()
    )


def _options(name: str, tol: float | None, options: Any) -> dict[str, Any]:
    kind, _ = _METHODS[name]
    given = {} if tol is None else dict.fromkeys(kind.tolerances, tol)
    chosen = options_of(name, options_of(name, kind.defaults, given), options)
    for text, holds in kind.bounds:
        if not holds(chosen):
            raise ArgumentError(f"the options of {name} are such that {text}", user_location())
    return chosen


def _result(objective: Objective, args: tuple[Any, ...], found: Minimum) -> MinimizeResult:
    unknowns = objective.unknowns
    x = unknowns.defined(objective.gradient, found.x, args, is_minimum=True)
    return MinimizeResult(
        x=unknowns.nest(x),
        fun=known(objective.value, found.value, x, *args),
        jac=unknowns.nest(found.gradient),
        status=found.status,
        nit=found.nit,
        nfev=found.nfev,
        njev=found.njev,
        nhev=found.nhev,
        hess_inv=found.inverse,
    )
