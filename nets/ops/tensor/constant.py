"""The constant: an array that is part of the program."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import numpy as np

from nets.errors import DTypeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.types import DType, TensorType, from_numpy
from nets.ops.definition.registry import Array, op, sample
from nets.ops.loop.lowering import Lowering


@op("constant", Trait.PURE | Trait.CONSTANT | Trait.EXACT, attributes=("value",))
class Constant:
    """The array ``value``, which nobody may change afterwards."""

    operands = ()
    samples = [
        sample(value=np.array(1.5, np.float32)),
        sample(value=np.arange(6, dtype=np.int64).reshape(2, 3)),
        sample(value=np.array([0.0, -0.0, np.inf, np.nan])),
        sample(value=np.zeros((0, 3), np.bool_)),
    ]
    no_derivative = "it has no operands"

    def infer(*, value: Array) -> TensorType:
        return TensorType(value.shape, _dtype_of(value))

    def evaluate(*, value: Array) -> Array:
        return value.copy()

    def lower(s: Lowering, index: tuple[Affine, ...], *, value: Array) -> Value:
        """A 0-d constant; larger ones live in memory as loop.global."""
        return s.const(value.item(), _dtype_of(value))


def _dtype_of(value: Array) -> DType:
    dtype = from_numpy(value.dtype)
    if dtype is None:
        raise DTypeError(f"a constant cannot hold {value.dtype}")
    return dtype
