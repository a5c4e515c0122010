"""Functions of each element that other names here are made of."""

from __future__ import annotations

from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike
from nets.frontend.tensor.tensor import Tensor

around = F.round


def conj(x: TensorLike) -> Tensor:
    """The elements: there are no complex numbers."""
    return F.positive(x)


def real(x: TensorLike) -> Tensor:
    """The elements: there are no complex numbers."""
    return F.positive(x)


def imag(x: TensorLike) -> Tensor:
    """Zeros of the shape and dtype of x: there are no complex numbers."""
    return F.zeros_like(x)
