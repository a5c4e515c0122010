"""Conjugate gradients: linear systems and minima of quadratic models, from products with a matrix
alone (Hestenes and Stiefel, 1952, "Methods of conjugate gradients for solving linear systems")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import nets.frontend.tensor.functions as functions
from nets.errors import DTypeError, ShapeError
from nets.frontend.tensor.dispatch import as_tensor
from nets.frontend.tracing.control_flow import while_loop
from nets.ir.location import user_location
from nets.optimize.numbers import dot, norm

_PER_UNKNOWN: Final = 20
"""Steps per unknown after which it ends, as in SciPy: rounding may keep it from its tolerance."""


class Model(NamedTuple):
    """The state of the iteration; at its end ``step`` is the step that was found."""

    step: Any
    residual: Any
    """The gradient of the model at ``step``."""
    direction: Any
    products: Any
    on_border: Any
    """Whether the step ends where the radius or the curvature does not let it go on."""
    done: Any


def minimum(product: Callable[[Any], Any], gradient: Any, radius: Any = None) -> Model:
    """The step that about minimises gradient·p + p·product(p)/2, a symmetric matrix.

    With a ``radius``, no longer than that: Steihaug, 1983, "The conjugate gradient method and trust
    regions in large scale optimization"; Nocedal and Wright, 2006, algorithm 7.2. Without, it
    ends before a direction of negative curvature, which only the first may be: their algorithm 7.1.
    The residual gets smaller than min(1/2, √|g|) |g|, for superlinear convergence.
    """
    first = norm(gradient)
    enough = functions.minimum(0.5, functions.sqrt(first)) * first
    most = _PER_UNKNOWN * gradient.shape[0]

    def advance(s: Model) -> Model:
        image = product(s.direction)
        curvature, before = dot(s.direction, image), dot(s.residual, s.residual)
        full = before / curvature
        border = _to_border(s, radius)
        stops = curvature <= 0
        if radius is not None:
            stops = stops | (norm(s.step + full * s.direction) >= radius)
        length = functions.where(stops, border, full)
        step, residual = s.step + length * s.direction, s.residual + length * image
        after = dot(residual, residual)
        count = s.products + 1
        done = stops | (functions.sqrt(after) <= enough) | (count >= most)
        direction = after / before * s.direction - residual
        return Model(step, residual, direction, count, stops, done)

    none = functions.zeros((), "int64")
    at_once = ~(first > 0)  # a gradient that is not a number ends it, too
    start = Model(functions.zeros_like(gradient), gradient, -gradient, none, none > 0, at_once)
    return while_loop(lambda s: ~s.done, advance, start)


def _to_border(s: Model, radius: Any) -> Any:
    """How far to go along the direction where the model does not say: to the border; without one,
    not at all, or along the first direction as it is."""
    if radius is None:
        return functions.astype(s.products == 0, s.step.dtype)
    along, length = dot(s.step, s.direction), dot(s.direction, s.direction)
    rest = radius * radius - dot(s.step, s.step)
    # The root of |step + t direction| = radius without cancellation, for along is not negative.
    return rest / (along + functions.sqrt(along * along + length * rest))


# ------------------------------------------------------------------------- linear systems


class _System(NamedTuple):
    x: Any
    residual: Any
    direction: Any
    square: Any
    """Of the residual's length."""
    count: Any


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> tuple[Any, Any]:
    """The solution of ``A x = b`` for a symmetric positive definite matrix, by conjugate gradients.

    ``A`` is a matrix (n, n), or a function that gives its product with a tensor of the shape of
    ``b``, which is floating-point and of any shape. It ends where the residual is no longer than
    ``max(tol · |b|, atol)``, or after ``maxiter`` steps (10 n). Names are those of SciPy and JAX;
    the result is ``(x, info)``: 0, or after how many steps (1 at least) it ended elsewhere.

    Golub and Van Loan, 2013, "Matrix computations", algorithm 11.3.3. A product with NaN ends it.
    ShapeError where ``x0`` or a product has another shape than ``b``, DTypeError where that is not
    floating-point.
    """
    right = as_tensor(b)
    if right.dtype.kind != "f":
        raise DTypeError(f"the b of cg is floating-point, not {right.dtype}", user_location())
    start = functions.zeros_like(right) if x0 is None else as_tensor(x0)
    _check_shape("x0", start, right)

    def product(x: Any) -> Any:
        image = as_tensor(A(x) if callable(A) else as_tensor(A) @ x)
        _check_shape("A(x)", image, right)
        return image

    most = 10 * right.size if maxiter is None else maxiter
    enough = functions.maximum(tol * tol * dot(right, right), atol * atol)

    def advance(s: _System) -> _System:
        image = product(s.direction)
        length = s.square / dot(s.direction, image)
        residual = s.residual - length * image
        square = dot(residual, residual)
        direction = residual + square / s.square * s.direction
        return _System(s.x + length * s.direction, residual, direction, square, s.count + 1)

    first = right - product(start)
    state = _System(start, first, first, dot(first, first), functions.zeros((), "int64"))
    last = while_loop(lambda s: (s.square > enough) & (s.count < most), advance, state)
    steps = functions.maximum(last.count, 1)
    return last.x, functions.where(last.square <= enough, 0, steps)


def _check_shape(what: str, found: Any, right: Any) -> None:
    if found.shape != right.shape:
        raise ShapeError(
            f"{what} of cg has shape {found.shape}, not that of b, {right.shape}", user_location()
        )
