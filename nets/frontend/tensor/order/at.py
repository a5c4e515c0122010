"""x.at[key]: new tensors with some elements changed, in JAX's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nets.frontend.tensor.functions.arithmetic import divide, negative
from nets.frontend.tensor.functions.arithmetic import pow as power
from nets.frontend.tensor.functions.assignment import combined, updated
from nets.frontend.tensor.functions.creation import ones_like
from nets.frontend.tensor.functions.indexing import getitem

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor


class At:
    """What ``x.at`` is: ``x.at[key]`` are the elements of x that ``x[key]`` reads."""

    __slots__ = ("_x",)

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> Places:
        return Places(self._x, key)


class Places:
    """Some elements of a tensor; each method gives a new tensor of its shape and dtype.

    Values broadcast to ``x[key]``. Where an array has an index more than once, all of its values
    are combined, in order; with ``set`` the last one stays. An index that is not there is an
    IndexOutOfBoundsError.
    """

    __slots__ = ("_key", "_x")

    def __init__(self, x: Tensor, key: Any) -> None:
        self._x, self._key = x, key

    def get(self) -> Tensor:
        """x[key]."""
        return getitem(self._x, self._key)

    def set(self, values: TensorLike) -> Tensor:
        """x with the values in these places."""
        return updated(self._x, self._key, values)

    def add(self, values: TensorLike) -> Tensor:
        """x with the values added in these places."""
        return self._combined(values, "add")

    def subtract(self, values: TensorLike) -> Tensor:
        """x less the values in these places."""
        return self._combined(negative(values), "add")

    def multiply(self, values: TensorLike) -> Tensor:
        """x times the values in these places."""
        return self._combined(values, "mul")

    mul = multiply

    def divide(self, values: TensorLike) -> Tensor:
        """x over the product of the values in these places."""
        ones = ones_like(self._x)
        return divide(self._x, Places(ones, self._key).multiply(values))

    def power(self, values: TensorLike) -> Tensor:
        """x to the power of the product of the values in these places."""
        ones = ones_like(self._x)
        return power(self._x, Places(ones, self._key).multiply(values))

    def min(self, values: TensorLike) -> Tensor:
        """The smaller ones of x and the values in these places."""
        return self._combined(values, "min")

    def max(self, values: TensorLike) -> Tensor:
        """The larger ones of x and the values in these places."""
        return self._combined(values, "max")

    def _combined(self, values: TensorLike, combiner: str) -> Tensor:
        return combined(self._x, self._key, values, combiner)
