"""Emitter: what derivative rules and composite functions build with.

The same rule runs on two emitters: ``GraphEmitter`` inserts operations into IR, the eager one
(``nets.frontend.tensor``) evaluates at once. Rules use the short methods below and ``value.type``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nets.ir.builder import Builder
from nets.ir.core import Attribute, Value
from nets.ir.location import GradientLocation, Location
from nets.ir.sizes import Dim, Size
from nets.ir.types import DType, Shape, TensorType
from nets.ops.definition.registry import lookup


class Emitter(ABC):
    """Emits tensor ops by name. Operands of elementwise ops must have equal types."""

    def derive(self, name: str, location: Location | None) -> None:  # noqa: B027
        """What follows is the derivative of the op of that name, which stands at the location."""

    @abstractmethod
    def emit_all(self, name: str, *operands: Value, **attributes: Attribute) -> tuple[Value, ...]:
        """Emit the op and give all its results."""

    def emit(self, name: str, *operands: Value, **attributes: Attribute) -> Value:
        """Emit an op with one result."""
        (result,) = self.emit_all(name, *operands, **attributes)
        return result

    # Elementwise, operands of one type.
    def add(self, x: Value, y: Value) -> Value:
        return self.emit("add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self.emit("subtract", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self.emit("multiply", x, y)

    def div(self, x: Value, y: Value) -> Value:
        return self.emit("divide", x, y)

    def neg(self, x: Value) -> Value:
        return self.emit("negative", x)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.emit("select", condition, x, y)

    def compare(self, name: str, x: Value, y: Value) -> Value:
        """``name`` is equal, not_equal, less, less_equal, greater or greater_equal."""
        return self.emit(name, x, y)

    def cast(self, x: Value, dtype: DType) -> Value:
        return x if x.type.dtype == dtype else self.emit("cast", x, dtype=dtype)

    # Constants.
    def constant(self, value: Any, dtype: DType) -> Value:
        """A constant array."""
        return self.emit("constant", value=np.asarray(value, dtype=dtype.numpy))

    def full(self, shape: Shape, value: complex | Size, dtype: DType) -> Value:
        """A tensor of that shape filled with one number, which may be a size that a call tells."""
        if isinstance(value, Size):
            scalar = self.emit("size_of", size=value, dtype=dtype)
        else:
            scalar = self.constant(value, dtype)
        return self.broadcast(scalar, shape, ()) if shape else scalar

    def full_like(self, x: Value, value: complex | Size) -> Value:
        return self.full(tensor_type(x).shape, value, x.type.dtype)

    def zero(self, x: Value) -> Value:
        return self.full_like(x, 0)

    def one(self, x: Value) -> Value:
        return self.full_like(x, 1)

    def scale(self, x: Value, factor: float) -> Value:
        """x times a number."""
        return self.mul(x, self.full_like(x, factor))

    # Shapes.
    def broadcast(self, x: Value, shape: Shape, axes: Sequence[int]) -> Value:
        """Axis i of ``x`` becomes axis ``axes[i]`` of the result; the others repeat."""
        if tensor_type(x).shape == tuple(shape):
            return x
        return self.emit("broadcast", x, shape=tuple(shape), axes=tuple(axes))

    def repeated(self, x: Value, size: Dim) -> Value:
        """x with a new first axis of that size, along which it repeats."""
        shape = tensor_type(x).shape
        return self.broadcast(x, (size, *shape), range(1, 1 + len(shape)))

    def moved(self, x: Value, source: int, target: int) -> Value:
        """x with one axis moved to another place among the others, as in numpy.moveaxis."""
        axes = list(range(tensor_type(x).rank))
        axes.insert(target, axes.pop(source))
        return self.transpose(x, axes)

    def reshape(self, x: Value, shape: Shape) -> Value:
        if tensor_type(x).shape == tuple(shape):
            return x
        return self.emit("reshape", x, shape=tuple(shape))

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """Axis i of the result is axis ``axes[i]`` of ``x``."""
        if tuple(axes) == tuple(range(len(axes))):
            return x
        return self.emit("transpose", x, axes=tuple(axes))

    def sum(self, x: Value, axes: Sequence[int]) -> Value:
        """Sum over the axes, which the result no longer has."""
        return self.emit("reduce_sum", x, axes=tuple(axes)) if axes else x


class GraphEmitter(Emitter):
    """Inserts the operations where a Builder stands."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def derive(self, name: str, location: Location | None) -> None:
        self.builder.location = None if location is None else GradientLocation(location, name)

    def emit_all(self, name: str, *operands: Value, **attributes: Attribute) -> tuple[Value, ...]:
        return self.builder.create(lookup(name), operands, attributes).results


def tensor_type(x: Value) -> TensorType:
    """The type of a value that must be a tensor."""
    assert isinstance(x.type, TensorType), x.type
    return x.type
