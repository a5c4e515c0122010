"""Results: what the solvers give, nests with SciPy's names that may be traced and exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

import nets.frontend.tensor.functions as functions
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor


@dataclass(frozen=True, repr=False)
class OptimizeResult:
    """What all results have. ``status`` says how it ended; ``success`` and ``message`` follow.

    A dataclass, so a container as any other: it may be returned from traced and exported
    functions, whose results then are its fields.
    """

    x: Any
    """The solution, a nest like the start."""
    status: Any
    """Why it ended, an integer; a stack of them under ``vmap``."""
    nfev: Any
    """How often the function was evaluated."""
    njev: Any
    """How often its gradient or Jacobian was."""

    messages: ClassVar[Mapping[int, str]] = {}

    @property
    def success(self) -> Tensor:
        """Whether the method ended where it was meant to."""
        return functions.equal(self.status, 0)

    @property
    def message(self) -> Any:
        """``status`` in words; a list of texts for a stack. ControlFlowError inside a trace."""
        codes = functions.as_tensor(self.status).numpy()
        found: Any = np.vectorize(lambda code: self.messages[int(code)], otypes=[object])(codes)
        return found.tolist() if codes.ndim else found.item()

    def __repr__(self) -> str:
        names = [field.name for field in fields(self)]
        shown = ["success", *names] if current_scope() else ["message", "success", *names]
        rows = [(name, getattr(self, name)) for name in shown]
        width = max(len(name) for name, value in rows if value is not None)
        return "\n".join(
            f"{name:>{width}}: " + repr(value).replace("\n", "\n" + " " * (width + 2))
            for name, value in rows
            if value is not None
        )


@dataclass(frozen=True, repr=False)
class MinimizeResult(OptimizeResult):
    """What ``minimize`` gives."""

    fun: Any
    """The value at ``x``."""
    jac: Any
    """The gradient at ``x``, a nest like it."""
    nit: Any
    """How many steps were taken."""
    nhev: Any = None
    """How many products with the Hessian, or Hessians, were computed; None where none are."""
    hess_inv: Any = None
    """Of BFGS: the last estimate of the inverse Hessian, by the elements of ``x`` in a row."""

    messages: ClassVar[Mapping[int, str]] = {
        0: "Optimization terminated successfully.",
        1: "Maximum number of iterations has been exceeded.",
        2: "Desired error not necessarily achieved due to precision loss.",
        3: "NaN result encountered.",
    }


@dataclass(frozen=True, repr=False)
class LeastSquaresResult(OptimizeResult):
    """What ``least_squares`` gives."""

    cost: Any
    """Half the sum of the squares at ``x``."""
    fun: Any
    """The residuals at ``x``, a nest as the function gives it."""
    jac: Any
    """The Jacobian at ``x``: a row per residual, a column per element of ``x``."""
    grad: Any
    """The gradient of ``cost``, a nest like ``x``."""
    optimality: Any
    """The largest magnitude in ``grad``."""

    messages: ClassVar[Mapping[int, str]] = {
        -1: "NaN result encountered.",
        0: "The maximum number of function evaluations is exceeded.",
        1: "`gtol` termination condition is satisfied.",
        2: "`ftol` termination condition is satisfied.",
        3: "`xtol` termination condition is satisfied.",
        4: "Both `ftol` and `xtol` termination conditions are satisfied.",
    }

    @property
    def success(self) -> Tensor:
        """Whether one of the tolerances was met."""
        return functions.greater(self.status, 0)


@dataclass(frozen=True, repr=False)
class RootResult(OptimizeResult):
    """What ``root`` gives."""

    fun: Any
    """The value at ``x``, a nest as the function gives it; zero, but for rounding."""
    nit: Any
    """How many steps were taken."""

    messages: ClassVar[Mapping[int, str]] = {
        0: "A solution was found at the specified tolerance.",
        1: "The maximum number of iterations allowed has been reached.",
        2: "The iteration is not making good progress.",
        3: "NaN result encountered.",
    }
