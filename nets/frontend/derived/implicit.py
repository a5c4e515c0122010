"""implicit: derivatives of what an equation defines, by the implicit function theorem.

Where r(x, a) = 0 defines x(a), dx = −(∂r/∂x)⁻¹ (∂r/∂a) da: whatever steps have found x, they are
not differentiated (Krantz and Parks, 2003, "The implicit function theorem"; for programs, Blondel
et al., 2022, "Efficient and modular implicit differentiation").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import nets.frontend.tensor.functions as functions
from nets.errors import ShapeError
from nets.frontend.calls.pickling import reduced
from nets.frontend.derived.custom import custom_vjp
from nets.frontend.derived.forward import jvp
from nets.frontend.derived.jacobians import jacfwd
from nets.frontend.derived.pullback import vjp
from nets.frontend.derived.vectors import Vector, joined
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.spec import short
from nets.ir.location import user_location
from nets.linalg.systems import solution

LinearSolve = Callable[[Callable[[Tensor], Tensor], Tensor], Any]
"""Solves A x = b, given the function x → A x and b, both of vectors."""


def implicit(
    solve: Callable[..., Any],
    residual: Callable[..., Any],
    linear_solve: LinearSolve | None = None,
) -> custom_vjp:
    """A function that ``solve`` computes and that ``residual`` defines.

    ``solve(*arguments)`` gives x, a nest of floating-point tensors, at which ``residual(x,
    *arguments)``, a nest with as many elements, is zero; it may do so by any means, such as a
    ``while_loop``. The new function gives the same, and has derivatives in both modes, to any
    order: of the equation, at the x that was found. A fixed point of ``step`` is a root of ``x -
    step(x, …)``.

    The Jacobian of the residual by x is built and factored, so x has few elements; but with
    ``linear_solve`` it is never built: that gives the vector y with ``product(y) = b`` for
    ``linear_solve(product, b)``, of a function that is linear (the Jacobian's transpose, or itself)
    and a vector. ``nets.optimize.cg`` is one for symmetric positive definite Jacobians, as those of
    minima are.

    ShapeError where the residual has another number of elements than x. A Jacobian that is singular
    gives infinities or NaN.
    """

    def solved(*arguments: Any) -> Any:
        return solve(*arguments)

    root = _Implicit(solved)
    root.made_of = solve, residual, linear_solve

    def forward(*arguments: Any) -> tuple[Any, Any]:
        x = root(*arguments)
        return x, (x, arguments)

    def backward(kept: Any, ct: Any) -> tuple[Any, ...]:
        x, arguments = kept
        found = Vector(x)
        right = _joined(ct, found.size)
        if linear_solve is None:
            jacobian = jacfwd(
                lambda row: _joined(residual(found.nest(row), *arguments), found.size)
            )
            multipliers = solution(functions.transpose(jacobian(found.row)), right)
        else:
            defined = _without_a_matrix(linear_solve, residual, found)
            multipliers = defined(right, found.row, *arguments)
        _, pull = vjp(lambda *a: _joined(residual(x, *a), found.size), *arguments)
        given: tuple[Any, ...] = pull(-multipliers)
        return given

    root.defvjp(forward, backward)
    root.name = root.__name__ = getattr(solve, "__name__", "root")
    return root


class _Implicit(custom_vjp):
    """What ``implicit`` makes, which goes to other processes as what it was made of."""

    made_of: tuple[Callable[..., Any], Callable[..., Any], LinearSolve | None]

    def __reduce__(self) -> Any:
        solve, *others = self.made_of
        return reduced(self, implicit, *others, function=solve)


Product = Callable[..., Tensor]
"""A function of a vector and a point that is linear in the vector."""


def _without_a_matrix(
    linear_solve: LinearSolve, residual: Callable[..., Any], found: Vector
) -> custom_vjp:
    """λ with λ · ∂residual/∂x = b, as a function of b, x and the arguments."""

    def equation(x: Any, arguments: Sequence[Any]) -> Any:
        return _joined(residual(found.nest(x), *arguments), found.size)

    def backward(row: Any, x: Any, *arguments: Any) -> Any:
        return vjp(lambda x: equation(x, arguments), x)[1](row)[0]

    def forward(row: Any, x: Any, *arguments: Any) -> Any:
        return jvp(lambda x: equation(x, arguments), (x,), (row,))[1]

    return _linear_solution(linear_solve, backward, forward)


def _linear_solution(linear_solve: LinearSolve, product: Product, other: Product) -> custom_vjp:
    """y with product(y, …) = b, as a function of b and the point; ``other`` is the transpose.

    The derivatives are those of the equation, by the same method (as ``custom_linear_solve`` of JAX
    has them), not those of its steps.
    """

    @custom_vjp
    def solution(right: Any, *point: Any) -> Any:
        return linear_solve(lambda row: product(row, *point), right)

    def kept(right: Any, *point: Any) -> tuple[Any, Any]:
        row = solution(right, *point)
        return row, (row, point)

    def pulled(kept: Any, ct: Any) -> tuple[Any, ...]:
        row, point = kept
        back = _linear_solution(linear_solve, other, product)(ct, *point)
        _, pull = vjp(lambda *point: product(row, *point), *point)
        return (back, *pull(-back))

    solution.defvjp(kept, pulled)
    return solution


def _joined(nest: Any, size: int) -> Tensor:
    """The elements of a nest in a row; ShapeError where they are not so many."""
    row = joined(nest)
    if row.shape != (size,):
        raise ShapeError(
            f"the residual has {short(row.type)} elements for {size} unknowns", user_location()
        )
    return row
