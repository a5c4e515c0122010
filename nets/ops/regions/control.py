"""Control flow: loops and branches whose bodies are regions, kept as such down to native code.

Every region is isolated: what it uses from outside are operands of the operation. An operation is
pure as far as its regions are; whether it may fail at run time is for the operations in them.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from nets.errors import VerifyError
from nets.ir.core import Operation, Region, Trait
from nets.ir.sizes import Dim, at_most
from nets.ir.types import TensorType, Type, bool_
from nets.ops.definition.registry import Array, Run, structural
from nets.ops.regions.yields import listed, yielded

_TRAITS: Final = Trait.PURE | Trait.ISOLATED | Trait.CONTROL


@structural(
    "scan", _TRAITS | Trait.REPEATS, attributes=("carries", "xs", "length", "reverse"), regions=1
)
class Scan:
    """Runs its region for each step, with values carried from one step to the next.

    Operands: the first ``carries`` are what the carries start from, the next ``xs`` are cut into
    ``length`` slices along their first axis, the others are the same in every step. The region
    takes carries, slices and the rest; it yields the next carries and what this step adds to each
    stacked result. Results: the last carries, then the stacks. With ``reverse`` the steps run from
    the last slice to the first; results are stacked at the place of their slice.
    """

    operands = ("*values",)

    def infer(
        *values: Type, carries: int, xs: int, length: Dim, reverse: bool, regions: Sequence[Region]
    ) -> tuple[Type, ...]:
        if min(carries, xs) < 0 or at_most(0, length, {}) is False or carries + xs > len(values):
            raise VerifyError(f"scan has {carries} carries and {xs} xs of {len(values)} operands")
        rows = [_row(value, length) for value in values[carries : carries + xs]]
        expected = (*values[:carries], *rows, *values[carries + xs :])
        given = yielded("scan", regions[0], expected)
        if given[:carries] != values[:carries]:
            raise VerifyError(
                f"the region of scan yields carries ({listed(given[:carries])}), "
                f"not ({listed(values[:carries])})"
            )
        stacked = [_tensor("scan", type) for type in given[carries:]]
        return (*given[:carries], *(type.with_shape((length, *type.shape)) for type in stacked))

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        carries, xs, length = (op.attributes[name] for name in ("carries", "xs", "length"))
        carried, rest = arrays[:carries], arrays[carries + xs :]
        sliced = arrays[carries : carries + xs]
        stacks = [
            np.zeros(result.type.static_shape, result.type.dtype.numpy)
            for result in op.results[carries:]
            if isinstance(result.type, TensorType)
        ]
        steps = range(length)
        for step in reversed(steps) if op.attributes["reverse"] else steps:
            given = yield 0, (*carried, *(np.asarray(x[step]) for x in sliced), *rest)
            carried = given[:carries]
            for stack, added in zip(stacks, given[carries:], strict=True):
                stack[step] = added
        return (*carried, *stacks)


@structural("while", _TRAITS | Trait.REPEATS, attributes=("carries",), regions=2)
class While:
    """Runs its second region as long as its first one gives true, with values carried along.

    Operands: what the ``carries`` start from, then what is the same in every step. Both regions
    take all of them; the first yields a bool, the second the next carries. Results: the last
    carries.
    """

    operands = ("*values",)
    no_derivative = (
        "how often a while_loop runs is known only when it runs, so that its steps cannot be kept "
        "for the way back; with checkpoints=64, say, nets.while_loop has a derivative in reverse "
        "mode, before or behind any in forward mode, such as nets.hvp and nets.hessian, and "
        "nets.scan and nets.fori_loop with constant bounds have any"
    )

    def infer(*values: Type, carries: int, regions: Sequence[Region]) -> tuple[Type, ...]:
        if not 0 <= carries <= len(values):
            raise VerifyError(f"while has {carries} carries of {len(values)} operands")
        condition = yielded("while", regions[0], values)
        if condition != (TensorType((), bool_),):
            raise VerifyError(f"the condition of while yields ({listed(condition)}), not a bool")
        given = yielded("while", regions[1], values)
        if given != values[:carries]:
            raise VerifyError(
                f"the body of while yields ({listed(given)}), not ({listed(values[:carries])})"
            )
        return values[:carries]

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        carries = op.attributes["carries"]
        carried, rest = arrays[:carries], arrays[carries:]
        while (yield 0, (*carried, *rest))[0]:
            carried = yield 1, (*carried, *rest)
        return carried


@structural("cond", _TRAITS, regions=2)
class Cond:
    """Runs its first region where the predicate, a bool, is true, and else its second one.

    Both regions take the other operands and yield values of the same types, the results.
    """

    operands = ("predicate", "*values")

    def infer(predicate: Type, *values: Type, regions: Sequence[Region]) -> tuple[Type, ...]:
        if predicate != TensorType((), bool_):
            raise VerifyError(f"the predicate of cond is a bool, not {predicate}")
        first, second = (yielded("cond", region, values) for region in regions)
        if first != second:
            raise VerifyError(f"the regions of cond yield ({listed(first)}) and ({listed(second)})")
        return first

    def run(op: Operation, arrays: Sequence[Array]) -> Run:
        return (yield 0 if arrays[0] else 1, arrays[1:])


def _tensor(name: str, type: Type) -> TensorType:
    if not isinstance(type, TensorType):
        raise VerifyError(f"{name} takes tensors, not {type}")
    return type


def _row(type: Type, length: Dim) -> TensorType:
    """The type of a slice along the first axis."""
    found = _tensor("scan", type)
    if found.rank == 0 or found.shape[0] != length:
        raise VerifyError(f"scan cuts {found} into {length} slices")
    return found.with_shape(found.shape[1:])
