"""NETS_CHECK=nan: says which operation made the first NaN, and for which line of the user's.

Only a NaN that reaches a result, or a gradient, is searched for: what ``where`` leaves aside may be
NaN. Native code runs as always, on the same arguments. If a result holds a NaN the reference
interpreter runs the program again, with somebody watching; of the operations that lead to that
result, the first to make a NaN out of operands without one is named. An eager program is searched
when ``backward()`` is called: its tape first, then, in the same manner, the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nets.backend.numpy.interpreter import evaluate
from nets.communicator import gather
from nets.errors import CheckError
from nets.ir.core import Function, Operation, Value
from nets.ir.dims import ranges_of
from nets.ir.fixed_sizes import Sizes, bind, with_sizes
from nets.ir.location import GradientLocation, Location
from nets.ops.collective.ranks import ranks_of
from nets.passes.simplify.effects import without_effects

if TYPE_CHECKING:
    from nets.compiler.compile import Executable

Array = npt.NDArray[Any]


def has_nan(array: Array) -> bool:
    """Is an element NaN?"""
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


# ------------------------------------------------------------------------------- compiled


def checked_for_nan(function: Function, executable: Executable) -> Executable:
    """The executable; raises CheckError where a result holds a NaN, and restores its arguments.

    Ranks that communicate look for the origin together, if one of them has a NaN.
    """
    communicates = ranks_of(function) is not None

    def run(arrays: Sequence[Array], sizes: Sizes | None = None) -> list[Array]:
        before = [array.copy() for array in arrays]
        found = executable(arrays) if sizes is None else executable(arrays, sizes)
        is_wrong = any(map(has_nan, found))
        if communicates and gather(is_wrong).any() and not is_wrong:
            evaluate(without_effects(_of_call(function, before, sizes)), before)
        if is_wrong:
            for array, old in zip(arrays, before, strict=True):
                if array.flags.writeable:
                    np.copyto(array, old)
            raise _origin(without_effects(_of_call(function, before, sizes)), before)
        return found

    return run


def _of_call(function: Function, arrays: Sequence[Array], sizes: Sizes | None) -> Function:
    """The function for the sizes of a call."""
    if not ranges_of(function):
        return function
    told = bind(function, [array.shape for array in arrays]) if sizes is None else sizes
    return with_sizes(function, told)


def _origin(function: Function, arrays: Sequence[Array]) -> CheckError:
    """Where the first NaN comes from that reaches a result for these arguments."""
    watch = _Watch(dict(zip(function.arguments, arrays, strict=True)))
    results = evaluate(function, arrays, watch)
    wanted = [value for value, x in zip(function.returned, results, strict=True) if has_nan(x)]
    if not wanted:
        return CheckError(
            f"a result of {function.name} is NaN in native code and a number in the reference; "
            "NETS_CHECK=1 says where they part"
        )
    reached = _reached(function, wanted, watch.holds_nan)
    for op, text in watch.suspects:
        outer = _outermost(op, function)
        # What a loop is given its body knows under other names.
        if outer in reached and (outer is op or watch.holds_nan.isdisjoint(outer.operands)):
            return CheckError(text, op.location)
    names = [a.hint or f"argument {a.index}" for a in function.arguments if a in reached]
    return CheckError(f"{function.name} is given NaN: it is in {', '.join(names)} already")


class _Watch:
    """Told each operation of a run; keeps who made a NaN out of operands without one."""

    def __init__(self, arrays: Mapping[Value, Array]) -> None:
        self.arrays = dict(arrays)
        self.holds_nan = {value for value, array in arrays.items() if has_nan(array)}
        self.suspects: list[tuple[Operation, str]] = []
        """With what there is to say, in the order of execution."""

    def __call__(self, op: Operation, results: Sequence[Array]) -> None:
        made = [value for value, x in zip(op.results, results, strict=True) if has_nan(x)]
        self.arrays.update(zip(op.results, results, strict=True))
        self.holds_nan.update(made)
        if made and self.holds_nan.isdisjoint(op.operands):
            operands = [self.arrays[x] for x in op.operands if x in self.arrays]
            text = told(op.name, op.location, operands, self.arrays[made[0]])
            self.suspects.append((op, text))


def _reached(
    function: Function, wanted: Sequence[Value], holds_nan: set[Value]
) -> set[Operation | Value]:
    """The operations and arguments that hand a NaN on until it is in the wanted values."""
    found: set[Operation | Value] = set()
    seen: set[Value] = set()
    pending = list(wanted)
    while pending:
        value = pending.pop()
        if value in seen or value not in holds_nan:
            continue
        seen.add(value)
        op = value.operation
        if op is None:
            found.add(value)
        else:
            found.add(op)
            pending.extend(op.operands)
    return found


def _outermost(op: Operation, function: Function) -> Operation:
    """The operation of the function's own body that holds this one, or is it."""
    while op.block is not None and op.block is not function.body:
        region = op.block.owner
        if region is None or not isinstance(region.owner, Operation):
            break
        op = region.owner
    return op


# ---------------------------------------------------------------------------------- words


def told(name: str, location: Location | None, operands: Sequence[Array], result: Array) -> str:
    """What the operation was, forward or backward, and what it was made from."""
    where = np.argwhere(np.isnan(result))
    first = tuple(map(int, where[0]))
    what = name
    if isinstance(location, GradientLocation):
        what = f"{name}, backward through {location.gradient_of}"
    head = f"the first NaN comes from {what}"
    if result.ndim:
        place = f"[{', '.join(map(str, first))}]"
        head += f": {len(where)} of {result.size} elements, the first at {place}"
    return "\n".join([head, *_operands(operands, result, first)])


def _operands(operands: Sequence[Array], result: Array, first: tuple[int, ...]) -> Iterator[str]:
    for i, x in enumerate(operands):
        if x.shape == result.shape:
            yield f"  operand {i} there: {x[first].item()}"
        elif x.size and x.dtype.kind in "fiu":
            yield f"  operand {i}: from {x.min()} to {x.max()}"
