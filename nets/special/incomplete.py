"""The incomplete gamma functions, and the incomplete beta function."""

from __future__ import annotations

from nets.frontend.tensor.dispatch import TensorLike, elementwise
from nets.frontend.tensor.tensor import Tensor


def gammainc(a: TensorLike, x: TensorLike) -> Tensor:
    """P(a, x), the integral of t**(a − 1) · e**−t from 0 to x, over Γ(a).

    NaN where a or x is negative, and where both are 0 or inf. It has derivatives by x of every
    order, and one by a; a second one by a is refused: GradientError.
    """
    return elementwise("gammainc", a, x, floating=True)


def gammaincc(a: TensorLike, x: TensorLike) -> Tensor:
    """Q(a, x) = 1 − P(a, x), with all digits where that is small.

    NaN where a or x is negative, and where both are 0 or inf. Derivatives are those of
    ``gammainc``.
    """
    return elementwise("gammaincc", a, x, floating=True)


def betainc(a: TensorLike, b: TensorLike, x: TensorLike) -> Tensor:
    """Iₓ(a, b), the integral of t**(a − 1) · (1 − t)**(b − 1) from 0 to x, over B(a, b).

    NaN unless a, b ≥ 0 and 0 ≤ x ≤ 1, where a and b are both 0 or both inf, and where one is finite
    and beyond 10¹⁵⁰. It has derivatives by x of every order, and one by a or b, of which a second
    one is refused: GradientError.
    """
    return elementwise("betainc", a, b, x, floating=True)
