"""From the shapes of a call to the sizes of its dimensions, and from a function of sizes that a
call tells to the function of these sizes.

Binding is the check at the entry: whatever a call may not have is refused here, in a sentence that
names the dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from nets.errors import ShapeError
from nets.ir.clone import clone_function
from nets.ir.core import Function, Value
from nets.ir.dims import ranges_of, requirements_of
from nets.ir.location import user_location
from nets.ir.sizes import Dim, Range, Size, evaluate, expression, substitute, symbol
from nets.ir.types import BufferType, TensorType

Sizes = Mapping[str, int]
"""By the name of the dimension."""

T = TypeVar("T")


def bind(function: Function, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """The sizes of the dimensions of a call whose arguments have these shapes.

    ShapeError where an argument has another shape than its type, where a dimension would have two
    sizes, or one out of its range, and where a requirement does not hold.
    """
    ranges = ranges_of(function)
    found = solve(function, shapes)
    for name, size in found.items():
        _check_range(function, name, size, ranges.get(name, Range()))
    check_requirements(function, found)
    return {name: found[name] for name in ranges if name in found}


def check_requirements(function: Function, sizes: Sizes) -> None:
    """ShapeError where a requirement does not hold for these sizes."""
    for requirement in requirements_of(function):
        if not requirement.holds(sizes):
            names = requirement.size.names if isinstance(requirement.size, Size) else []
            here = " and ".join(f"{name} is {sizes[name]}" for name in names)
            where = requirement.location or user_location()
            raise ShapeError(f"{requirement.message}; in this call {here}", where)


def _check_range(function: Function, name: str, size: int, range: Range) -> None:
    if not range.lowest <= size <= range.highest:
        raise ShapeError(
            f"{name} is {size} in this call of {function.name}, which takes {range.lowest} to "
            f"{range.highest}",
            user_location(),
        )
    if size % range.multiple_of:
        raise ShapeError(
            f"{name} is {size} in this call of {function.name}, which takes multiples of "
            f"{range.multiple_of}",
            user_location(),
        )


def solve(function: Function, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """The sizes for which the arguments have these shapes, whatever else they must be.

    ShapeError where there are none. A name that the shapes do not tell is left out.
    """
    equations: list[tuple[Value, Size, int]] = []
    for argument, shape in zip(function.arguments, shapes, strict=True):
        equations += _equations(argument, shape)
    found: dict[str, int] = {}
    origins: dict[str, str] = {}
    rest: list[tuple[Value, Size, int]] = equations
    progress = True
    while progress:
        progress, left = False, []
        for argument, size, number in rest:
            unknown = [name for name in size.names if name not in found]
            solution = _solved(size, unknown[0], number, found) if len(unknown) == 1 else None
            if solution is not None:
                found[unknown[0]], progress = solution, True
                origins[unknown[0]] = _name_of(argument)
            elif unknown:
                left.append((argument, size, number))
        rest = left
    for argument, size, number in rest:
        missing = " and ".join(name for name in size.names if name not in found)
        raise ShapeError(
            f"{_name_of(argument)} has an axis of size {number} where {function.name} takes "
            f"{expression(size)}, which is that for no {missing} that can be told from it",
            user_location(),
        )
    for argument, size, number in equations:
        if all(name in found for name in size.names) and evaluate(size, found) != number:
            raise _contradiction(function, argument, size, number, found, origins)
    return found


def _equations(argument: Value, shape: tuple[int, ...]) -> list[tuple[Value, Size, int]]:
    type = argument.type
    assert isinstance(type, TensorType | BufferType)
    given = zip(type.shape, shape, strict=False)
    fits = len(shape) == len(type.shape) and all(
        isinstance(dim, Size) or dim == n for dim, n in given
    )
    if not fits:
        raise ShapeError(
            f"{_name_of(argument)} is {type}; an array of shape {shape} does not fit",
            user_location(),
        )
    pairs = zip(type.shape, shape, strict=True)
    return [(argument, dim, n) for dim, n in pairs if isinstance(dim, Size)]


def _solved(size: Size, name: str, number: int, known: Sizes) -> int | None:
    """The n for which a size that is linear in it has that value; None where there is none."""
    in_one: Dim = substitute(size, dict(known))
    if not isinstance(in_one, Size):
        return None
    slope = substitute(in_one, {name: symbol(name) + 1}) - in_one
    start = substitute(in_one, {name: 0})
    if not isinstance(slope, int) or not isinstance(start, int) or slope == 0:
        return None
    n, rest = divmod(number - start, slope)
    return n if rest == 0 else None


def _contradiction(
    function: Function,
    argument: Value,
    size: Size,
    number: int,
    found: Sizes,
    origins: Mapping[str, str],
) -> ShapeError:
    here, text = _name_of(argument), expression(size)
    told = " and ".join(f"{name} is {found[name]} in {origins[name]}" for name in size.names)
    if size.name is not None:
        return ShapeError(
            f"{told} and {number} in {here}; a dimension of {function.name} has one size in a call",
            user_location(),
        )
    return ShapeError(
        f"{here} has an axis of size {number} where {function.name} takes {text}, and {told}",
        user_location(),
    )


def _name_of(argument: Value) -> str:
    return argument.hint or f"argument {argument.index}"


# ----------------------------------------------------------------- functions of known sizes


def with_sizes(function: Function, sizes: Sizes) -> Function:
    """A copy of the function for calls of these sizes: a program as if traced for them."""
    copy = clone_function(function)
    for name in ("dims", "requirements"):
        copy.attributes.pop(name, None)
    for value in copy.arguments:
        value.type = type_at(value.type, sizes)
    for op in copy.walk():
        op.attributes = {name: _attribute(x, sizes) for name, x in op.attributes.items()}
        for value in op.results:
            value.type = type_at(value.type, sizes)
        for region in op.regions:
            for value in region.block.arguments:
                value.type = type_at(value.type, sizes)
    return copy


def type_at(type: T, sizes: Sizes) -> T:
    """The type, of these sizes."""
    if isinstance(type, TensorType | BufferType):
        shape = tuple(evaluate(dim, sizes) for dim in type.shape)
        return type if shape == type.shape else cast(T, type.__class__(shape, type.dtype))
    return type


def _attribute(value: Any, sizes: Sizes) -> Any:
    if isinstance(value, Size):
        return evaluate(value, sizes)
    if isinstance(value, tuple):
        return tuple(_attribute(item, sizes) for item in value)
    return type_at(value, sizes)
