"""least_squares: nonlinear least squares, with SciPy's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nets.errors import ArgumentError, ShapeError
from nets.ir.location import user_location
from nets.optimize.equations import Equations
from nets.optimize.levenberg_marquardt import State, smallest
from nets.optimize.numbers import dot, largest
from nets.optimize.result import LeastSquaresResult
from nets.optimize.solver import solver
from nets.optimize.unknowns import (
    Unknowns,
    arguments,
    check_callable,
    known,
    options_of,
    refuse,
)


def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    jac: Callable[..., Any] | None = None,
    bounds: object = None,
    method: str = "lm",
    ftol: float = 1e-8,
    xtol: float = 1e-8,
    gtol: float = 1e-8,
    x_scale: float | str | None = None,
    loss: str = "linear",
    max_nfev: int | None = None,
    args: Any = (),
) -> LeastSquaresResult:
    """A local minimum of half the sum of squares of ``fun(x, *args)``, as
    ``scipy.optimize.least_squares`` finds it with ``method="lm"``: Levenberg–Marquardt, with
    Nielsen's damping and Moré's scaling (``nets/optimize/levenberg_marquardt.py``).

    ``x0`` is a nest of float32 or float64 tensors of any shapes, one dtype; ``fun`` takes such a
    nest and gives one of floating-point tensors, with as many elements as ``x0`` at least.
    ``args``: a tuple of further nests. ``jac(x, *args)`` gives what ``nets.jacobian`` of ``fun``
    would, which is the default.

    It ends where the largest magnitude in the gradient is at most ``gtol``, the cost falls by no
    more than ``ftol`` times itself, or the step is at most ``xtol`` times the length of x; after
    ``max_nfev`` evaluations (100 n) at last. ``x_scale``: "jac" (the default) measures steps by the
    longest columns that the Jacobian has had, 1.0 as they are.

    Compiled, kept and differentiated as in ``minimize``: ``x``, ``fun``, ``cost``, ``jac``,
    ``grad`` and ``optimality`` have derivatives by ``args``, those of the equation gradient = 0.

    ``bounds``, and a ``loss`` other than "linear", are refused. Status −1 where residuals or
    Jacobian at the start are not finite. ArgumentError for other methods and losses, ``bounds`` and
    nests that do not fit; ShapeError for fewer residuals than unknowns and derivatives of another
    shape; DTypeError for dtypes that are not floating-point.
    """
    refuse("least_squares", "Levenberg–Marquardt is for unbounded problems", bounds=bounds)
    _check_choice("method", method, ("lm",))
    _check_choice("loss", loss, ("linear",))
    _check_choice("x_scale", x_scale, ("jac", 1.0, None))
    check_callable(jac=jac)
    defaults = {"ftol": 1e-8, "xtol": 1e-8, "gtol": 1e-8, "max_nfev": None}
    given = {"ftol": ftol, "xtol": xtol, "gtol": gtol, "max_nfev": max_nfev}
    chosen = options_of("least_squares", defaults, given)

    def solved(x0: Any, args: tuple[Any, ...]) -> LeastSquaresResult:
        equations = Equations(Unknowns("least_squares", x0), fun, args, jac)
        if equations.count < equations.size:
            raise ShapeError(
                f"least_squares needs as many residuals as unknowns, which are {equations.size}; "
                f"the function returns {equations.count}",
                user_location(),
            )
        most = 100 * equations.size if chosen["max_nfev"] is None else chosen["max_nfev"]
        tolerances = (chosen["ftol"], chosen["xtol"], chosen["gtol"])
        return _result(equations, smallest(equations, *tolerances, most, x_scale != 1.0))

    made = solver("least_squares", (fun, jac), (x_scale, *chosen.values()), solved)
    found: LeastSquaresResult = made(x0, arguments(args))
    return found


def _check_choice(name: str, given: object, only: tuple[object, ...]) -> None:
    if given not in only:
        choices = " or ".join(repr(x) for x in only if x is not None)
        raise ArgumentError(
            f"the {name} of least_squares is {choices}, not {given!r}", user_location()
        )


def _result(equations: Equations, found: State) -> LeastSquaresResult:
    unknowns, args = equations.unknowns, equations.args
    x = unknowns.defined(equations.gradient, found.x, args, is_minimum=True)
    residuals = known(equations.residuals, found.residuals, x, *args)
    jacobian = known(equations.jacobian, found.linear.jacobian, x, *args)
    gradient = residuals @ jacobian
    return LeastSquaresResult(
        x=unknowns.nest(x),
        cost=0.5 * dot(residuals, residuals),
        fun=equations.nest(residuals),
        jac=jacobian,
        grad=unknowns.nest(gradient),
        optimality=largest(gradient),
        status=found.status,
        nfev=found.nfev,
        njev=found.njev,
    )
