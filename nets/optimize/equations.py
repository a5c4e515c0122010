"""Equations: functions whose results are to be zero, or small, as functions of one vector."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import nets.frontend.tensor.functions as functions
from nets.errors import ArgumentError, DTypeError
from nets.frontend.derived.jacobians import jacobian
from nets.frontend.derived.transforms import grad
from nets.frontend.derived.vectors import Vector, joined
from nets.frontend.tensor.dispatch import cast
from nets.frontend.tracing.program import lift_results, stage
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location
from nets.ops.definition.emitter import tensor_type
from nets.optimize.numbers import dot
from nets.optimize.unknowns import Flat, Unknowns, constant


class Equations:
    """A function of the unknowns whose results are residuals, and its Jacobian: that of the user,
    else that of nets. ``jac``: None, True where the function gives the pair of both, or a function.

    It is traced once to learn the types of the residuals; nothing of that stays.
    """

    def __init__(
        self, unknowns: Unknowns, fun: Callable[..., Any], args: tuple[Any, ...], jac: Any
    ) -> None:
        self.unknowns, self.fun, self.args, self.jac = unknowns, unknowns.flat(fun), args, jac
        self.constant_args = constant(args)
        self.start, self.size = unknowns.start, unknowns.size
        program = stage(
            unknowns.solver,
            (),
            lambda _: lift_results(self._pair(self.start, *self.constant_args)[0]),
            (),
            once=False,
        )
        self.tree = program.tree
        self.types = [tensor_type(x) for x in program.function.returned[: self.tree.leaf_count]]
        self.shapes = [x.static_shape for x in self.types]
        self.count = sum(map(math.prod, self.shapes))
        for type in self.types:
            if not type.dtype.is_float:
                raise DTypeError(
                    f"the function of {unknowns.solver} returns floating-point tensors, not "
                    f"{short(type)}",
                    user_location(),
                )
        if not self.count:
            raise ArgumentError(
                f"the function of {unknowns.solver} returns nothing", user_location()
            )

    # ------------------------------------------------------- of the vector, and any arguments

    @property
    def residuals(self) -> Flat:
        """The residuals as a vector, in the dtype of the unknowns."""
        return lambda row, *args: cast(joined(self._pair(row, *args)[0]), self.unknowns.dtype)

    @property
    def jacobian(self) -> Flat:
        """The Jacobian as a matrix."""
        if self.jac is None:
            return jacobian(self.residuals)
        if self.jac is True:
            return lambda row, *args: self._given(self._pair(row, *args)[1])
        given = self.unknowns.flat(self.jac)
        return lambda row, *args: self._given(given(row, *args))

    @property
    def gradient(self) -> Flat:
        """The gradient of half the sum of the squares."""

        def cost(row: Any, *args: Any) -> Any:
            found = self.residuals(row, *args)
            return 0.5 * dot(found, found)

        if self.jac is None:
            return grad(cost)
        return lambda row, *args: self.residuals(row, *args) @ self.jacobian(row, *args)

    def nest(self, row: Any) -> Any:
        """Residuals in the nest of the user's function."""
        vector = Vector(self.tree.unflatten([functions.zeros(shape) for shape in self.shapes]))
        return vector.nest(row)

    def _pair(self, row: Any, *args: Any) -> tuple[Any, Any]:
        given = self.fun(row, *args)
        if self.jac is not True:
            return given, None
        if not isinstance(given, tuple) or len(given) != 2:
            raise ArgumentError(
                f"with jac=True the function of {self.unknowns.solver} returns a pair of residuals "
                f"and Jacobian, not a {type(given).__name__}",
                user_location(),
            )
        return given

    def _given(self, given: Any) -> Any:
        return self.unknowns.matrix("jac", given, self.shapes)
