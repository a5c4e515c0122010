"""root: solutions of systems of equations, with SciPy's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

import nets.frontend.tensor.functions as functions
from nets.errors import ArgumentError, ShapeError
from nets.ir.location import user_location
from nets.optimize import levenberg_marquardt, systems
from nets.optimize.equations import Equations
from nets.optimize.numbers import epsilon, first_of, largest
from nets.optimize.result import RootResult
from nets.optimize.solver import solver
from nets.optimize.systems import FOUND, NOT_A_NUMBER, STOPPED, STUCK
from nets.optimize.unknowns import (
    Unknowns,
    arguments,
    check_callable,
    options_of,
    refuse,
)

METHODS: Final = ("newton", "broyden1", "lm")


def root(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str = "newton",
    jac: Callable[..., Any] | bool | None = None,
    tol: float | None = None,
    callback: object = None,
    options: dict[str, Any] | None = None,
) -> RootResult:
    """A solution of ``fun(x, *args) = 0`` near ``x0``, as ``scipy.optimize.root`` finds it.

    ``x0`` is a nest of float32 or float64 tensors of any shapes, one dtype; ``fun`` takes such a
    nest and gives one of floating-point tensors with as many elements. ``args``: a tuple of further
    nests. ``method``:

    - ``"newton"``, the default (of SciPy's, "hybr" is nearest): Newton's method with a line search;
    - ``"broyden1"``: Broyden's good method with a line search. It begins with the Jacobian at
      ``x0``, and takes one again only where it has come to nothing;
    - ``"lm"``: Levenberg–Marquardt, as ``least_squares``. It gets on where the Jacobian is
      singular.

    Options: ``fatol``, which ``tol`` sets: no residual is above it in magnitude at the end (by
    default the rounding unit to the power 2/3: 3.7e-11 in float64, 2.4e-5 in float32);
    ``maxiter``, steps (100 (n + 1)). ``jac(x, *args)`` gives what ``nets.jacobian`` of ``fun``
    would, which is the default; True where ``fun`` gives the pair of residuals and Jacobian.

    Compiled, kept and differentiated as in ``minimize``: ``x`` has the derivatives of the equation
    by ``args``, and those of ``fun``, which stays zero, are zero.

    Status 3 where residuals at the start are not finite. ArgumentError for unknown methods and
    options, ``callback``, and nests that do not fit; ShapeError for another number of residuals
    than of unknowns and a Jacobian of another shape; DTypeError for dtypes that are not
    floating-point.
    """
    refuse("root", "its loops are native code", callback=callback)
    if method not in METHODS:
        raise ArgumentError(
            f"root has the methods {', '.join(METHODS)}, not {method!r}", user_location()
        )
    check_callable(jac=None if isinstance(jac, bool) else jac)
    chosen = options_of(method, {"fatol": 0.0, "maxiter": None}, options)
    if tol is not None:
        chosen |= options_of("root", {"fatol": 0.0}, {"fatol": tol})

    def solved(x0: Any, args: tuple[Any, ...]) -> RootResult:
        equations = Equations(Unknowns("root", x0), fun, args, jac or None)
        if equations.count != equations.size:
            raise ShapeError(
                f"root needs as many equations as unknowns, which are {equations.size}; the "
                f"function returns {equations.count} residuals",
                user_location(),
            )
        return _run(equations, method, chosen["fatol"], chosen["maxiter"])

    made = solver("root", (fun, jac or None), (method, *chosen.values()), solved)
    found: RootResult = made(x0, arguments(args))
    return found


def _run(equations: Equations, method: str, fatol: float, maxiter: int | None) -> RootResult:
    unknowns = equations.unknowns
    fatol = fatol or epsilon(equations.start) ** (2 / 3)
    most = 100 * (equations.size + 1) if maxiter is None else maxiter
    find = _by_squares if method == "lm" else systems.solve
    found = find(equations, method == "broyden1", fatol, most)
    x = unknowns.defined(equations.residuals, found.x, equations.args)
    return RootResult(
        x=unknowns.nest(x),
        fun=equations.nest(functions.stop_gradient(found.residuals)),
        status=found.status,
        nit=found.nit,
        nfev=found.nfev,
        njev=found.njev,
    )


def _by_squares(equations: Equations, _: bool, fatol: float, most: int) -> systems.State:
    """The root as the least sum of squares."""
    # A gradient below this tells of residuals below fatol, or of no way on.
    tiny = float(np.finfo(equations.start.dtype).tiny)
    rounding = epsilon(equations.start)
    found = levenberg_marquardt.smallest(equations, tiny, rounding, tiny, most + 1, True)
    status = first_of(
        (found.status == levenberg_marquardt.NOT_A_NUMBER, NOT_A_NUMBER),
        (largest(found.residuals) <= fatol, FOUND),
        (found.status == levenberg_marquardt.STOPPED, STOPPED),
        otherwise=STUCK,
    )
    return systems.State(
        *(found.x, found.residuals, found.cost, None, None),
        *(found.nfev - 1, found.nfev, found.njev, status),
    )
