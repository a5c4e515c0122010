"""Logarithms times numbers, entropies, and the logistic function with its inverse."""

from __future__ import annotations

import math

import numpy as np

from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike, as_float, broadcast, promote
from nets.frontend.tensor.tensor import Tensor


def xlogy(x: TensorLike, y: TensorLike) -> Tensor:
    """x · log(y), and 0 where x is 0, but for a y that is NaN."""
    return _times_logarithm(x, y, 0.0)


def xlog1py(x: TensorLike, y: TensorLike) -> Tensor:
    """x · log1p(y), and 0 where x is 0, but for a y that is NaN."""
    return _times_logarithm(x, y, -1.0)


def _times_logarithm(x: TensorLike, y: TensorLike, pole: float) -> Tensor:
    first, second = broadcast(*promote(x, y, floating=True))
    # Where the logarithm is finite, 0 times it is 0, and the derivatives are right.
    void = F.logical_or(F.less_equal(second, pole), F.equal(second, math.inf))
    nothing = F.logical_and(F.equal(first, 0), void)
    inside = F.where(nothing, pole + 1.0, second)
    logarithm = F.log(inside) if pole == 0.0 else F.log1p(inside)
    return F.multiply(first, logarithm)


def entr(x: TensorLike) -> Tensor:
    """−x · log(x); 0 at 0, and −inf below."""
    tensor = as_float(x)
    inside = F.where(F.less_equal(tensor, 0), 1, tensor)
    result = F.negative(F.multiply(inside, F.log(inside)))
    result = F.where(F.equal(tensor, 0), 0.0, result)
    return F.where(F.less(tensor, 0), -math.inf, result)


def rel_entr(x: TensorLike, y: TensorLike) -> Tensor:
    """x · log(x / y); 0 where x is 0 and y is not negative, inf elsewhere outside of x, y > 0."""
    first, second = broadcast(*promote(x, y, floating=True))
    inside = F.logical_and(F.greater(first, 0), F.greater(second, 0))
    invalid = F.logical_or(F.isnan(first), F.isnan(second))
    inside = F.logical_or(inside, invalid)
    a, b = F.where(inside, first, 1), F.where(inside, second, 1)
    zero = F.logical_and(F.equal(first, 0), F.greater_equal(second, 0))
    near = F.logical_and(F.less(F.multiply(a, 0.5), b), F.less(b, F.multiply(a, 2)))
    # Near 1 the difference of the two is exact.
    safe = F.where(near, b, a)
    close = F.log1p(F.divide(F.subtract(a, safe), safe))
    # A ratio that neither overflows nor underflows loses fewer digits than logarithms.
    ratio = F.divide(a, b)
    least = float(np.finfo(str(first.type.dtype.numpy)).smallest_normal)
    usual = F.logical_and(F.greater(ratio, least), F.less(ratio, math.inf))
    far = F.where(usual, F.log(F.where(usual, ratio, 1)), F.subtract(F.log(a), F.log(b)))
    result = F.multiply(a, F.where(near, close, far))
    return F.where(inside, result, F.where(zero, 0.0, F.full_like(result, math.inf)))


def kl_div(x: TensorLike, y: TensorLike) -> Tensor:
    """x · log(x / y) − x + y; y where x is 0 and y is not negative, inf elsewhere outside of
    x, y > 0."""
    first, second = broadcast(*promote(x, y, floating=True))
    return F.add(F.subtract(rel_entr(first, second), first), second)


def expit(x: TensorLike) -> Tensor:
    """1 / (1 + exp(−x)): ``nets.sigmoid``."""
    return F.sigmoid(x)


def log_expit(x: TensorLike) -> Tensor:
    """log(expit(x)), without loss of digits on either side."""
    return F.negative(F.softplus(F.negative(as_float(x))))


def logit(p: TensorLike, eps: float | None = None) -> Tensor:
    """log(p / (1 − p)): −inf at 0, inf at 1, NaN outside. ``eps`` moves p into [eps, 1 − eps]."""
    tensor = as_float(p)
    tensor = tensor if eps is None else F.clip(tensor, eps, 1.0 - eps)
    middle = F.less(F.abs(F.subtract(tensor, 0.5)), 0.25)
    inside = F.where(middle, tensor, 0.5)
    near = F.multiply(2, F.arctanh(F.subtract(F.multiply(2, inside), 1)))
    outside = F.where(middle, 0.25, tensor)
    far = F.subtract(F.log(outside), F.log1p(F.negative(outside)))
    return F.where(middle, near, far)
