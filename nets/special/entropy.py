"""Logarithms times numbers, entropies, and the logistic function with its inverse."""

from __future__ import annotations

import math

import nets
from nets.frontend.tensor.dispatch import TensorLike, as_float, broadcast, promote


def xlogy(x: TensorLike, y: TensorLike) -> nets.Tensor:
    """x · log(y), and 0 where x is 0, but for a y that is NaN."""
    return _times_logarithm(x, y, 0.0)


def xlog1py(x: TensorLike, y: TensorLike) -> nets.Tensor:
    """x · log1p(y), and 0 where x is 0, but for a y that is NaN."""
    return _times_logarithm(x, y, -1.0)


def _times_logarithm(x: TensorLike, y: TensorLike, pole: float) -> nets.Tensor:
    first, second = broadcast(*promote(x, y, floating=True))
    # Where the logarithm is finite, 0 times it is 0, and the derivatives are right.
    void = nets.logical_or(nets.less_equal(second, pole), nets.equal(second, math.inf))
    nothing = nets.logical_and(nets.equal(first, 0), void)
    inside = nets.where(nothing, pole + 1.0, second)
    logarithm = nets.log(inside) if pole == 0.0 else nets.log1p(inside)
    return nets.multiply(first, logarithm)


def entr(x: TensorLike) -> nets.Tensor:
    """−x · log(x); 0 at 0, and −inf below."""
    tensor = as_float(x)
    inside = nets.where(nets.less_equal(tensor, 0), 1, tensor)
    below = nets.where(nets.equal(tensor, 0), 0.0, -math.inf)
    result = nets.negative(nets.multiply(inside, nets.log(inside)))
    return nets.where(nets.less_equal(tensor, 0), below, result)


def rel_entr(x: TensorLike, y: TensorLike) -> nets.Tensor:
    """x · log(x / y); 0 where x is 0 and y is not negative, inf elsewhere outside of x, y > 0."""
    first, second = broadcast(*promote(x, y, floating=True))
    inside = nets.logical_and(nets.greater(first, 0), nets.greater(second, 0))
    invalid = nets.logical_or(nets.isnan(first), nets.isnan(second))
    inside = nets.logical_or(inside, invalid)
    a, b = nets.where(inside, first, 1), nets.where(inside, second, 1)
    zero = nets.logical_and(nets.equal(first, 0), nets.greater_equal(second, 0))
    near = nets.logical_and(nets.less(nets.multiply(a, 0.5), b), nets.less(b, nets.multiply(a, 2)))
    # Near 1 the difference of the two is exact.
    safe = nets.where(near, b, a)
    close = nets.log1p(nets.divide(nets.subtract(a, safe), safe))
    far = nets.subtract(nets.log(a), nets.log(b))
    result = nets.multiply(a, nets.where(near, close, far))
    return nets.where(inside, result, nets.where(zero, 0.0, math.inf))


def kl_div(x: TensorLike, y: TensorLike) -> nets.Tensor:
    """x · log(x / y) − x + y; y where x is 0 and y is not negative, inf elsewhere outside of
    x, y > 0."""
    first, second = broadcast(*promote(x, y, floating=True))
    return nets.add(nets.subtract(rel_entr(first, second), first), second)


def expit(x: TensorLike) -> nets.Tensor:
    """1 / (1 + exp(−x)): ``nets.sigmoid``."""
    return nets.sigmoid(x)


def log_expit(x: TensorLike) -> nets.Tensor:
    """log(expit(x)), without loss of digits on either side."""
    return nets.negative(nets.softplus(nets.negative(as_float(x))))


def logit(p: TensorLike, eps: float | None = None) -> nets.Tensor:
    """log(p / (1 − p)): −inf at 0, inf at 1, NaN outside. ``eps`` moves p into [eps, 1 − eps]."""
    tensor = as_float(p)
    tensor = tensor if eps is None else nets.clip(tensor, eps, 1.0 - eps)
    middle = nets.less(nets.abs(nets.subtract(tensor, 0.5)), 0.25)
    inside = nets.where(middle, tensor, 0.5)
    near = nets.multiply(2, nets.arctanh(nets.subtract(nets.multiply(2, inside), 1)))
    outside = nets.where(middle, 0.25, tensor)
    far = nets.subtract(nets.log(outside), nets.log1p(nets.negative(outside)))
    return nets.where(middle, near, far)
