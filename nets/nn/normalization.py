"""Normalisation layers: parameters and running statistics around ``nets.nn.functional``.

``num_features`` or ``num_channels`` is the size of axis 1. ``eps`` is added to the variance, so
that it is never zero. With ``affine``, or ``elementwise_affine``, what results is scaled by a
trained weight and moved by a trained bias, which start at 1 and 0. ``dtype``, by
default float32, is that of the parameters.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn.functional.arguments import check_count, counts
from nets.nn.linear import parameter
from nets.nn.module import Module


class _BatchNorm(Module):
    """Channels of axis 1 brought to mean 0 and variance 1, then scaled and moved.

    In training by the statistics of the batch, whose running means (over the last 1 / momentum
    batches; over all of them where it is None) serve afterwards. Without
    ``track_running_stats`` the batch's own serve always.
    """

    ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = parameter((num_features,), dtype, 1.0) if affine else None
        self.bias = parameter((num_features,), dtype) if affine else None
        self.running_mean: nets.Tensor | None = None
        self.running_var: nets.Tensor | None = None
        if track_running_stats:
            self.register_buffer("running_mean", nets.zeros((num_features,), dtype))
            self.register_buffer("running_var", nets.ones((num_features,), dtype))
            self.register_buffer("num_batches_tracked", nets.Tensor(0))

    def forward(self, x: Any) -> nets.Tensor:
        tensor = nets.as_tensor(x)
        if tensor.ndim not in self.ranks or tensor.shape[1] != self.num_features:
            raise nets.errors.ShapeError(
                f"{type(self).__name__}({self.num_features}) does not take shape {tensor.shape}",
                nets.user_location(),
            )
        training = self.training
        by_batch = training or self.running_mean is None
        # Eval mode without running statistics has nothing to move.
        return F.batch_norm(
            tensor,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            by_batch,
            self._counted(tensor) if by_batch and self.running_mean is not None else 0.0,
            self.eps,
        )

    def _counted(self, x: nets.Tensor) -> float | nets.Tensor:
        """Count the batch; the part of the way the running statistics move."""
        counter: nets.Tensor = self.num_batches_tracked  # type: ignore[attr-defined]
        counter.data = counter + 1
        if self.momentum is not None:
            return self.momentum
        return nets.astype(1.0 / counter, x.dtype)

    def extra_repr(self) -> str:
        return f"{self.num_features}"


class BatchNorm1d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = _BatchNorm.__doc__
    ranks = (5,)


class _InstanceNorm(Module):
    """Each channel of each entry brought to mean 0 and variance 1 over space.

    With ``affine`` scaled and moved by trained numbers; with ``track_running_stats`` evaluated by
    running means of the statistics, which move a part ``momentum`` of the way at each call in
    training. An input without the axis N is one entry.
    """

    rank: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = parameter((num_features,), dtype, 1.0) if affine else None
        self.bias = parameter((num_features,), dtype) if affine else None
        self.running_mean: nets.Tensor | None = None
        self.running_var: nets.Tensor | None = None
        if track_running_stats:
            self.register_buffer("running_mean", nets.zeros((num_features,), dtype))
            self.register_buffer("running_var", nets.ones((num_features,), dtype))
            self.register_buffer("num_batches_tracked", nets.Tensor(0))

    def forward(self, x: Any) -> nets.Tensor:
        tensor = nets.as_tensor(x)
        if tensor.ndim == self.rank + 1:
            return self.forward(tensor[None])[0]
        if tensor.ndim != self.rank + 2 or tensor.shape[1] != self.num_features:
            raise nets.errors.ShapeError(
                f"{type(self).__name__}({self.num_features}) does not take shape {tensor.shape}",
                nets.user_location(),
            )
        by_entry = self.training or self.running_mean is None
        statistics = self.running_mean, self.running_var
        return F.instance_norm(
            tensor, *statistics, self.weight, self.bias, by_entry, self.momentum, self.eps
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}"


class InstanceNorm1d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    rank = 1


class InstanceNorm2d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    rank = 2


class InstanceNorm3d(_InstanceNorm):
    __doc__ = _InstanceNorm.__doc__
    rank = 3


class LocalResponseNorm(Module):
    """x / (k + alpha · mean of x² over ``size`` channels around)^beta."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        check_count("size", size)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> nets.Tensor:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LayerNorm(Module):
    """The last axes, of the shape ``normalized_shape``, brought to mean 0 and variance 1.

    Without ``bias`` there is no trained number to move by.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = counts("normalized_shape", normalized_shape, 0), eps
        self.weight = parameter(self.normalized_shape, dtype, 1.0) if elementwise_affine else None
        with_bias = elementwise_affine and bias
        self.bias = parameter(self.normalized_shape, dtype) if with_bias else None

    def forward(self, x: Any) -> nets.Tensor:
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}"


class RMSNorm(Module):
    """The last axes divided by the root of their mean square, then scaled.

    ``normalized_shape`` is the shape of these axes, or the size of the last one; ``eps`` is by
    default the distance from 1 to the next number of the dtype.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = counts("normalized_shape", normalized_shape, 0), eps
        self.weight = parameter(self.normalized_shape, dtype, 1.0) if elementwise_affine else None

    def forward(self, x: Any) -> nets.Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}"


class GroupNorm(Module):
    """Channels of axis 1 in groups, each brought to mean 0 and variance 1.

    ``num_groups`` divides ``num_channels``, else there is an ArgumentError.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        check_count("num_groups", num_groups)
        check_count("num_channels", num_channels, 0)
        if num_channels % num_groups:
            raise nets.errors.ArgumentError(
                f"{num_channels} channels do not form {num_groups} groups", nets.user_location()
            )
        super().__init__()
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = parameter((num_channels,), dtype, 1.0) if affine else None
        self.bias = parameter((num_channels,), dtype) if affine else None

    def forward(self, x: Any) -> nets.Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}"
