"""Functions whose derivative the user gives: custom_jvp and custom_vjp.

The first region is the function, the others are the rule. What a program means, and what is
compiled of it, is the first region alone; the passes of ``passes/derivatives`` put the rule in the
place of what they would make of it. Every region is isolated: values that the function or its rule
close over come last among the operands, are arguments of each region, and have no derivative.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.errors import VerifyError
from nets.ir.core import Operation, Region, Trait
from nets.ir.types import TensorType, Type
from nets.ops.definition.attributes import Integer
from nets.ops.definition.registry import Array, Run, structural

_TRAITS: Final = Trait.PURE | Trait.ISOLATED | Trait.RULED


@structural("custom_jvp", _TRAITS, attributes=("inputs",), regions=2)
class CustomJvp:
    """A function of its first ``inputs`` operands, with a rule for the tangent of its results.

    The second region takes these operands, a tangent of each floating-point one, and the other
    operands; it yields the results, then a tangent of each floating-point one.
    """

    operands = ("*values",)
    kinds = {"inputs": Integer()}

    def infer(*values: Type, inputs: int, regions: Sequence[Region]) -> tuple[Type, ...]:
        own, free = values[:inputs], values[inputs:]
        results = _yielded("custom_jvp", regions[0], values)
        given = _yielded("custom_jvp", regions[1], (*own, *floats(own), *free))
        _check("custom_jvp", given, (*results, *floats(results)))
        return results

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        return (yield 0, arrays)


@structural("custom_vjp", _TRAITS, attributes=("inputs",), regions=3)
class CustomVjp:
    """A function of its first ``inputs`` operands, with a rule for the cotangents of these.

    The second region takes all operands and yields the results, then what the third one needs. The
    third takes that, a cotangent of each floating-point result, and the other operands; it yields a
    cotangent of each floating-point one of the first operands.
    """

    operands = ("*values",)
    kinds = {"inputs": Integer()}

    def infer(*values: Type, inputs: int, regions: Sequence[Region]) -> tuple[Type, ...]:
        own, free = values[:inputs], values[inputs:]
        results = _yielded("custom_vjp", regions[0], values)
        forward = _yielded("custom_vjp", regions[1], values)
        _check("custom_vjp", forward[: len(results)], results)
        kept = forward[len(results) :]
        _check(
            "custom_vjp",
            _yielded("custom_vjp", regions[2], (*kept, *floats(results), *free)),
            floats(own),
        )
        return results

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        return (yield 0, arrays)


@structural("underived", _TRAITS, attributes=("inputs",), regions=1)
class Underived:
    """A function of its first ``inputs`` operands whose rule was left out, as nobody asked for a
    derivative of that order where it was traced."""

    operands = ("*values",)
    kinds = {"inputs": Integer()}

    def infer(*values: Type, inputs: int, regions: Sequence[Region]) -> tuple[Type, ...]:
        return _yielded("underived", regions[0], values)

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        return (yield 0, arrays)


def floats(types: Sequence[Type]) -> tuple[Type, ...]:
    """Those of floating-point tensors."""
    return tuple(t for t in types if isinstance(t, TensorType) and t.dtype.is_float)


def _yielded(name: str, region: Region, expected: Sequence[Type]) -> tuple[Type, ...]:
    """The types a region yields, which must take the expected ones."""
    _check(name, [argument.type for argument in region.block.arguments], expected)
    end = region.block.terminator
    if end is None:
        raise VerifyError(f"the region of {name} must end with a yield")
    return tuple(value.type for value in end.operands)


def _check(name: str, given: Sequence[Type], expected: Sequence[Type]) -> None:
    if tuple(given) != tuple(expected):
        raise VerifyError(f"a region of {name} has ({_list(given)}) for ({_list(expected)})")


def _list(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))
