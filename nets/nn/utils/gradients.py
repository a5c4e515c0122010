"""Gradients and parameters of a whole model at once: clipping, and one flat vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import nets
from nets.nn.functional import one_hot as one_hot
from nets.nn.functional.arguments import Reading, check_number


def get_total_norm(tensors: Iterable[nets.Tensor], norm_type: float = 2.0) -> nets.Tensor:
    """The norm of all elements of all tensors together; ``norm_type`` may be ``math.inf``."""
    check_number("norm_type", norm_type, 0, above=True)
    return _norm(list(tensors), norm_type)


def _norm(tensors: list[nets.Tensor], norm_type: float) -> nets.Tensor:
    if math.isinf(norm_type):
        return nets.max(nets.stack([nets.max(nets.abs(x)) for x in tensors]))
    powers = [nets.sum(nets.abs(x) ** norm_type) for x in tensors]
    return nets.sum(nets.stack(powers)) ** (1 / norm_type)


def clip_grad_norm_(
    parameters: Iterable[nets.Tensor] | nets.Tensor,
    max_norm: float,
    norm_type: float = 2.0,
) -> nets.Tensor:
    """Scale all gradients by one factor, so that the norm of all together is at most max_norm.

    Returns the norm before. ``norm_type`` may be ``math.inf``. ArgumentError for a negative
    ``max_norm`` and a ``norm_type`` that is not positive.
    """
    check_number("max_norm", max_norm, 0)
    check_number("norm_type", norm_type, 0, above=True)
    listed = _listed(parameters)
    gradients = [_gradient(p) for p in listed]
    with nets.no_grad():
        total = _norm(gradients, norm_type)
        factor = nets.minimum(max_norm / (total + 1e-6), 1.0)
        for p, gradient in zip(listed, gradients, strict=True):
            p.grad = gradient * nets.astype(factor, gradient.dtype)
    return total


def clip_grad_value_(parameters: Iterable[nets.Tensor] | nets.Tensor, clip_value: float) -> None:
    """Move every element of the gradients into [−clip_value, clip_value].

    ArgumentError for a negative one.
    """
    check_number("clip_value", clip_value, 0)
    with nets.no_grad():
        for p in _listed(parameters):
            p.grad = nets.clip(_gradient(p), -clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[nets.Tensor]) -> nets.Tensor:
    """All elements along one axis."""
    return nets.concatenate([nets.flatten(p) for p in parameters])


def vector_to_parameters(vector: nets.Tensor, parameters: Iterable[nets.Tensor]) -> None:
    """Give the parameters the elements of a vector that ``parameters_to_vector`` made."""
    listed = list(parameters)
    if vector.size != sum(p.size for p in listed):
        raise nets.errors.ShapeError(
            f"{vector.size} elements are not those of the parameters", nets.user_location()
        )
    start = 0
    for p in listed:
        p.data = vector[start : start + p.size].reshape(p.shape)
        start += p.size


def _listed(parameters: Iterable[nets.Tensor] | nets.Tensor) -> list[nets.Tensor]:
    with Reading("a list of parameters, such as model.parameters() is"):
        found = [parameters] if isinstance(parameters, nets.Tensor) else list(parameters)
        return [p for p in found if p.grad is not None]


def _gradient(p: nets.Tensor) -> nets.Tensor:
    gradient = p.grad
    assert gradient is not None  # _listed leaves such parameters out
    return gradient
