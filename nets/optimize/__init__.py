"""Optimisation: minima, least squares and roots of functions, by programs that are compiled.

Names and results are SciPy's. Each method is a loop that calls the function, its gradient and its
Hessian as programs: it runs as one native call, inside traces, under ``vmap`` and in exported
libraries, and its solution has the derivatives of the equation that defines it.
"""

from nets.optimize.conjugate_gradients import cg
from nets.optimize.least_squares import least_squares
from nets.optimize.minimize import minimize
from nets.optimize.result import (
    LeastSquaresResult,
    MinimizeResult,
    OptimizeResult,
    RootResult,
)
from nets.optimize.root import root

__all__ = [
    "LeastSquaresResult",
    "MinimizeResult",
    "OptimizeResult",
    "RootResult",
    "cg",
    "least_squares",
    "minimize",
    "root",
]
