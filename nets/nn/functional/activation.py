"""Activations; those of ``nets`` itself under PyTorch's argument names, and their relatives.

``inplace`` is taken where PyTorch has it and makes no difference.
"""

from __future__ import annotations

from typing import Final, Literal

import nets
from nets.nn.functional.arguments import TensorLike, check, check_number

_SELU_ALPHA: Final = 1.6732632423543772848170429916717
_SELU_SCALE: Final = 1.0507009873554804934193349852946

sigmoid = nets.sigmoid
tanh = nets.tanh


def relu(input: TensorLike, inplace: bool = False) -> nets.Tensor:
    """x where it is positive, else 0."""
    return nets.relu(input)


def silu(input: TensorLike, inplace: bool = False) -> nets.Tensor:
    """x · sigmoid(x)."""
    return nets.silu(input)


def leaky_relu(
    input: TensorLike, negative_slope: float = 0.01, inplace: bool = False
) -> nets.Tensor:
    """x where it is positive, else ``negative_slope`` · x."""
    return nets.leaky_relu(input, negative_slope)


def gelu(input: TensorLike, approximate: Literal["none", "tanh"] = "none") -> nets.Tensor:
    """x · Φ(x); see ``nets.gelu``."""
    return nets.gelu(input, approximate)


def softmax(input: TensorLike, dim: int = -1) -> nets.Tensor:
    """Exponentials along an axis, divided by their sum."""
    return nets.softmax(input, dim)


def log_softmax(input: TensorLike, dim: int = -1) -> nets.Tensor:
    """The logarithm of ``softmax``."""
    return nets.log_softmax(input, dim)


def softplus(input: TensorLike, beta: float = 1.0, threshold: float = 20.0) -> nets.Tensor:
    """log(1 + exp(beta · x)) / beta; x itself where beta · x is above the threshold.

    ArgumentError for a ``beta`` of 0.
    """
    x = nets.as_tensor(input)
    return nets.where(x * beta > threshold, x, nets.softplus(x, beta))


def logsigmoid(input: TensorLike) -> nets.Tensor:
    """log(sigmoid(x)), as exact for large |x| as for small."""
    return -nets.softplus(-nets.as_tensor(input))


def elu(input: TensorLike, alpha: float = 1.0, inplace: bool = False) -> nets.Tensor:
    """x where it is positive, else alpha · (exp(x) − 1); the derivative at 0 is alpha, of NaN 1."""
    x = nets.as_tensor(input)
    bent = x <= 0
    # The exponent is kept at 0 where it is not used: its infinity would make the gradient NaN.
    return nets.where(bent, alpha * nets.expm1(nets.where(bent, x, 0)), x)


def selu(input: TensorLike, inplace: bool = False) -> nets.Tensor:
    """``elu`` with the constants that keep mean 0 and variance 1 (Klambauer et al., 2017)."""
    return _SELU_SCALE * elu(input, _SELU_ALPHA)


def celu(input: TensorLike, alpha: float = 1.0, inplace: bool = False) -> nets.Tensor:
    """``elu`` of x / alpha, times alpha, whose derivative has no step (Barron, 2017).

    ArgumentError for an ``alpha`` of 0.
    """
    check_number("alpha", alpha)
    check(alpha != 0, "the alpha of celu is not 0")
    return alpha * elu(nets.as_tensor(input) / alpha)


def glu(input: TensorLike, dim: int = -1) -> nets.Tensor:
    """a · sigmoid(b), a and b the halves of x along an axis (Dauphin et al., 2017).

    ShapeError for an axis of odd size.
    """
    a, b = nets.split(nets.as_tensor(input), 2, dim)
    return a * nets.sigmoid(b)


def hardsigmoid(input: TensorLike, inplace: bool = False) -> nets.Tensor:
    """x / 6 + 1/2, moved into [0, 1]; on the bounds the derivative is 0."""
    return hardtanh(nets.as_tensor(input), -3.0, 3.0) / 6 + 0.5


def hardswish(input: TensorLike, inplace: bool = False) -> nets.Tensor:
    """x · hardsigmoid(x) (Howard et al., 2019)."""
    x = nets.as_tensor(input)
    return x * hardsigmoid(x)


def mish(input: TensorLike, inplace: bool = False) -> nets.Tensor:
    """x · tanh(softplus(x)) (Misra, 2019)."""
    x = nets.as_tensor(input)
    return x * nets.tanh(nets.softplus(x))


def hardtanh(
    input: TensorLike, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> nets.Tensor:
    """x moved into [min_val, max_val]; on the bounds the derivative is 0.

    ArgumentError for bounds that are not in order.
    """
    check_number("min_val", min_val)
    check_number("max_val", max_val, min_val)
    x = nets.as_tensor(input)
    inside = nets.where(x <= min_val, min_val, x)
    return nets.where(x >= max_val, max_val, inside)


def relu6(input: TensorLike, inplace: bool = False) -> nets.Tensor:
    """x moved into [0, 6]."""
    return hardtanh(input, 0.0, 6.0)


def softsign(input: TensorLike) -> nets.Tensor:
    """x / (1 + |x|)."""
    x = nets.as_tensor(input)
    return x / (1 + nets.abs(x))
