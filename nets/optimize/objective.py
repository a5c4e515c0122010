"""Objective: what is minimised, as functions of one vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nets.errors import ArgumentError, DTypeError, ShapeError
from nets.frontend.derived.forward import jvp
from nets.frontend.derived.jacobians import jacfwd
from nets.frontend.derived.transforms import grad, value_and_grad
from nets.frontend.pytree import flatten
from nets.frontend.tensor.dispatch import as_tensor, cast
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location
from nets.optimize.unknowns import Flat, Unknowns, constant


class Minimum(NamedTuple):
    """Where a method ended."""

    x: Any
    value: Any
    gradient: Any
    status: Any
    nit: Any
    nfev: Any
    njev: Any
    nhev: Any = None
    inverse: Any = None


class Objective:
    """A function to minimise, and its derivatives: those of the user, else those nets makes.

    ``jac``: None, True where the function gives the pair of value and gradient, or a function.
    """

    def __init__(
        self,
        unknowns: Unknowns,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        jac: Any,
        hess: Callable[..., Any] | None,
        hessp: Callable[..., Any] | None,
    ) -> None:
        self.unknowns, self.fun, self.args = unknowns, unknowns.flat(fun), constant(args)
        self.jac, self.hess, self.hessp = jac, hess, hessp
        self.start, self.size = unknowns.start, unknowns.size

    def most_steps(self, maxiter: int | None) -> int:
        """After how many steps a method ends: SciPy's number where the user gives none."""
        return 200 * self.size if maxiter is None else maxiter

    # ------------------------------------------------------- of the vector, and any arguments

    @property
    def value(self) -> Flat:
        """The value, in the dtype of the unknowns."""
        if self.jac is True:
            return lambda row, *args: self._both(row, *args)[0]
        return lambda row, *args: self._scalar(self.fun(row, *args))

    @property
    def gradient(self) -> Flat:
        """The gradient, as a vector."""
        if self.jac is None:
            return grad(self.value)
        if self.jac is True:
            return lambda row, *args: self._both(row, *args)[1]
        return self._given_gradient

    def _both(self, row: Any, *args: Any) -> tuple[Any, Any]:
        """Value and gradient, together as far as that goes."""
        if self.jac is None:
            found: tuple[Any, Any] = value_and_grad(self.value)(row, *args)
            return found
        if self.jac is not True:
            return self.value(row, *args), self._given_gradient(row, *args)
        given = self.fun(row, *args)
        if not isinstance(given, tuple) or len(given) != 2:
            raise ArgumentError(
                "with jac=True the function of minimize returns a pair of value and gradient, not "
                f"a {type(given).__name__}",
                user_location(),
            )
        return self._scalar(given[0]), self.unknowns.row("jac", given[1])

    def _given_gradient(self, row: Any, *args: Any) -> Any:
        return self.unknowns.row("jac", self.unknowns.flat(self.jac)(row, *args))

    # --------------------------------------------------------- at the arguments of this call

    def value_and_gradient(self, row: Any) -> tuple[Any, Any]:
        return self._both(row, *self.args)

    def product(self, row: Any, direction: Any) -> Any:
        """The Hessian times a direction."""
        if self.hessp is not None:
            nest = self.unknowns.nest
            given = self.hessp(nest(row), nest(direction), *self.args)
            return self.unknowns.row("hessp", given)
        if self.hess is not None:
            return self.hessian(row) @ direction
        return jvp(lambda row: self.gradient(row, *self.args), (row,), (direction,))[1]

    def hessian(self, row: Any) -> Any:
        """The Hessian as a matrix."""
        if self.hess is None:
            return jacfwd(lambda row: self.gradient(row, *self.args))(row)
        given = self.hess(self.unknowns.nest(row), *self.args)
        shapes = [x.shape for x in self.unknowns.vector.leaves]
        return self.unknowns.matrix("hess", given, shapes)

    def _scalar(self, given: Any) -> Tensor:
        leaves, tree = flatten(given)
        if len(leaves) != 1 or len(tree.tokens) != 1:
            raise ArgumentError(
                f"the function of minimize returns a scalar, not a {type(given).__name__}",
                user_location(),
            )
        value = as_tensor(given)
        if value.shape != () or value.dtype.kind != "f":
            error = ShapeError if value.shape != () else DTypeError
            raise error(
                "the function of minimize returns a floating-point scalar, not "
                f"{short(value.type)}",
                user_location(),
            )
        return cast(value, self.unknowns.dtype)
