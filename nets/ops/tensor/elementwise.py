"""The elementwise family: the type rules its ops share, select, and require.

All operands of an elementwise op have one shape and, but for conditions, one dtype;
nothing is broadcast or promoted here. The other rooms of the family are ``arithmetic``,
``rounding`` (with casts), ``mathematics``, ``comparison`` and ``logic``.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from nets.errors import REFUSALS, DTypeError, ShapeError, VerifyError
from nets.ir.core import Trait, Value
from nets.ir.types import TensorType, Type
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints, opposite
from nets.ops.definition.registry import Array, Lazy, op, sample
from nets.ops.definition.samples import boolean, f32, f64, i16, u64
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.loop.lowering import Lowering

EXACT: Final = Trait.PURE | Trait.ELEMENTWISE | Trait.EXACT
"""An elementwise op whose native result has the bits of the reference."""

MATH: Final = Trait.PURE | Trait.ELEMENTWISE | Trait.FLOAT_ONLY | Trait.COSTLY
"""A function of the math library: native results are within its stated bound."""

TypeRule = Callable[..., TensorType]

_KINDS = {
    "numbers": "iuf",
    "floating-point numbers": "f",
    "integers": "iu",
    "integers or bools": "iub",
    "any elements": "iufb",
}


def same_shape(name: str, *types: Type) -> TensorType:
    """The first of tensor types that all have one shape; ShapeError where they differ."""
    for type in types:
        if not isinstance(type, TensorType):
            raise VerifyError(f"{name} takes tensors, not {type}")
    first = types[0]
    assert isinstance(first, TensorType)
    if any(type.shape != first.shape for type in types if isinstance(type, TensorType)):
        raise ShapeError(f"{name} takes operands of one shape, not {_listed(types)}")
    return first


def same_type(name: str, *types: Type, of: str = "any elements") -> TensorType:
    """The one type of all operands; ShapeError or DTypeError where they differ.

    ``of`` says which dtypes the op takes, in words of the error message.
    """
    first = same_shape(name, *types)
    if any(type.dtype != first.dtype for type in types):
        raise DTypeError(f"{name} takes operands of one dtype, not {_listed(types)}")
    if first.dtype.kind not in _KINDS[of]:
        raise DTypeError(f"{name} takes {of}, not {first}")
    return first


def _listed(types: tuple[Type, ...]) -> str:
    return " and ".join(map(str, types))


def _rule(of: str) -> Callable[[str], TypeRule]:
    def of_op(name: str) -> TypeRule:
        def infer(*types: Type) -> TensorType:
            return same_type(name, *types, of=of)

        return infer

    return of_op


numbers = _rule("numbers")
"""Makes the type rule of an op on integers and floats of one type."""

floats = _rule("floating-point numbers")
integers = _rule("integers")
bits = _rule("integers or bools")
anything = _rule("any elements")


@op("select", EXACT)
class Select:
    """x where the condition holds, else y; the condition is bool, x and y have one type.

    The cotangent goes to the operand that was chosen; the other gets zero, never 0 · ct, so that
    an infinite cotangent makes no NaN.
    """

    operands = ("condition", "x", "y")
    samples = [
        sample(boolean(3, 5), f32(3, 5), f32(3, 5)),
        sample(boolean(), f64(), f64()),
        sample(boolean(7, 0), u64(7, 0), u64(7, 0)),
        sample(boolean(17), i16(17), i16(17)),
        sample(boolean(4), boolean(4), boolean(4)),
    ]

    def infer(condition: Type, x: Type, y: Type) -> TensorType:
        result = same_type("select", x, y)
        same_shape("select", condition, x)
        if not condition.dtype.is_bool:
            raise DTypeError(f"select takes a bool condition, not {condition}")
        return result

    def evaluate(condition: Array, x: Array, y: Array) -> Array:
        return np.where(condition, x, y)

    def transpose(b: Emitter, ct: Value, condition: Value, x: Value, y: Value) -> tuple[Lazy, ...]:
        return (
            None,
            lambda: b.select(condition, ct, b.zero(ct)),
            lambda: b.select(condition, b.zero(ct), ct),
        )

    def footprint(f: Footprints, condition: Footprint, x: Footprint, y: Footprint) -> Footprint:
        """Where the condition is known, of the operand that is chosen."""
        chosen = condition.known
        return f.union(f.where(x, chosen), f.where(y, opposite(chosen)))

    def lower(s: LoopBuilder, condition: Value, x: Value, y: Value) -> Value:
        return s.select(condition, x, y)


@op("require", EXACT | Trait.CHECKED, attributes=("error", "message"))
class Require:
    """x as it is; where the condition does not hold, the call fails with that error.

    The cotangent goes to x.
    """

    operands = ("x", "condition")
    samples = [
        sample(f32(3, 5), boolean(3, 5, low=1), error="NumberError", message="too large"),
        sample(f64(), boolean(low=1), error="NegativePowerError", message="negative"),
        sample(u64(7, 0), boolean(7, 0, low=1), error="NumberError", message="too large"),
        sample(i16(17), boolean(17, low=1), error="DivisionByZeroError", message="zero"),
        sample(boolean(4), boolean(4, low=1), error="NumberError", message="too large"),
    ]

    def infer(x: Type, condition: Type, *, error: str, message: str) -> TensorType:
        result = same_shape("require", x, condition)
        if not condition.dtype.is_bool:
            raise DTypeError(f"require takes a bool condition, not {condition}")
        return result

    def evaluate(x: Array, condition: Array, *, error: str, message: str) -> Array:
        if not np.all(condition):
            raise REFUSALS[error](message)
        return x

    def transpose(
        b: Emitter, ct: Value, x: Value, condition: Value, *, error: str, message: str
    ) -> tuple[Lazy, ...]:
        return ct, None

    def lower(s: Lowering, x: Value, condition: Value, *, error: str, message: str) -> Value:
        s.fail_unless(condition, message, error)
        return x
