"""Operations that hold tensor programs together: return, yield, fusion."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import VerifyError
from nets.ir.core import Operation, Region, Trait
from nets.ir.types import Type
from nets.ops.registry import Array, Run, structural


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
        block = regions[0].block
        taken = tuple(argument.type for argument in block.arguments)
        if taken != inputs:
            raise VerifyError(f"the region of fusion takes ({_list(inputs)}), not ({_list(taken)})")
        if block.terminator is None:
            raise VerifyError("the region of fusion must end with a yield")
        return tuple(value.type for value in block.terminator.operands)

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        return (yield 0, arrays)


def _list(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))
