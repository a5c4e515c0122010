"""Arithmetic on scalars and on vectors of lanes: the same op for both."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from typing import Final

from nets.errors import VerifyError
from nets.ir.core import Trait
from nets.ir.sizes import Size
from nets.ir.types import DType, ScalarType, Type, VectorType, bool_, index
from nets.ops.definition.attributes import NumberOrSize
from nets.ops.definition.registry import structural
from nets.ops.loop.reduction_tree import COMBINERS
from nets.ops.loop.register_types import same_type, with_dtype


@structural("loop.const", Trait.PURE | Trait.CONSTANT, attributes=("dtype", "value"))
class Const:
    """A scalar constant; for an index also a size, which is constant during a call."""

    operands = ()
    kinds = {"value": NumberOrSize()}

    def infer(*, dtype: DType, value: float | Size) -> Type:
        if isinstance(value, Size) and dtype != index:
            raise VerifyError(f"loop.const of {dtype} cannot be the size {value}")
        return ScalarType(dtype)


def _binary(name: str, meaning: str) -> None:
    class Binary:
        operands = ("x", "y")

        def infer(x: Type, y: Type) -> Type:
            return same_type(name, x, y)

    Binary.__doc__ = meaning
    structural(f"loop.{name}", Trait.PURE)(Binary)


def _unary(name: str, meaning: str) -> None:
    class Unary:
        operands = ("x",)

        def infer(x: Type) -> Type:
            return same_type(name, x)

    Unary.__doc__ = meaning
    structural(f"loop.{name}", Trait.PURE)(Unary)


for _name, _meaning in {
    "add": "x + y; integers wrap around.",
    "sub": "x - y; integers wrap around.",
    "mul": "x * y; integers wrap around.",
    "div": "Floats: x / y. Integers: the quotient's floor; by zero 0; INT_MIN / -1 is INT_MIN.",
    "rem": "Remainder with the sign of y (Python's %); integers by zero 0; floats as np.remainder.",
    "max": "x where x > y or x is NaN, else y.",
    "min": "x where x < y or x is NaN, else y.",
    "and": "Bitwise (bool: logical) and.",
    "or": "Bitwise (bool: logical) or.",
    "xor": "Bitwise (bool: logical) exclusive or.",
    "shl": "x << y; 0 where y is negative or at least the width.",
    "shr": "x >> y, arithmetic for signed x; the sign fills where y is not below the width.",
}.items():
    _binary(_name, _meaning)

for _name, _meaning in {
    "neg": "-x; integers wrap around.",
    "abs": "|x|; the smallest integer stays itself.",
    "not": "Bitwise (bool: logical) complement.",
    "sqrt": "Correctly rounded square root.",
    "floor": "Largest integral value not above x.",
    "ceil": "Smallest integral value not below x.",
    "round": "Nearest integral value, ties to even.",
    "trunc": "Integral value next to x towards zero.",
}.items():
    _unary(_name, _meaning)


@structural("loop.fma", Trait.PURE)
class FusedMultiplyAdd:
    """x · y + z of floats, rounded once."""

    operands = ("x", "y", "z")

    def infer(x: Type, y: Type, z: Type) -> Type:
        return same_type("loop.fma", x, y, z)


@structural("loop.math", Trait.PURE | Trait.COSTLY, attributes=("function",))
class Math:
    """A function of the vector math library (``nets.backend.llvm.math``), such as exp or pow."""

    operands = ("*arguments",)

    def infer(*arguments: Type, function: str) -> Type:
        return same_type(f"loop.math {function}", *arguments)


COMPARISONS: Final = ("eq", "ne", "lt", "le", "gt", "ge", "unordered")


@structural("loop.compare", Trait.PURE, attributes=("predicate",))
class Compare:
    """x ? y as a bool, IEEE for floats; ``unordered``: either is NaN; ne holds for NaN."""

    operands = ("x", "y")

    def infer(x: Type, y: Type, *, predicate: str) -> Type:
        if predicate not in COMPARISONS:
            raise VerifyError(f"loop.compare has no predicate {predicate!r}")
        return with_dtype(same_type("loop.compare", x, y), bool_)


@structural("loop.select", Trait.PURE)
class Select:
    """x where the condition holds, else y, lane by lane."""

    operands = ("condition", "x", "y")

    def infer(condition: Type, x: Type, y: Type) -> Type:
        if condition != with_dtype(x, bool_):
            raise VerifyError(f"loop.select of {x} by {condition}")
        return same_type("loop.select", x, y)


@structural("loop.cast", Trait.PURE, attributes=("dtype",))
class Cast:
    """Conversion. Float to integer truncates and saturates, NaN gives 0; integer to integer
    wraps; anything to bool is ``!= 0``."""

    operands = ("x",)

    def infer(x: Type, *, dtype: DType) -> Type:
        return with_dtype(x, dtype)


@structural("loop.bitcast", Trait.PURE, attributes=("dtype",))
class Bitcast:
    """The bits of x as another dtype of numbers of the same size."""

    operands = ("x",)

    def infer(x: Type, *, dtype: DType) -> Type:
        if dtype.bits != x.dtype.bits or dtype.is_bool or x.dtype.is_bool:
            raise VerifyError(f"loop.bitcast of {x} to {dtype}")
        return with_dtype(x, dtype)


@structural("loop.splat", Trait.PURE, attributes=("lanes",))
class Splat:
    """A scalar in every lane."""

    operands = ("x",)

    def infer(x: Type, *, lanes: int) -> Type:
        return VectorType(lanes, x.dtype)


@structural("loop.lane_index", Trait.PURE | Trait.CONSTANT, attributes=("lanes",))
class LaneIndex:
    """0, 1, 2, … as an index vector."""

    operands = ()

    def infer(*, lanes: int) -> Type:
        return VectorType(lanes, index)


@structural("loop.tail_mask", Trait.PURE, attributes=("lanes",))
class TailMask:
    """Lane i is set where i < ``count`` (an index)."""

    operands = ("count",)

    def infer(count: Type, *, lanes: int) -> Type:
        return VectorType(lanes, bool_)


@structural("loop.shuffle", Trait.PURE, attributes=("order",))
class Shuffle:
    """Lane l is lane ``order[l]`` of x with y behind it: fewer, as many, or more lanes than x."""

    operands = ("x", "y")

    def infer(x: Type, y: Type, *, order: tuple[int, ...]) -> Type:
        type = same_type("loop.shuffle", x, y)
        if not isinstance(type, VectorType) or len(order) < 2:
            raise VerifyError(f"loop.shuffle of {type} to {len(order)} lanes")
        if not all(0 <= lane < 2 * type.lanes for lane in order):
            raise VerifyError(f"loop.shuffle of {type} has no lanes {list(order)}")
        return VectorType(len(order), type.dtype)


@structural("loop.lane_reduce", Trait.PURE, attributes=("combiner",))
class LaneReduce:
    """Combines the lanes (a power of two) by halving: lane l with lane l + half."""

    operands = ("x",)

    def infer(x: Type, *, combiner: str) -> Type:
        if not isinstance(x, VectorType) or x.lanes & (x.lanes - 1) or combiner not in COMBINERS:
            raise VerifyError(f"loop.lane_reduce {combiner} of {x}")
        return ScalarType(x.dtype)
