"""Activations and their relatives, in formulas that neither overflow nor lose digits.

``x`` is a tensor, or what makes one: an array, a list, a number. ``axis`` is an axis, counted from
the end where it is negative; ``keepdims`` keeps it with size 1.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from nets.errors import ArgumentError
from nets.frontend.tensor.dispatch import TensorLike, as_float, as_tensor, renewed
from nets.frontend.tensor.functions import reduction
from nets.frontend.tensor.functions.arithmetic import (
    add,
    divide,
    multiply,
    negative,
    subtract,
    where,
)
from nets.frontend.tensor.functions.comparison import equal, greater, isfinite, less_equal
from nets.frontend.tensor.functions.gradient import stop_gradient
from nets.frontend.tensor.functions.mathematics import erf, exp, log, log1p, sigmoid, tanh
from nets.frontend.tensor.functions.shape import squeeze
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location

Axis = int | tuple[int, ...] | None


def relu(x: TensorLike) -> Tensor:
    """x where it is positive, else 0; NaN stays. The derivative at 0 is 0."""
    tensor = as_tensor(x)
    return where(less_equal(tensor, 0), 0, tensor)


def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """x where it is positive, else ``negative_slope`` · x; the derivative at 0 is the slope."""
    tensor = as_tensor(x)
    return where(greater(tensor, 0), tensor, multiply(tensor, negative_slope))


def silu(x: TensorLike) -> Tensor:
    """x · sigmoid(x)."""
    tensor = as_float(x)
    return multiply(tensor, sigmoid(tensor))


def gelu(x: TensorLike, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x · Φ(x), Φ the normal distribution function, or its approximation by tanh where
    ``approximate`` is "tanh".

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
    """
    tensor = as_float(x)
    if approximate == "tanh":
        cubic = add(tensor, multiply(0.044715, multiply(tensor, multiply(tensor, tensor))))
        bounded = tanh(multiply(math.sqrt(2 / math.pi), cubic))
    elif approximate == "none":
        bounded = erf(multiply(tensor, math.sqrt(0.5)))
    else:
        raise ArgumentError(
            f"gelu: approximate is 'none' or 'tanh', not {approximate!r}", user_location()
        )
    return multiply(multiply(tensor, 0.5), add(1, bounded))


def softplus(x: TensorLike, beta: float = 1.0) -> Tensor:
    """log(1 + exp(beta · x)) / beta, as exact for large |x| as for small.

    ArgumentError for a ``beta`` of 0.
    """
    if isinstance(beta, int | float | np.number) and not (beta < 0 or beta > 0):
        raise ArgumentError(f"the beta of softplus is not {beta}", user_location())
    scaled = as_float(x) if beta == 1.0 else multiply(as_float(x), beta)
    positive = greater(scaled, 0)
    # Two branches instead of |x|, whose derivative at 0 is not that of either side.
    small = log1p(exp(where(positive, negative(scaled), scaled)))
    result = add(where(positive, scaled, 0), small)
    return result if beta == 1.0 else divide(result, beta)


def softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """exp(x) divided by its sum over the axis; the largest element is subtracted first."""
    powers = exp(_shifted(as_float(x), axis))
    return divide(powers, reduction.sum(powers, axis, keepdims=True))


def log_softmax(x: TensorLike, axis: Axis = -1) -> Tensor:
    """log(softmax(x)), computed without the division."""
    shifted = _shifted(as_float(x), axis)
    return subtract(shifted, log(reduction.sum(exp(shifted), axis, keepdims=True)))


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log of the sum of exp(x) over the axes, without overflow.

    −inf where there is nothing to add up: over no elements, and over elements that are all −inf,
    whose gradient is 0.
    """
    tensor = as_float(x)
    axes = reduction.normal_axes(axis, tensor.ndim)
    if not axes:
        return renewed(tensor)
    shift = _finite_maximum(tensor, axes)
    total = reduction.sum(exp(subtract(tensor, shift)), axes, keepdims=True)
    is_nothing = equal(total, 0)
    # The logarithm of nothing is left out of the gradient, which it would make NaN.
    result = where(is_nothing, -math.inf, add(log(where(is_nothing, 1, total)), shift))
    return result if keepdims else squeeze(result, axes)


def _finite_maximum(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The largest element over the axes, a constant; 0 where it is infinite or there is none,
    since inf − inf would be NaN."""
    if any(isinstance(x.shape[i], int) and not x.shape[i] for i in axes):
        return as_tensor(0.0)
    largest = stop_gradient(reduction.largest(x, axes))
    return where(isfinite(largest), largest, 0)


def _shifted(x: Tensor, axis: Axis) -> Tensor:
    """x minus its largest element along the axis, which the gradient may take as a constant."""
    if any(isinstance(n, int) and not n for n in x.shape):
        return x
    return subtract(x, stop_gradient(reduction.largest(x, axis)))
