"""Powers of matrices, and their exponential."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Final

import nets.frontend.tensor.functions as F
from nets.errors import ArgumentError
from nets.frontend.tensor.dispatch import TensorLike
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location
from nets.linalg.arguments import as_squares, at_least_matrices, check_squares
from nets.linalg.norms import matrix_norm
from nets.linalg.systems import inv, solve

_COEFFICIENTS: Final = {
    "float32": (7, 17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0),
    "float64": (
        *(13, 64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0),
        *(129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0),
        *(40840800.0, 960960.0, 16380.0, 182.0, 1.0),
    ),
}
"""The degree of Padé's approximant, and its coefficients (Higham, 2005, table 2.3 and (2.1))."""

_LARGEST: Final = {"float32": 3.925724783138660, "float64": 5.371920351148152}
"""Norms up to which it has the digits of the dtype (Higham, 2005, tables 2.1 and 3)."""

_SQUARINGS: Final = 16
"""How often a matrix is halved at most, and its exponential squared."""


def expm(a: TensorLike) -> Tensor:
    """The exponentials of matrices a[…, n, n]: 1 + a + a² / 2 + a³ / 6 + …

    Padé's approximant of the matrix halved as often as it takes, and squared as often (Higham,
    2005, "The scaling and squaring method for the matrix exponential revisited", SIAM J. Matrix
    Anal. Appl. 26(4)). Matrices with a 1-norm beyond 350,000 give NaN (250,000 in float32).

    ShapeError where a is not square.
    """
    matrices = as_squares("expm", a)
    word = str(matrices.dtype)
    size = matrix_norm(F.stop_gradient(matrices), keepdims=True, ord=1)
    steps = [F.greater(size, _LARGEST[word] * 2.0**k) for k in range(_SQUARINGS + 1)]
    factor = functools.reduce(F.multiply, [F.where(step, 0.5, 1.0) for step in steps])
    result = _approximant(matrices * F.astype(factor, matrices.dtype), *_COEFFICIENTS[word])
    for step in steps[:-1]:
        result = F.where(step, F.matmul(result, result), result)
    return F.where(steps[-1], math.nan, result)


def _approximant(x: Tensor, degree: float, *coefficients: float) -> Tensor:
    """q(x)⁻¹ p(x), the odd terms of p being those of q with the other sign."""
    square, eye = F.matmul(x, x), F.eye(x.shape[-1], dtype=x.dtype)
    powers = [eye, square, F.matmul(square, square)]
    powers.append(F.matmul(powers[2], square))

    def total(numbers: Sequence[float]) -> Tensor:
        return functools.reduce(F.add, [c * p for c, p in zip(numbers, powers, strict=False)])

    even, odd = total(coefficients[:8:2]), total(coefficients[1:8:2])
    if degree == 13:
        even = even + F.matmul(powers[3], total((0.0, *coefficients[8::2])))
        odd = odd + F.matmul(powers[3], total((0.0, *coefficients[9::2])))
    odd = F.matmul(x, odd)
    return solve(even - odd, even + odd)


def matrix_power(x: TensorLike, n: int, /) -> Tensor:
    """Matrices x[…, n, n] times themselves, n times in all; for 0 the identity, for a negative n
    the power of the inverse. By squaring (Knuth, "The Art of Computer Programming", 4.6.3).

    ShapeError where x is not square, ArgumentError where n is not an integer."""
    matrices = at_least_matrices("matrix_power", x)
    check_squares("matrix_power", matrices)
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise ArgumentError(f"matrix_power: n is an integer, not {n!r}", user_location())
    power = n.__index__()
    if power == 0:
        return F.zeros_like(matrices) + F.eye(matrices.shape[-1], dtype=matrices.dtype)
    return _power(inv(matrices) if power < 0 else matrices, abs(power))


def _power(x: Tensor, n: int) -> Tensor:
    result: Tensor | None = None
    while True:
        if n & 1:
            result = x if result is None else F.matmul(result, x)
        n >>= 1
        if not n:
            assert result is not None
            return F.positive(result)
        x = F.matmul(x, x)
