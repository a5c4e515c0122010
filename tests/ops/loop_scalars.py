"""Scalar bodies of elementwise ops, run on arrays by what the loop dialect says each op means."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nets.ir.builder import Builder
from nets.ir.core import Block, Operation
from nets.ir.types import ScalarType, from_numpy
from nets.ops.loop import LoopBuilder
from nets.ops.registry import Array, OpDef, lookup


def run_lowering(
    definition: OpDef, arrays: Sequence[Array], attributes: Mapping[str, Any]
) -> Array:
    """What the op's ``lower`` computes for each element."""
    dtypes = [from_numpy(array.dtype) for array in arrays]
    block = Block([ScalarType(dtype) for dtype in dtypes if dtype is not None])
    result = definition.rules["lower"](LoopBuilder(Builder(block)), *block.arguments, **attributes)
    values = dict(zip(block.arguments, arrays, strict=True))
    with np.errstate(all="ignore"):
        for op in block:
            values[op.result] = _meaning(op, [values[operand] for operand in op.operands])
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return np.broadcast_to(values[result], shape)


_NUMPY: dict[str, Any] = {
    "loop.add": np.add,
    "loop.sub": np.subtract,
    "loop.mul": np.multiply,
    "loop.rem": np.remainder,
    "loop.max": lambda x, y: np.where((x > y) | (x != x), x, y),
    "loop.min": lambda x, y: np.where((x < y) | (x != x), x, y),
    "loop.and": np.bitwise_and,
    "loop.or": np.bitwise_or,
    "loop.xor": np.bitwise_xor,
    "loop.shl": np.left_shift,
    "loop.shr": np.right_shift,
    "loop.neg": np.negative,
    "loop.abs": np.abs,
    "loop.not": np.invert,
    "loop.sqrt": np.sqrt,
    "loop.floor": np.floor,
    "loop.ceil": np.ceil,
    "loop.round": np.rint,
    "loop.trunc": np.trunc,
    "loop.select": np.where,
}
_COMPARE = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_MATH = {
    "fmod": np.fmod,
    "pow": np.power,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
}


def _meaning(op: Operation, operands: Sequence[Array]) -> Array:
    if op.name == "loop.const":
        return np.asarray(op.attributes["value"], op.attributes["dtype"].numpy)
    if op.name == "loop.compare":
        return np.asarray(_COMPARE[op.attributes["predicate"]](*operands))
    if op.name == "loop.cast":
        return lookup("cast").evaluate(operands, op.attributes)[0]
    if op.name == "loop.div":
        divide = np.divide if operands[0].dtype.kind == "f" else np.floor_divide
        return np.asarray(divide(*operands))
    if op.name == "loop.math":
        name = op.attributes["function"]
        function = _MATH.get(name) or getattr(np, name)
        wide = function(*(x.astype(np.float64) for x in operands))
        return np.asarray(wide).astype(operands[0].dtype)
    return np.asarray(_NUMPY[op.name](*operands))
