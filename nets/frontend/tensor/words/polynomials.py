"""Polynomials by their coefficients, highest power first, and interpolation by straight lines."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nets.errors import ArgumentError, ShapeError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import integer_of, number_of
from nets.frontend.tensor.dispatch import TensorLike, as_tensor, cast, constant, promote
from nets.frontend.tensor.order.searching import searchsorted
from nets.frontend.tensor.order.sorting import argsort
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import count_of
from nets.frontend.tensor.words.axes import lifted
from nets.frontend.tensor.words.products import convolve
from nets.ir.location import user_location
from nets.ir.types import f64


def _coefficients(p: TensorLike) -> Tensor:
    tensor = lifted(p, 1)
    if tensor.ndim != 1:
        raise ShapeError(f"coefficients lie along one axis, not {tensor.type}", user_location())
    return tensor


def polyval(p: TensorLike, x: TensorLike) -> Tensor:
    """The values at x of a polynomial with the coefficients p, by Horner's rule.

    ShapeError for coefficients of more than one axis.
    """
    factors = _coefficients(p)
    if not factors.shape[0]:
        return F.zeros_like(x)
    factors, points = promote(factors, as_tensor(x))
    result = F.zeros_like(points)
    for i in range(factors.shape[0]):
        result = F.add(F.multiply(result, points), factors[i])
    return result


def polyadd(a1: TensorLike, a2: TensorLike) -> Tensor:
    """The coefficients of the sum of two polynomials, as many as the longer one has.

    ``a1`` and ``a2`` have the coefficients.
    """
    return F.add(*_aligned(a1, a2))


def polysub(a1: TensorLike, a2: TensorLike) -> Tensor:
    """The coefficients of the difference of two polynomials, as many as the longer one has.

    ``a1`` and ``a2`` have the coefficients.
    """
    return F.subtract(*_aligned(a1, a2))


def _aligned(a1: TensorLike, a2: TensorLike) -> list[Tensor]:
    parts = promote(_coefficients(a1), _coefficients(a2))
    longest = max(part.shape[0] for part in parts)
    return [F.pad(part, ((longest - part.shape[0], 0),)) for part in parts]


def polymul(a1: TensorLike, a2: TensorLike) -> Tensor:
    """The coefficients of the product of two polynomials; zeros in front stay.

    ``a1`` and ``a2`` have the coefficients.
    """
    return convolve(_coefficients(a1), _coefficients(a2))


def polyder(p: TensorLike, m: int = 1) -> Tensor:
    """The coefficients of the m-th derivative. ArgumentError for a negative m.

    ``p`` has the coefficients.
    """
    factors = _coefficients(p)
    for _ in range(_order(m)):
        degree = max(factors.shape[0] - 1, 0)
        factors = F.multiply(factors[:degree], F.arange(degree, 0, -1))
    return F.positive(factors)


def polyint(p: TensorLike, m: int = 1, k: Any = None) -> Tensor:
    """The coefficients of the m-th antiderivative, with the constants ``k``, one for all or each,
    by default 0. ArgumentError for a negative m, ShapeError for another number of constants.

    ``p`` has the coefficients.
    """
    factors, times = _coefficients(p), _order(m)
    constants = F.zeros(times) if k is None else lifted(k, 1)
    if constants.shape[0] == 1 and times > 1:
        constants = F.repeat(constants, times)
    if constants.ndim != 1 or constants.shape[0] < times:
        raise ShapeError(f"{times} antiderivatives have as many constants", user_location())
    for i in range(times):
        raised = F.divide(factors, F.arange(factors.shape[0], 0, -1))
        factors = F.concatenate([raised, constants[i : i + 1]])
    return F.positive(factors)


def _order(m: object) -> int:
    order = integer_of(m, "the order of a derivative")
    if order < 0:
        raise ArgumentError(f"the order of a derivative is not {order}", user_location())
    return order


def vander(x: TensorLike, N: int | None = None, increasing: bool = False) -> Tensor:
    """A row of powers of each element, N (by default as many as elements) from the highest on, or
    from 0 on with ``increasing``. ShapeError for other than one axis.

    ``x`` has the elements.
    """
    points = as_tensor(x)
    if points.ndim != 1:
        raise ShapeError(f"vander takes one axis, not {points.type}", user_location())
    count = points.shape[0] if N is None else integer_of(N, "the number of powers")
    (points, _) = promote(points, constant(np.zeros((), np.int64)))
    columns = [F.ones_like(points)]
    for _ in range(count - 1):
        columns.append(F.multiply(columns[-1], points))
    if count < 1:
        return F.zeros((points.shape[0], 0), points.dtype)
    return F.stack(columns if increasing else columns[::-1], 1)


def polyfit(
    x: TensorLike,
    y: TensorLike,
    deg: int,
    rcond: float | None = None,
    *,
    w: TensorLike | None = None,
) -> Tensor:
    """The coefficients of the polynomial of degree ``deg`` that is nearest to the values ``y`` at
    the places ``x``, by least squares; for columns of values a column each.

    ``w`` weighs the differences before they are squared. Singular values of the powers of x, scaled
    to length 1, that are not above ``rcond`` times the largest count as 0, by default len(x) · ε.
    ShapeError for places, values and weights that do not go together; errors of
    ``nets.linalg.lstsq``.
    """
    places, values = promote(x, y, floating=True)
    if places.ndim != 1 or values.ndim not in (1, 2) or values.shape[0] != places.shape[0]:
        raise ShapeError(
            f"polyfit takes places and as many values, not {places.type} and {values.type}",
            user_location(),
        )
    powers = vander(places, count_of(deg, "a degree") + 1)
    if w is not None:
        weights = as_tensor(w)
        if weights.shape != places.shape:
            raise ShapeError(
                f"{places.type} has as many weights, not {weights.type}", user_location()
            )
        powers = F.multiply(powers, F.expand_dims(weights, 1))
        values = F.multiply(values, F.reshape(weights, (-1, *(1,) * (values.ndim - 1))))
    length = F.sqrt(F.sum(F.multiply(powers, powers), 0))
    least = places.shape[0] * float(np.finfo(places.dtype).eps) if rcond is None else rcond
    solve = sys.modules["nets"].linalg.lstsq
    found = solve(F.divide(powers, length), values, number_of(least, "rcond"))[0]
    return F.divide(found, F.reshape(length, (-1, *(1,) * (values.ndim - 1))))


# ------------------------------------------------------------------------------ interpolation


def interp(
    x: TensorLike,
    xp: TensorLike,
    fp: TensorLike,
    left: TensorLike | None = None,
    right: TensorLike | None = None,
    period: float | None = None,
) -> Tensor:
    """Values at x on straight lines between the points (xp, fp), whose xp ascend: float64.

    Before the first and after the last they are ``left`` and ``right``, by default its own. With a
    ``period`` the points repeat, in whatever order they are. ShapeError for points that are not as
    many as values, or none; ArgumentError for a period of 0.
    """
    at, places, values = (cast(as_tensor(t), f64) for t in (x, xp, fp))
    if places.ndim != 1 or places.shape != values.shape or not places.shape[0]:
        raise ShapeError(
            f"interp takes as many places as values, not {places.type} and {values.type}",
            user_location(),
        )
    if period is not None:
        at, places, values = _repeated(at, places, values, period)
        left = right = None
    low = values[0] if left is None else cast(as_tensor(left), f64)
    high = values[-1] if right is None else cast(as_tensor(right), f64)
    inside = _between(at, places, values) if places.shape[0] > 1 else values[0]
    found = F.where(F.less(at, places[0]), low, F.where(F.greater(at, places[-1]), high, inside))
    return F.where(F.isnan(at), at, found)


def _between(x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """The value on the line between the places before and after x, which is among them."""
    below = _interval(x, places)
    x0, x1 = F.take(places, below), F.take(places, below + 1)
    y0, y1 = F.take(values, below), F.take(values, below + 1)
    slope = F.divide(F.subtract(y1, y0), F.subtract(x1, x0))
    line = F.add(F.multiply(slope, F.subtract(x, x0)), y0)
    other = F.add(F.multiply(slope, F.subtract(x, x1)), y1)
    line = F.where(F.isnan(line), other, line)
    line = F.where(F.logical_and(F.isnan(line), F.equal(y0, y1)), y0, line)
    return F.where(F.equal(x, x0), y0, F.where(F.equal(x, x1), y1, line))


def _interval(x: Tensor, places: Tensor) -> Tensor:
    """The number of the last of the ascending places that is not above x, moved into [0, n − 2]."""
    return F.clip(searchsorted(places, x, "right") - 1, 0, places.shape[0] - 2)


def _repeated(x: Tensor, places: Tensor, values: Tensor, period: float) -> tuple[Tensor, ...]:
    """All of one period, with a point of the neighbouring ones on either side."""
    if period == 0:
        raise ArgumentError("a period is not 0", user_location())
    size = abs(period)
    x, places = F.remainder(x, size), F.remainder(places, size)
    order = argsort(places)
    places, values = F.take(places, order), F.take(values, order)
    around = [F.subtract(places[-1:], size), places, F.add(places[:1], size)]
    return x, F.concatenate(around), F.concatenate([values[-1:], values, values[:1]])
