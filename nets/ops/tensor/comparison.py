"""Comparisons: two operands of one type to bool. With NaN only not_equal holds; false < true."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Any

import numpy as np

from nets.ir.core import Trait, Value
from nets.ir.types import TensorType, Type, bool_
from nets.ops.definition.registry import Array, OpDef, op, sample
from nets.ops.definition.samples import boolean, f32, f64, i8, u64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.elementwise import EXACT, same_type


def _comparison(
    name: str, sign: str, function: Any, predicate: str, traits: Trait = Trait.NONE
) -> OpDef:
    class Comparison:
        operands = ("x", "y")
        samples = [
            sample(f32(3, 5), f32(3, 5)),
            sample(f64(), f64()),
            sample(f32(7, 0), f32(7, 0)),
            sample(i8(40, low=-2), i8(40, low=-2)),
            sample(u64(20, high=2), u64(20, high=2)),
            sample(boolean(9), boolean(9)),
        ]
        no_derivative = "a comparison gives bools, which have no slope"

        def infer(x: Type, y: Type) -> TensorType:
            return same_type(name, x, y).with_dtype(bool_)

        def evaluate(x: Array, y: Array) -> Array:
            result: Array = function(x, y)
            return result

        def lower(s: LoopBuilder, x: Value, y: Value) -> Value:
            return s.compare(predicate, x, y)

    Comparison.__doc__ = f"x {sign} y, as a bool."
    return op(name, EXACT | traits)(Comparison)


EQUAL = _comparison("equal", "=", np.equal, "eq", Trait.COMMUTATIVE)
NOT_EQUAL = _comparison("not_equal", "≠", np.not_equal, "ne", Trait.COMMUTATIVE)
LESS = _comparison("less", "<", np.less, "lt")
LESS_EQUAL = _comparison("less_equal", "≤", np.less_equal, "le")
GREATER = _comparison("greater", ">", np.greater, "gt")
GREATER_EQUAL = _comparison("greater_equal", "≥", np.greater_equal, "ge")
