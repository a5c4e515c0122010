"""Functions about gradients themselves, and about dtypes they pass through."""

from __future__ import annotations

import numpy.typing as npt

from nets.frontend.tensor.conversion import dtype_of
from nets.frontend.tensor.dispatch import TensorLike, apply, as_tensor, cast, renewed
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Variable
from nets.frontend.tensor.words.devices import on_cpu
from nets.ir.types import DType


def stop_gradient(x: TensorLike) -> Tensor:
    """x as a constant to every gradient."""
    tensor = as_tensor(x)
    value = tensor._value
    if current_scope() is None and isinstance(value, Variable):
        return Tensor._of(Variable(value.data, value.type), tensor._weak)
    return apply("stop_gradient", tensor)


def astype(
    x: TensorLike,
    dtype: npt.DTypeLike | DType,
    *,
    copy: bool = True,
    device: str | None = None,
) -> Tensor:
    """x in another dtype; x itself where it has it already and ``copy`` is false.

    Floats become integers by truncation; what does not fit becomes the nearest integer that
    does, and NaN becomes 0. Gradients pass between floats, and from integers to floats.
    ``device`` is "cpu".
    """
    on_cpu(device)
    tensor = as_tensor(x)
    result = cast(tensor, dtype_of(dtype))
    if result is tensor:
        if not copy and not tensor._weak:
            return tensor
        result = renewed(tensor)
    result._weak = False
    return result
