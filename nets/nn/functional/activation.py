"""Activations; those of ``nets`` itself under PyTorch's argument names, and their relatives.

``inplace`` is taken where PyTorch has it and makes no difference.

``input`` is a tensor or array of any shape, the x of the formulas, and the result has its shape
where nothing else is said. Floats keep their dtype; what no integer can be is float64 for integers.
``dim`` is the axis along which elements belong together, by default the last; AxisError where there
is none. ``dtype`` is what x is converted to before, None for its own.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy.typing as npt

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
    """x · Φ(x); see ``nets.gelu``.

    ``approximate``: "none" takes Φ itself, "tanh" the approximation 0.5 · x · (1 + tanh(√(2 / π) ·
    (x + 0.044715 · x³))). ArgumentError for others.
    """
    return nets.gelu(input, approximate)


def _cast(input: TensorLike, dtype: npt.DTypeLike | None) -> nets.Tensor:
    return nets.as_tensor(input) if dtype is None else nets.astype(input, dtype)


def softmax(input: TensorLike, dim: int = -1, dtype: npt.DTypeLike | None = None) -> nets.Tensor:
    """Exponentials along an axis, divided by their sum; of x in that dtype, where one is given."""
    return _cast(input, dtype).softmax(dim)


def log_softmax(
    input: TensorLike, dim: int = -1, dtype: npt.DTypeLike | None = None
) -> nets.Tensor:
    """The logarithm of ``softmax``."""
    return _cast(input, dtype).log_softmax(dim)


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


def softmin(input: TensorLike, dim: int = -1, dtype: npt.DTypeLike | None = None) -> nets.Tensor:
    """``softmax`` of −x."""
    return softmax(-_cast(input, dtype), dim)


def gumbel_softmax(
    logits: TensorLike, tau: float = 1.0, hard: bool = False, dim: int = -1
) -> nets.Tensor:
    """A sample of the categories that ``logits`` are scores of, softened by ``tau``.

    With ``hard`` the largest is 1 and all else 0, with the gradient of the soft one. Jang, Gu and
    Poole, "Categorical reparameterization with Gumbel-softmax", 2017. The numbers come from
    ``nets.random.default_generator``. ArgumentError for a ``tau`` that is not positive.
    """
    check_number("tau", tau, 0, above=True)
    x = nets.as_tensor(logits)
    uniform = nets.random.uniform(x.shape)
    # Of −log u, which is exponential, the logarithm again; u is never 0 here.
    noise = -nets.log(-nets.log(nets.where(uniform > 0, uniform, 1e-12)))
    soft = nets.softmax((x + nets.astype(noise, x.dtype)) / tau, dim)
    if not hard:
        return soft
    best = nets.one_hot(nets.argmax(soft, dim), x.shape[dim])
    chosen = nets.moveaxis(nets.astype(best, x.dtype), -1, dim)
    return chosen - nets.stop_gradient(soft) + soft


def threshold(
    input: TensorLike, threshold: float, value: float, inplace: bool = False
) -> nets.Tensor:
    """x where it is above the threshold, else ``value``."""
    x = nets.as_tensor(input)
    return nets.where(x <= threshold, value, x)


def hardshrink(input: TensorLike, lambd: float = 0.5) -> nets.Tensor:
    """x where it is outside [−lambd, lambd], else 0."""
    check_number("lambd", lambd)
    x = nets.as_tensor(input)
    return nets.where((x >= -lambd) & (x <= lambd), 0, x)


def softshrink(input: TensorLike, lambd: float = 0.5) -> nets.Tensor:
    """x moved towards 0 by ``lambd``, and 0 where nearer. ArgumentError for a negative one."""
    check_number("lambd", lambd, 0)
    x = nets.as_tensor(input)
    return nets.where(x > lambd, x - lambd, nets.where(x < -lambd, x + lambd, x * 0))


def tanhshrink(input: TensorLike) -> nets.Tensor:
    """x − tanh(x)."""
    x = nets.as_tensor(input)
    return x - nets.tanh(x)


def prelu(input: TensorLike, weight: TensorLike) -> nets.Tensor:
    """x where it is positive, else ``weight`` · x: one weight, or one for each channel of axis 1.

    ShapeError for as many weights as there are no channels.
    """
    x, w = nets.as_tensor(input), nets.as_tensor(weight)
    if w.size != 1:
        channels = x.shape[1] if x.ndim > 1 else 1
        if w.ndim != 1 or w.size != channels:
            raise nets.errors.ShapeError(
                f"prelu takes one weight or one for each of {channels} channels, not {w.shape}",
                nets.user_location(),
            )
        w = nets.reshape(w, (-1,) + (1,) * (x.ndim - 2))
    elif w.ndim:
        w = nets.reshape(w, ())
    return nets.where(x > 0, x, w * x)


def rrelu(
    input: TensorLike,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> nets.Tensor:
    """x where it is positive, else x by a slope between ``lower`` and ``upper``: drawn for each
    element in training, the mean otherwise. ArgumentError for bounds that are not in order."""
    check_number("lower", lower)
    check_number("upper", upper, lower)
    x = nets.as_tensor(input)
    if not training:
        return nets.leaky_relu(x, (lower + upper) / 2)
    slope = nets.astype(nets.random.uniform(x.shape) * (upper - lower) + lower, x.dtype)
    return nets.where(x > 0, x, x * slope)
