"""Functions of each element that other names here are made of."""

from __future__ import annotations

from nets.frontend.tensor import functions as F
from nets.frontend.tensor.dispatch import TensorLike, as_tensor
from nets.frontend.tensor.tensor import Tensor

around = F.round


def isreal(x: TensorLike) -> Tensor:
    """True for every element: there are no complex numbers. ``x`` is a tensor."""
    return F.ones_like(x, "bool")


def iscomplex(x: TensorLike) -> Tensor:
    """False for every element: there are no complex numbers. ``x`` is a tensor."""
    return F.zeros_like(x, "bool")


def isrealobj(x: TensorLike) -> bool:
    """True: there are no complex numbers. ``x`` is a tensor."""
    as_tensor(x)
    return True


def iscomplexobj(x: TensorLike) -> bool:
    """False: there are no complex numbers. ``x`` is a tensor."""
    as_tensor(x)
    return False
