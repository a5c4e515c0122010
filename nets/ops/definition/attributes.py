"""Attributes: the kinds there are. Each checks a value, names itself, and knows how it is stacked.

To stack an op is to give it operands with a new leading axis, one entry per example, so that one
operation does the work of many. Where each attribute's kind knows what it is then, the op itself,
with the attributes that ``stacked`` gives, is its own batched form.

How a value is written in text the value tells alone (``nets.ir.printer``): broken programs, whose
attributes are of no kind, are printed as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import numpy as np

from nets.errors import REFUSALS
from nets.ir.core import Attribute
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, DType, ScalarType, TensorType, VectorType


class Kind(ABC):
    """What an attribute is, and what it becomes where the op is stacked: by itself, the same."""

    words: ClassVar[str]
    """The kind in an error message: the attribute … is …"""

    @abstractmethod
    def fits(self, value: object) -> bool:
        """Whether a value is of this kind."""

    def stacked(self, value: Attribute, size: Dim) -> Attribute:
        """The attribute of the op on operands with a new first axis of that size."""
        return value


class Integer(Kind):
    """A count, which examples have in common."""

    words = "an integer"

    def fits(self, value: object) -> bool:
        return type(value) is int


class Axis(Integer):
    """The number of an axis."""

    def stacked(self, value: Attribute, size: Dim) -> Attribute:
        return value + 1


class Integers(Kind):
    """Integers that examples have in common."""

    words = "a tuple of integers"

    def fits(self, value: object) -> bool:
        return isinstance(value, tuple) and {*map(type, value)} <= {int}


class Axes(Integers):
    """The numbers of some axes."""

    def stacked(self, value: Attribute, size: Dim) -> Attribute:
        return tuple(axis + 1 for axis in value)


class Places(Axes):
    """For each axis of an operand or result the number of one of the other; the new first axis
    goes with the other's."""

    def stacked(self, value: Attribute, size: Dim) -> Attribute:
        return (0, *super().stacked(value, size))


class Dims(Kind):
    """A dimension for each axis."""

    words = "a tuple of dimensions"

    def fits(self, value: object) -> bool:
        return isinstance(value, tuple) and all(
            type(dim) is int or isinstance(dim, Size) for dim in value
        )

    def stacked(self, value: Attribute, size: Dim) -> Attribute:
        return (size, *value)


class Dimension(Kind):
    """One dimension, which examples have in common."""

    words = "a dimension"

    def fits(self, value: object) -> bool:
        return type(value) is int or isinstance(value, Size)


class Widths(Dims):
    """A place or width for each axis; all of the new one is taken as it is."""

    words = "a tuple of places or widths"

    def stacked(self, value: Attribute, size: Dim) -> Attribute:
        return (0, *value)


class Steps(Integers):
    """A step for each axis; all of the new one is taken as it is."""

    def stacked(self, value: Attribute, size: Dim) -> Attribute:
        return (1, *value)


class DTypeName(Kind):
    """A dtype."""

    words = "a dtype"

    def fits(self, value: object) -> bool:
        return isinstance(value, DType)


class ErrorName(Kind):
    """Which error a value is refused with."""

    words = "the name of an error a value is refused with"

    def fits(self, value: object) -> bool:
        return isinstance(value, str) and value in REFUSALS


class Text(Kind):
    """A text for the user."""

    words = "a text"

    def fits(self, value: object) -> bool:
        return isinstance(value, str)


class Elements(Kind):
    """An array that is part of the program."""

    words = "a NumPy array"

    def fits(self, value: object) -> bool:
        return isinstance(value, np.ndarray)


class Flag(Kind):
    """Yes or no."""

    words = "a bool"

    def fits(self, value: object) -> bool:
        return isinstance(value, bool)


class Number(Kind):
    """A scalar constant."""

    words = "a number"

    def fits(self, value: object) -> bool:
        return isinstance(value, bool | int | float)


class NumberOrSize(Kind):
    """A scalar constant, or a size that a call tells."""

    words = "a number or a size"

    def fits(self, value: object) -> bool:
        return isinstance(value, bool | int | float | Size)


class Texts(Kind):
    """Several names."""

    words = "a tuple of texts"

    def fits(self, value: object) -> bool:
        return isinstance(value, tuple) and all(isinstance(name, str) for name in value)


class TypeName(Kind):
    """The type of a result that the operands do not tell."""

    words = "a type"

    def fits(self, value: object) -> bool:
        return isinstance(value, TensorType | BufferType | ScalarType | VectorType)


KINDS: Final[dict[str, Kind]] = {
    # Of ops on tensors.
    "axis": Axis(),
    "axes": Axes(),
    "dilation": Integers(),
    "groups": Integer(),
    "low": Widths(),
    "high": Widths(),
    "starts": Widths(),
    "stops": Dims(),
    "steps": Steps(),
    "shape": Dims(),
    "size": Dimension(),
    "dtype": DTypeName(),
    "error": ErrorName(),
    "message": Text(),
    "value": Elements(),
    "text": Text(),
    "upper": Flag(),
    "transpose": Flag(),
    "unit_diagonal": Flag(),
    "refuses": Flag(),
    # Of what ranks do together.
    "shards": Integer(),
    "ranks": Integer(),
    "distance": Integer(),
    "root": Integer(),
    "kind": Integer(),
    "peer": Integer(),
    # Of control flow.
    "carries": Integer(),
    "xs": Integer(),
    "length": Dimension(),
    "reverse": Flag(),
    # Of the loop dialect.
    "type": TypeName(),
    "step": Integer(),
    "offset": Dimension(),
    "stride": Dimension(),
    "strides": Dims(),
    "lanes": Integer(),
    "order": Integers(),
    "combiner": Text(),
    "combiners": Texts(),
    "function": Text(),
    "predicate": Text(),
    "code": Integer(),
    "transpose_x": Flag(),
    "transpose_y": Flag(),
    "role": Text(),
    # Of what sorts.
    "descending": Flag(),
    "positions": Flag(),
}
"""The kinds of attributes by name; an op that means another one says so in ``kinds``."""
