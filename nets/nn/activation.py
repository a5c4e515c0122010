"""Activations as modules, for use in a Sequential.

``dim`` is the axis along which elements belong together, by default the last. Other options are
those of the function of the same name in ``nets.nn.functional``.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn.module import Module, Parameter, also_named


class _Activation(Module):
    """Base of the activations for which PyTorch has ``inplace``.

    It is taken and makes no difference: where memory is used again is planned by the compiler.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()


class ReLU(_Activation):
    """x where it is positive, else 0."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.relu(x)


class ReLU6(_Activation):
    """x moved into [0, 6]."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.relu6(x)


class LeakyReLU(_Activation):
    """x where it is positive, else ``negative_slope`` · x."""

    @also_named(alpha="negative_slope")
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> nets.Tensor:
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"{self.negative_slope}"


class PReLU(Module):
    """x where it is positive, else weight · x, with one trained slope or one per channel.

    ``num_parameters`` is 1, or the number of channels, on axis 1; the slopes start at ``init``.
    ``dtype``, by default float32, is theirs.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, dtype: npt.DTypeLike = "float32"
    ) -> None:
        super().__init__()
        self.weight = Parameter(nets.full((num_parameters,), init, dtype))

    def forward(self, x: Any) -> nets.Tensor:
        return F.prelu(x, self.weight)


class ELU(_Activation):
    """x where it is positive, else alpha · (exp(x) − 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, x: Any) -> nets.Tensor:
        return F.elu(x, self.alpha)


class CELU(ELU):
    """x where it is positive, else alpha · (exp(x / alpha) − 1)."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.celu(x, self.alpha)


class SELU(_Activation):
    """ELU with the constants that keep mean 0 and variance 1."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.selu(x)


class GELU(Module):
    """x · Φ(x), Φ the normal distribution function.

    ``approximate``: "none" takes Φ itself, "tanh" an approximation of it by tanh.
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Any) -> nets.Tensor:
        return F.gelu(x, self.approximate)


class SiLU(_Activation):
    """x · sigmoid(x)."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.silu(x)


class Mish(_Activation):
    """x · tanh(softplus(x))."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.mish(x)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(−x))."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.sigmoid(x)


class LogSigmoid(Module):
    """log(sigmoid(x))."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.logsigmoid(x)


class Hardtanh(_Activation):
    """x moved into [min_val, max_val]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Any) -> nets.Tensor:
        return F.hardtanh(x, self.min_val, self.max_val)


class Hardsigmoid(_Activation):
    """x / 6 + 1/2, moved into [0, 1]."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.hardsigmoid(x)


class Hardswish(_Activation):
    """x · Hardsigmoid(x)."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.hardswish(x)


class GLU(Module):
    """a · sigmoid(b), a and b the halves of x along an axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Any) -> nets.Tensor:
        return F.glu(x, self.dim)


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta.

    x itself where ``beta`` · x is above the ``threshold``. ArgumentError for a ``beta`` of 0.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Any) -> nets.Tensor:
        return F.softplus(x, self.beta, self.threshold)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.softsign(x)


class Softmax(Module):
    """Exponentials along an axis, divided by their sum."""

    @also_named(axis="dim")
    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Any) -> nets.Tensor:
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of Softmax."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.log_softmax(x, self.dim)


class Softmin(Module):
    """``Softmax`` of −x along the axis ``dim``."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Any) -> nets.Tensor:
        return F.softmin(x, self.dim)


class Softmax2d(Module):
    """``Softmax`` over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, x: Any) -> nets.Tensor:
        tensor = nets.as_tensor(x)
        if tensor.ndim not in (3, 4):
            raise nets.errors.ShapeError(
                f"Softmax2d takes (N, C, H, W) or (C, H, W), not {tensor.shape}",
                nets.user_location(),
            )
        return F.softmax(tensor, -3)


class Threshold(_Activation):
    """x where it is above the ``threshold``, else ``value``."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold, self.value = threshold, value

    def forward(self, x: Any) -> nets.Tensor:
        return F.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"{self.threshold}, {self.value}"


class Hardshrink(Module):
    """x where it is outside [−lambd, lambd], else 0."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Any) -> nets.Tensor:
        return F.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Hardshrink):
    """x moved towards 0 by ``lambd``, and 0 where nearer."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.softshrink(x, self.lambd)


class Tanhshrink(Module):
    """x − tanh(x)."""

    def forward(self, x: Any) -> nets.Tensor:
        return F.tanhshrink(x)


class RReLU(_Activation):
    """x where it is positive, else x by a slope between ``lower`` and ``upper``, drawn for each
    element in training."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.lower, self.upper = lower, upper

    def forward(self, x: Any) -> nets.Tensor:
        return F.rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"{self.lower}, {self.upper}"
