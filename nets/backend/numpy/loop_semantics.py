"""What the arithmetic of the loop dialect means, on NumPy scalars and rows of lanes alike.

Where a tensor op says the same, its reference is used, so that both dialects have one meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nets.ir.types import DType, i64, index
from nets.ops.definition.registry import lookup, reduction_identity

Register = Any


def _reference(name: str) -> Callable[..., Register]:
    """The NumPy rule of a tensor op."""
    rule = lookup(name).rules.evaluate
    assert rule is not None
    return rule


def _division(x: Register, y: Register) -> Register:
    return np.divide(x, y) if x.dtype.kind == "f" else _reference("floor_divide")(x, y)


_BINARY: Final[dict[str, Callable[[Register, Register], Register]]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _division,
    "rem": _reference("remainder"),
    "max": _reference("maximum"),
    "min": _reference("minimum"),
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": _reference("bitwise_left_shift"),
    "shr": _reference("bitwise_right_shift"),
}

_UNARY: Final[dict[str, Callable[[Register], Register]]] = {
    "neg": np.negative,
    "abs": np.abs,
    "not": np.invert,
    "sqrt": np.sqrt,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
}

_COMPARE: Final[dict[str, Callable[[Register, Register], Register]]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "unordered": lambda x, y: (x != x) | (y != y),
}


def combine(combiner: str, x: Register, y: Register) -> Register:
    """One step of a reduction, x being what came before."""
    return _BINARY[combiner](x, y)


def identity(combiner: str, dtype: DType) -> float:
    """The value a reduction starts from."""
    return reduction_identity(combiner)(dtype)


def _fma(x: Register, y: Register, z: Register) -> Register:
    """Rounded from a dtype of about twice the digits, as the products of the interpreter are."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    return (wide(x) * wide(y) + wide(z)).astype(x.dtype)


def _math(*arguments: Register, function: str) -> Register:
    if function in ("fmod", "gcd"):
        result: Register = getattr(np, function)(*arguments)
        return result
    return _reference("power" if function == "pow" else function)(*arguments)


def _lane_reduce(x: Register, *, combiner: str) -> Register:
    while x.size > 1:
        half = x.size // 2
        x = combine(combiner, x[:half], x[half:])
    return x[0]


def _cast(x: Register, *, dtype: DType) -> Register:
    return _reference("cast")(np.asarray(x), dtype=i64 if dtype == index else dtype)[()]


def _select(condition: Register, x: Register, y: Register) -> Register:
    if isinstance(condition, np.bool_):
        return x if condition else y
    return np.where(condition, x, y)


def _named(
    table: dict[str, Callable[..., Register]],
) -> dict[str, Callable[..., Register]]:
    return {f"loop.{name}": compute for name, compute in table.items()}


COMPUTE: Final[dict[str, Callable[..., Register]]] = {
    **_named(_BINARY),
    **_named(_UNARY),
    "loop.const": lambda *, dtype, value: dtype.numpy.type(value),
    "loop.fma": _fma,
    "loop.math": _math,
    "loop.compare": lambda x, y, *, predicate: _COMPARE[predicate](x, y),
    "loop.select": _select,
    "loop.cast": _cast,
    "loop.bitcast": lambda x, *, dtype: x.view(dtype.numpy),
    "loop.splat": lambda x, *, lanes: np.full(lanes, x),
    "loop.lane_index": lambda *, lanes: np.arange(lanes),
    "loop.tail_mask": lambda count, *, lanes: np.arange(lanes) < count,
    "loop.shuffle": lambda x, y, *, order: np.concatenate([x, y])[list(order)],
    "loop.lane_reduce": _lane_reduce,
}
"""The pure operations by name: registers and attributes in, register out."""
