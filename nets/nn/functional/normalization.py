"""Normalisation: mean and variance of some axes brought to 0 and 1, then scaled and moved.

``input`` is a tensor or array of floats, (N, C, …) where there are channels. ``weight`` scales and
``bias`` moves what results, None for neither; ``eps`` is added to the variance, so that it is never
zero. ``running_mean`` and ``running_var`` (C,) are tensors that a call in training changes, or
None.
"""

from __future__ import annotations

import math

import nets
from nets.nn.functional.arguments import (
    TensorLike,
    check_count,
    check_number,
    check_rank,
    check_shape,
    counts,
)


def layer_norm(
    input: TensorLike,
    normalized_shape: int | tuple[int, ...],
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    eps: float = 1e-5,
) -> nets.Tensor:
    """Over the last axes, which have the shape ``normalized_shape`` (Ba, Kiros, Hinton, 2016).

    ``weight`` and ``bias`` have that shape; ShapeError for an input or parameters with another.
    """
    x = nets.as_tensor(input)
    check_number("eps", eps, 0)
    axes = _last_axes(x, normalized_shape)
    for name, given in (("weight", weight), ("bias", bias)):
        check_shape(name, given, x.shape[axes[0] :])
    distance = x - nets.mean(x, axes, keepdims=True)
    variance = nets.mean(distance * distance, axes, keepdims=True)
    return _affine(distance / nets.sqrt(variance + eps), weight, bias)


def rms_norm(
    input: TensorLike,
    normalized_shape: int | tuple[int, ...],
    weight: TensorLike | None = None,
    eps: float | None = None,
) -> nets.Tensor:
    """Divided by the root of the mean square of the last axes (Zhang and Sennrich, 2019).

    ``eps`` is by default the distance from 1 to the next number of the dtype.

    ``normalized_shape`` is the shape of these axes, and of ``weight``; ShapeError for others.
    """
    x = nets.as_tensor(input)
    axes = _last_axes(x, normalized_shape)
    check_shape("weight", weight, x.shape[axes[0] :])
    check_number("eps", 0 if eps is None else eps, 0)
    small = (2.0**-23 if x.dtype == "float32" else 2.0**-52) if eps is None else eps
    return _affine(x / nets.sqrt(nets.mean(x * x, axes, keepdims=True) + small), weight, None)


def group_norm(
    input: TensorLike,
    num_groups: int,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    eps: float = 1e-5,
) -> nets.Tensor:
    """Over the axes after the first, the channels of axis 1 in groups (Wu and He, 2018).

    ``num_groups`` divides the channels, ShapeError where it does not; ``weight`` and ``bias`` have
    one number for each channel.
    """
    x = nets.as_tensor(input)
    check_count("num_groups", num_groups)
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise nets.errors.ShapeError(
            f"the channels of shape {x.shape} do not form {num_groups} groups",
            nets.user_location(),
        )
    for name, given in (("weight", weight), ("bias", bias)):
        check_shape(name, given, x.shape[1:2])
    size = math.prod(x.shape[1:]) // num_groups
    groups = x.reshape((x.shape[0], num_groups, size))
    normal = layer_norm(groups, groups.shape[-1], eps=eps).reshape(x.shape)
    return _affine(normal, _per_channel(weight, x), _per_channel(bias, x))


def batch_norm(
    input: TensorLike,
    running_mean: nets.Tensor | None,
    running_var: nets.Tensor | None,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    training: bool = False,
    momentum: float | nets.Tensor = 0.1,
    eps: float = 1e-5,
) -> nets.Tensor:
    """Each channel of axis 1 over all other axes (Ioffe and Szegedy, 2015).

    In training by the mean and variance of the batch, which also move the running ones a part
    ``momentum`` of the way; otherwise by the running ones. ShapeError for an input without
    channels, and for statistics, weight or bias that are not one number for each.
    """
    x = nets.as_tensor(input)
    check_rank("batch_norm", x, 2, "(N, C, …)")
    check_number("eps", eps, 0)
    check_number("momentum", momentum, 0, 1)
    given = {"running_mean": running_mean, "running_var": running_var}
    for name, tensor in (given | {"weight": weight, "bias": bias}).items():
        check_shape(name, tensor, x.shape[1:2])
    if not training:
        if running_mean is None or running_var is None:
            raise nets.errors.ArgumentError(
                "batch_norm outside training needs running_mean and running_var",
                nets.user_location(),
            )
        distance = x - _per_channel(running_mean, x)
        variance = _per_channel(running_var, x)
        return _scaled(distance, variance, weight, bias, eps)
    axes = (0, *range(2, x.ndim))
    mean = nets.mean(x, axes, keepdims=True)
    distance = x - mean
    variance = nets.mean(distance * distance, axes, keepdims=True)
    count = x.size // max(x.shape[1], 1)
    if count < 2:
        raise nets.errors.ShapeError(
            f"batch_norm in training needs more than one value per channel, not shape {x.shape}",
            nets.user_location(),
        )
    _move(running_mean, mean, momentum)
    _move(running_var, variance * (count / (count - 1)), momentum)
    return _scaled(distance, variance, weight, bias, eps)


def instance_norm(
    input: TensorLike,
    running_mean: nets.Tensor | None = None,
    running_var: nets.Tensor | None = None,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    use_input_stats: bool = True,
    momentum: float | nets.Tensor = 0.1,
    eps: float = 1e-5,
) -> nets.Tensor:
    """Each channel of each entry of (N, C, *space) over space (Ulyanov et al., 2016).

    With ``use_input_stats`` by the mean and variance of the entry, whose means over the entries
    move ``running_mean`` and ``running_var`` a part ``momentum`` of the way; otherwise by these.
    ``weight`` and ``bias`` (C,) scale and move the result; ``eps`` is added to the variance.
    """
    x = nets.as_tensor(input)
    check_rank("instance_norm", x, 3, "(N, C, *space)")
    options = weight, bias, False, momentum, eps
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, *options)
    check_number("eps", eps, 0)
    check_number("momentum", momentum, 0, 1)
    for name, tensor in (("weight", weight), ("bias", bias), ("running_mean", running_mean)):
        check_shape(name, tensor, x.shape[1:2])
    axes, count = tuple(range(2, x.ndim)), math.prod(x.shape[2:])
    if count < 2:
        raise nets.errors.ShapeError(
            f"instance_norm needs more than one value per channel, not shape {x.shape}",
            nets.user_location(),
        )
    mean = nets.mean(x, axes, keepdims=True)
    distance = x - mean
    variance = nets.mean(distance * distance, axes, keepdims=True)
    _move(running_mean, nets.mean(mean, 0), momentum)
    _move(running_var, nets.mean(variance, 0) * (count / (count - 1)), momentum)
    return _scaled(distance, variance, weight, bias, eps)


def local_response_norm(
    input: TensorLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> nets.Tensor:
    """x / (k + alpha · mean of x² over ``size`` channels around)^beta, of (N, C, *space).

    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012. ShapeError for fewer than three axes, ArgumentError for a ``size`` below 1.
    """
    x = nets.as_tensor(input)
    check_rank("local_response_norm", x, 3, "(N, C, *space)")
    check_count("size", size)
    widths = [(0, 0)] * x.ndim
    widths[1] = (size // 2, (size - 1) // 2)
    squares = nets.pad(x * x, widths)
    total = nets.zeros((), x.dtype)
    for i in range(size):
        total = total + squares[:, i : i + x.shape[1]]
    return x / nets.pow(k + alpha * (total / size), beta)


def normalize(
    input: TensorLike, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12
) -> nets.Tensor:
    """x divided by its ``p``-norm along an axis, or by ``eps`` where that is larger.

    ``dim`` is that axis, or a tuple of axes that count as one; AxisError where there is none.
    """
    check_number("p", p)
    check_number("eps", eps, 0)
    x = nets.as_tensor(input)
    return x / nets.clip(x.norm(p, dim, keepdim=True), eps)


def _scaled(
    distance: nets.Tensor,
    variance: nets.Tensor,
    weight: TensorLike | None,
    bias: TensorLike | None,
    eps: float,
) -> nets.Tensor:
    normal = distance / nets.sqrt(variance + eps)
    return _affine(normal, _per_channel(weight, distance), _per_channel(bias, distance))


def _move(running: nets.Tensor | None, found: nets.Tensor, part: float | nets.Tensor) -> None:
    if running is None:
        return
    with nets.no_grad():
        new = nets.stop_gradient(found).reshape(running.shape)
        running.data = (1 - part) * running + part * new


def _per_channel(x: TensorLike | None, like: nets.Tensor) -> nets.Tensor:
    """Shape (C,) as (1, C, 1, …); a missing tensor stays so."""
    if x is None:
        return None  # type: ignore[return-value]  # handed on to _affine, which takes it
    return nets.reshape(x, (1, -1) + (1,) * (like.ndim - 2))


def _affine(x: nets.Tensor, weight: TensorLike | None, bias: TensorLike | None) -> nets.Tensor:
    result = x if weight is None else x * weight
    return result if bias is None else result + bias


def _last_axes(x: nets.Tensor, shape: int | tuple[int, ...]) -> tuple[int, ...]:
    sizes = counts("normalized_shape", shape, 0)
    if not sizes or x.shape[-len(sizes) :] != sizes:
        raise nets.errors.ShapeError(
            f"the last axes of shape {x.shape} are not {sizes}", nets.user_location()
        )
    return tuple(range(x.ndim - len(sizes), x.ndim))
