"""Operations that hold tensor programs together: return, yield, fusion, entries."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import VerifyError
from nets.ir.core import Operation, Region, Trait
from nets.ir.types import TensorType, Type
from nets.ops.definition.attributes import Integer
from nets.ops.definition.registry import Array, Run, structural
from nets.ops.regions.yields import listed, yielded


@structural("return", Trait.TERMINATOR | Trait.RETURN)
class Return:
    """Ends a function of the tensor dialect; its operands are the function's results."""

    operands = ("*values",)

    def infer(*values: Type) -> tuple[Type, ...]:
        return ()


@structural("yield", Trait.TERMINATOR)
class Yield:
    """Ends a region; its operands are what the region gives to its operation."""

    operands = ("*values",)

    def infer(*values: Type) -> tuple[Type, ...]:
        return ()


@structural("fusion", Trait.PURE | Trait.ISOLATED, regions=1)
class Fusion:
    """Tensor operations that become one set of loops.

    The region takes one argument per operand, of the operand's type, and uses nothing else; the
    results are what it yields. The meaning is that of the operations inside, one after another.
    """

    operands = ("*inputs",)

    def infer(*inputs: Type, regions: Sequence[Region]) -> tuple[Type, ...]:
        return yielded("fusion", regions[0], inputs)

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        return (yield 0, arrays)


@structural(
    "entries", Trait.PURE | Trait.ISOLATED | Trait.BY_ENTRY, attributes=("axes",), regions=1
)
class Entries:
    """Tensor operations that run entry by entry over their first ``axes`` axes.

    All operations inside have these axes, of the same sizes, and compute an entry of their results
    from the same entry of what is computed inside and any part of what comes from outside. So all
    of them may run for one entry, whose intermediate values stay in the cache, before the next.
    The region takes one argument per operand, of the operand's type, and uses nothing else; the
    results are what it yields. The meaning is that of the operations inside, one after another.
    """

    operands = ("*inputs",)
    kinds = {"axes": Integer()}

    def infer(*inputs: Type, axes: int, regions: Sequence[Region]) -> tuple[Type, ...]:
        found = yielded("entries", regions[0], inputs)
        if axes < 1 or any(not isinstance(t, TensorType) or t.rank < axes for t in found):
            raise VerifyError(f"entries over {axes} axes cannot give ({listed(found)})")
        return found

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        return (yield 0, arrays)
