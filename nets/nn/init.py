"""Initial values of parameters. Each function gives the tensor new elements and returns it.

Names and formulas are PyTorch's; the numbers come from ``nets.random`` (``nets.manual_seed``).

``tensor`` is what gets new elements, of its own shape and dtype. ``gain`` multiplies them, such as
``calculate_gain`` gives it. For a weight (out, in, *kernel), fan_in is in times the size of the
kernel, fan_out is out times that; ShapeError for fewer than two axes. ``mode`` says which of both
keeps the size of signals: "fan_in" forwards, "fan_out" backwards. ``nonlinearity`` names what
follows the layer, as for ``calculate_gain``; ``a`` is then the slope of "leaky_relu".
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

import nets
from nets.nn.functional.arguments import check, check_number

Mode = Literal["fan_in", "fan_out"]

_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """How much larger weights are before this function, so that signals keep their size.

    ``nonlinearity``: "linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu" with the slope
    ``param`` (None: 0.01), or a name that begins with "conv". ArgumentError for others.
    """
    check(isinstance(nonlinearity, str), f"a function is named by a text, not {nonlinearity!r}")
    check_number("param", 0 if param is None else param)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity.startswith("conv"):
        return 1.0
    if nonlinearity not in _GAINS:
        raise nets.errors.ArgumentError(
            f"no gain is known for {nonlinearity!r}", nets.user_location()
        )
    return _GAINS[nonlinearity]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs each element of a weight (out, in, *kernel) is connected with.

    ``shape`` is that of the weight.
    """
    if len(shape) < 2:
        raise nets.errors.ShapeError(
            f"a weight has at least two axes, not shape {shape}", nets.user_location()
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def uniform_(tensor: nets.Tensor, a: float = 0.0, b: float = 1.0) -> nets.Tensor:
    """Evenly distributed in [a, b); ArgumentError where these are not in order."""
    return _fill(tensor, nets.random.uniform(tensor.shape, a, b, tensor.dtype))


def normal_(tensor: nets.Tensor, mean: float = 0.0, std: float = 1.0) -> nets.Tensor:
    """Normally distributed.

    ``mean`` and ``std``, the standard deviation, are those of the distribution.
    """
    return _fill(tensor, nets.random.normal(tensor.shape, mean, std, tensor.dtype))


def trunc_normal_(
    tensor: nets.Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> nets.Tensor:
    """Normally distributed within [a, b]: numbers outside are drawn again.

    ArgumentError for bounds that are not in order, and for those beyond which nearly all numbers
    lie.

    ``mean`` and ``std`` are those of the distribution before it is cut.
    """
    check_number("std", std, 0)
    for name, number in (("mean", mean), ("a", a), ("b", b)):
        check_number(name, number)
    check(_part_within(mean, std, a, b) > 1e-3, f"[{a}, {b}] holds no such numbers")
    drawn = nets.random.normal(tensor.shape, mean, std, tensor.dtype)
    while nets.any(outside := (drawn < a) | (drawn > b)):
        again = nets.random.normal(tensor.shape, mean, std, tensor.dtype)
        drawn = nets.where(outside, again, drawn)
    return _fill(tensor, drawn)


def _part_within(mean: float, std: float, a: float, b: float) -> float:
    """The part of normally distributed numbers that lies in [a, b]."""
    if std == 0:
        return float(a <= mean <= b)
    below_b, below_a = (math.erf((bound - mean) / std / math.sqrt(2)) for bound in (b, a))
    return (below_b - below_a) / 2


def constant_(tensor: nets.Tensor, val: float) -> nets.Tensor:
    """One value everywhere.

    ``val`` is the value.
    """
    return _fill(tensor, nets.full(tensor.shape, val, tensor.dtype))


def zeros_(tensor: nets.Tensor) -> nets.Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: nets.Tensor) -> nets.Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: nets.Tensor) -> nets.Tensor:
    """The identity matrix; ShapeError for a tensor that is no matrix."""
    if tensor.ndim != 2:
        raise nets.errors.ShapeError(
            f"a matrix has two axes, not shape {tensor.shape}", nets.user_location()
        )
    rows, columns = tensor.shape
    return _fill(tensor, nets.eye(rows, columns, dtype=tensor.dtype))


def xavier_uniform_(tensor: nets.Tensor, gain: float = 1.0) -> nets.Tensor:
    """Uniform with variance gain² · 2 / (fan_in + fan_out).

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: nets.Tensor, gain: float = 1.0) -> nets.Tensor:
    """Normal with variance gain² · 2 / (fan_in + fan_out)."""
    return normal_(tensor, 0.0, _xavier_std(tensor, gain))


def _xavier_std(tensor: nets.Tensor, gain: float) -> float:
    check_number("gain", gain, 0)
    both = sum(fans(tensor.shape))
    return gain * math.sqrt(2.0 / both) if both else 0.0


def kaiming_uniform_(
    tensor: nets.Tensor, a: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> nets.Tensor:
    """Uniform with variance gain² / fan.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: nets.Tensor, a: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> nets.Tensor:
    """Normal with variance gain² / fan."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def orthogonal_(tensor: nets.Tensor, gain: float = 1.0) -> nets.Tensor:
    """Rows (or columns, if these are fewer) at right angles, of length gain; further axes count as
    columns.

    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", 2014.
    """
    fans(tensor.shape)  # refuses fewer than two axes
    check_number("gain", gain)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    drawn = nets.random.normal((rows, columns), dtype="float64").numpy()
    is_wide = rows < columns
    basis, upper = np.linalg.qr(drawn.T if is_wide else drawn)
    basis *= np.where(np.diag(upper) < 0, -gain, gain)  # all rotations are as likely, then
    return _fill(tensor, nets.Tensor((basis.T if is_wide else basis).reshape(tensor.shape)))


def _kaiming_std(tensor: nets.Tensor, a: float, mode: Mode, nonlinearity: str) -> float:
    check(mode in ("fan_in", "fan_out"), f"mode is 'fan_in' or 'fan_out', not {mode!r}")
    fan = fans(tensor.shape)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def _fill(tensor: nets.Tensor, elements: nets.Tensor) -> nets.Tensor:
    tensor.data = elements
    return tensor
