"""Unknowns: the start of a solver as one vector, and the arguments that it takes as they are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, Final

import nets.frontend.tensor.functions as functions
from nets.errors import ArgumentError, DTypeError, GradientError, ShapeError
from nets.frontend.derived import orders
from nets.frontend.derived.custom import custom_jvp
from nets.frontend.derived.forward import jvp
from nets.frontend.derived.implicit import implicit
from nets.frontend.derived.vectors import Vector, joined
from nets.frontend.pytree import expression, flatten, map_leaves
from nets.frontend.tensor.dispatch import as_tensor, cast
from nets.frontend.tensor.inner import is_weak, with_weakness
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location
from nets.ir.types import f32, f64
from nets.optimize.conjugate_gradients import cg
from nets.optimize.numbers import epsilon

MOST_DENSE: Final = 256
"""Unknowns of a minimum up to which its derivatives factor the Hessian, which takes n³ steps but
meets no bad condition; behind that they take products with it."""

Flat = Callable[..., Any]
"""A function of the unknowns as a vector, and of the arguments."""


class Unknowns:
    """The unknowns of a solver: what stands in ``x0``, as a vector of one dtype."""

    def __init__(self, solver: str, x0: Any) -> None:
        self.solver = solver
        self.vector = Vector(x0)
        self.size, row = self.vector.size, self.vector.row
        if self.size == 0:
            raise ArgumentError(f"x0 of {solver} has no elements", user_location())
        for leaf, path in zip(self.vector.leaves, self.vector.tree.paths(), strict=True):
            if leaf.type.dtype not in (f32, f64) or not (is_weak(leaf) or leaf.dtype == row.dtype):
                raise DTypeError(
                    f"x0 of {solver} is float32 or float64, all of it the same; "
                    f"{expression('x0', path)} is {short(leaf.type)}",
                    user_location(),
                )
        self.start: Tensor = functions.stop_gradient(with_weakness(row, False))
        self.dtype = self.start.type.dtype

    def nest(self, row: Any) -> Any:
        """The unknowns as the user's nest."""
        return self.vector.nest(row)

    def flat(self, function: Callable[..., Any]) -> Flat:
        """The user's function, of the unknowns as a vector."""
        return lambda row, *args: function(self.nest(row), *args)

    def row(self, what: str, given: Any) -> Tensor:
        """The elements of a nest like the unknowns. ArgumentError or ShapeError for another."""
        leaves, tree = flatten(given)
        if tree != self.vector.tree:
            raise ArgumentError(
                f"{what} gives a nest like x0, {self.vector.tree}, not {tree}", user_location()
            )
        for leaf, own in zip(map(as_tensor, leaves), self.vector.leaves, strict=True):
            _check_shape(what, leaf, own.shape)
        return cast(joined(given), self.dtype)

    def matrix(self, what: str, given: Any, rows: Sequence[tuple[int, ...]]) -> Tensor:
        """The derivatives of results of the shapes ``rows``, a nest as ``nets.jacobian`` gives it,
        as a matrix. ArgumentError or ShapeError for another."""
        leaves, _ = flatten(given)
        columns = [x.shape for x in self.vector.leaves]
        if len(leaves) != len(rows) * len(columns):
            raise ArgumentError(
                f"{what} gives {len(rows) * len(columns)} arrays, as nets.jacobian does, not "
                f"{len(leaves)}",
                user_location(),
            )
        given = iter(map(as_tensor, leaves))
        bands = [[self._block(what, next(given), row, c) for c in columns] for row in rows]
        joined_bands = [_concatenated(blocks, axis=1) for blocks in bands]
        return cast(_concatenated(joined_bands, axis=0), self.dtype)

    def _block(self, what: str, leaf: Tensor, row: Any, column: Any) -> Tensor:
        _check_shape(what, leaf, (*row, *column))
        count = functools.reduce(int.__mul__, column, 1)
        return functions.reshape(leaf, (-1, count))

    # ------------------------------------------------------------------------- derivatives

    def defined(
        self, residual: Flat, row: Any, args: Sequence[Any], *, is_minimum: bool = False
    ) -> Any:
        """What a solver found, with the derivatives by ``args`` of the equation it solves.

        The matrix of that equation at a minimum is positive definite, so that many unknowns need no
        matrix.
        """

        def found(row: Any, *args: Any) -> Any:
            return row

        def equation(row: Any, _: Any, *args: Any) -> Any:
            return residual(row, *args)

        by_products = is_minimum and self.size > MOST_DENSE
        solved = implicit(found, equation, _by_products if by_products else None)
        return differentiable(solved, functions.stop_gradient(row), *args)


def _by_products(product: Callable[[Any], Any], right: Any) -> Any:
    return cg(product, right, tol=epsilon(right) ** 0.75)[0]


def constant(args: Any) -> Any:
    """The arguments as the loops see them: what these do to them is not differentiated."""
    return map_leaves(_constant, args)


def _constant(leaf: Any) -> Any:
    is_float = isinstance(leaf, Tensor) and leaf.dtype.kind == "f"
    return functions.stop_gradient(leaf) if is_float else leaf


def known(function: Flat, value: Any, *arguments: Any) -> Any:
    """``function(*arguments)``, whose value is at hand, with the derivatives of the function."""

    @custom_jvp
    def result(value: Any, *arguments: Any) -> Any:
        return value

    @result.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        value, *arguments = primals
        return result(value, *arguments), jvp(function, arguments, tangents[1:])[1]

    return differentiable(result, functions.stop_gradient(value), *arguments)


def differentiable(function: Flat, *arguments: Any) -> Any:
    """A function with a rule, called; where what the user wrote has no derivative of the order that
    the rule needs, it has no rule, and who asks for its derivative is told so."""
    try:
        return function(*arguments)
    except GradientError:
        with orders.changed(-orders.wanted()):
            return function(*arguments)


# ------------------------------------------------------------------------------------ checks


def arguments(args: Any) -> tuple[Any, ...]:
    """Further arguments as a tuple, as SciPy takes them."""
    return args if isinstance(args, tuple) else (args,)


def check_callable(**given: object) -> None:
    """ArgumentError for the first that is neither a function nor None."""
    for name, function in given.items():
        if function is not None and not callable(function):
            raise ArgumentError(
                f"{name} is a function or None, not {function!r}: nets computes derivatives itself",
                user_location(),
            )


def refuse(solver: str, why: str, **given: object) -> None:
    """ArgumentError for the first of SciPy's arguments that is given and not there."""
    for name, value in given.items():
        if value is not None and value != ():
            raise ArgumentError(f"{solver} has no {name}: {why}", user_location())


def options_of(solver: str, defaults: dict[str, Any], given: Any) -> dict[str, Any]:
    """The options with their defaults. ArgumentError for unknown ones, and for what is no number
    that is not negative; None stands for the default."""
    if given is not None and not isinstance(given, dict):
        raise ArgumentError(f"options are a dict, not a {type(given).__name__}", user_location())
    found = dict(defaults)
    for name, value in (given or {}).items():
        if name not in defaults:
            raise ArgumentError(
                f"{solver} has no option {name!r}, only {', '.join(defaults)}", user_location()
            )
        if value is not None:
            found[name] = _number(f"the option {name!r} of {solver}", value, defaults[name])
    return found


def _number(what: str, value: Any, default: Any) -> int | float:
    is_whole = default is None or isinstance(default, int)
    kind: Any = Integral if is_whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not value >= 0:
        word = "an integer" if is_whole else "a number"
        raise ArgumentError(f"{what} is {word} from 0 on, not {value!r}", user_location())
    return int(value) if is_whole else float(value)


def _check_shape(what: str, leaf: Tensor, shape: Sequence[int]) -> None:
    if tuple(leaf.shape) != tuple(shape):
        raise ShapeError(
            f"{what} gives {short(leaf.type)}, which should have the shape {tuple(shape)}",
            user_location(),
        )


def _concatenated(parts: Sequence[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else functions.concatenate(list(parts), axis=axis)
