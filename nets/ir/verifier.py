"""The verifier: IR that passes keeps every invariant the passes and backends rely on.

Links
    1. Following ``next`` from ``block.first`` meets each operation of the block once and ends at
       ``block.last``; ``previous`` and ``operation.block`` agree with it.
    2. A block knows its region, a region its operation or function; no region has two owners.
    3. Results and arguments know their owner and their position.
Uses
    4. ``value.uses`` holds (operation, i) exactly where operand i of an operation that stands in
       the function is that value.
    5. An operand is defined before its use: earlier in the same block, or earlier in a block
       around it, or as an argument of a block around it. Hence there are no cycles.
    6. Regions of an ISOLATED operation use nothing from outside.
Structure
    7. Every block ends with a terminator and has no other: one with the trait RETURN in the body of
       a function, one without it in a region of an operation.
    8. Terminators have no results and no regions.
Meaning
    9. The numbers of operands and regions and the names of the attributes are the definition's.
    10. Attributes are bool, int, float, str, None, DType, types, sizes, locations, native arrays
        of a dtype nets has, or tuples of these; their names are identifiers. So are those of
        functions.
    11. Dimensions are non-negative numbers or sizes of a call; tensors hold tensor dtypes, never
        index.
    12. The result types are those the type rule infers.
Names
    13. Functions have names; a module holds each function under its name.
Sizes of a call
    14. The attributes ``dims`` and ``requirements`` of a function are as ``nets.ir.dims`` has them;
        a function with ``dims`` uses no other names of sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any

import numpy as np

from nets.errors import NetsError, VerifyError
from nets.ir.core import (
    Attribute,
    Attributes,
    Block,
    Function,
    Module,
    OpDefinition,
    Operation,
    Region,
    Trait,
    Value,
)
from nets.ir.dense import Table
from nets.ir.dims import problem_of, ranges_of
from nets.ir.location import Location
from nets.ir.printer import Printer
from nets.ir.sizes import Size
from nets.ir.types import (
    TENSOR_DTYPES,
    BufferType,
    DType,
    ScalarType,
    TensorType,
    Type,
    VectorType,
    from_numpy,
)

CONTEXT_LINES = 10
"""Lines of text shown before and after the operation an error is about."""


def verify_module(module: Module) -> None:
    """VerifyError unless every function is valid and stands under its name."""
    for name, function in module.functions.items():
        if name != function.name:
            raise VerifyError(f"the module holds function {function.name!r} under {name!r}")
        verify_function(function)


def verify_function(function: Function) -> None:
    """VerifyError, showing the operation in its surroundings, unless the function is valid."""
    if not isinstance(function.name, str) or not function.name:
        raise VerifyError("a function needs a name")
    if function.region.owner is not function:
        raise VerifyError("the region of the function belongs to something else")
    operations = _check_links(function)
    try:
        _check_attributes("the function", function.attributes, None)
        _check_dims(function)
        for argument in function.arguments:
            _check_type(argument.type, None)
        _check_blocks(function, operations)
        _check_scopes(operations)
        _check_uses(function, operations)
        for op in operations:
            _check_meaning(op)
    except _BrokenError as error:
        message = error.message
        if error.operation is not None:
            message += f"\n{_surroundings(function, error.operation)}"
        raise VerifyError(message, getattr(error.operation, "location", None)) from error.__cause__


def infer_types(
    definition: OpDefinition,
    operands: Iterable[Value],
    attributes: Attributes,
    regions: Iterable[Region],
) -> tuple[Type, ...]:
    """The types the rule of the operation gives; every way it may fail is a VerifyError."""
    types = _types_by_rule(definition, tuple(operands), attributes, tuple(regions))
    problem = next(filter(None, map(_type_problem, types)), None)
    if problem is not None:
        raise VerifyError(f"the result of {definition.name} has no type: {problem}")
    return types


def _types_by_rule(
    definition: OpDefinition,
    operands: tuple[Value, ...],
    attributes: Attributes,
    regions: tuple[Region, ...],
) -> tuple[Type, ...]:
    """What the rule gives, which may be no types; VerifyError where it fails."""
    try:
        return definition.infer(operands, attributes, regions)
    except NetsError as error:
        raise VerifyError(error.message) from None
    except Exception as error:
        # Type rules are written for attributes of the right kind; broken IR and hostile text may
        # hold any kind, and then anything can go wrong in a rule.
        raise VerifyError(
            f"{definition.name} has operands or attributes of the wrong kind: {error}"
        ) from error


def _check_dims(function: Function) -> None:
    """Invariant 14."""
    problem = problem_of(function.attributes)
    if problem is not None:
        raise _BrokenError(problem, None)
    if "dims" not in function.attributes:
        return
    known = set(ranges_of(function))
    values = [*function.arguments, *(value for op in function.walk() for value in op.results)]
    for value in values:
        dims = getattr(value.type, "shape", ())
        names = {name for dim in dims if isinstance(dim, Size) for name in dim.names}
        if not names <= known:
            name = min(names - known)
            raise _BrokenError(f"{name} is no dimension of the function", value.operation)


class _BrokenError(Exception):
    def __init__(self, message: str, operation: Operation | None) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation


def _surroundings(function: Function, op: Operation) -> str:
    """The text around the operation, which an arrow marks."""
    printer = Printer(Table())
    printer.function(function)
    row = printer.rows.get(op, 0)
    first = max(0, row - CONTEXT_LINES)
    shown = printer.lines[first : row + CONTEXT_LINES + 1]
    return "\n".join(("> " if first + i == row else "  ") + line for i, line in enumerate(shown))


# ---------------------------------------------------------------------------------- links


def _check_links(function: Function) -> list[Operation]:
    """Invariants 1 to 3; the operations in text order. The IR cannot be printed where it fails."""
    found: list[Operation] = []
    seen: set[Operation | Region] = set()
    pending = [function.region]
    while pending:
        region = pending.pop()
        if region in seen:
            raise VerifyError("a region belongs to two operations")
        seen.add(region)
        block = region.block
        if block.owner is not region:
            raise VerifyError("a block does not know the region it is in")
        _check_values("argument", block, block.arguments)
        for op in _linked(block):
            if op in seen:
                raise VerifyError(f"{op.name} stands in a block twice")
            seen.add(op)
            found.append(op)
            _check_values(f"result of {op.name}", op, op.results)
            for inner in op.regions:
                if inner.owner is not op:
                    raise VerifyError(f"a region of {op.name} belongs to something else")
                pending.append(inner)
    return found


def _linked(block: Block) -> list[Operation]:
    found: list[Operation] = []
    previous: Operation | None = None
    op = block.first
    while op is not None:
        # An operation met twice would have two different predecessors, so this loop ends.
        if op.previous is not previous:
            raise VerifyError(f"{op.name} does not link back to the operation before it")
        if op.block is not block:
            raise VerifyError(f"{op.name} does not know the block it stands in")
        found.append(op)
        previous, op = op, op.next
    if block.last is not previous:
        raise VerifyError("the last operation of a block is not the end of its list")
    return found


def _check_values(what: str, owner: Operation | Block, values: Iterable[Value]) -> None:
    for index, value in enumerate(values):
        if value.owner is not owner:
            raise VerifyError(f"{what} {index} belongs to something else")
        if value.index != index:
            raise VerifyError(f"{what} {index} calls itself number {value.index}")


# ----------------------------------------------------------------------------------- uses


def _check_scopes(operations: Sequence[Operation]) -> None:
    """Invariants 5 and 6."""
    # Numbers grow along each block, and only operations of one block are compared.
    order = {op: number for number, op in enumerate(operations)}
    for op in operations:
        for position, operand in enumerate(op.operands):
            owner = operand.owner
            if isinstance(owner, Operation):
                if owner not in order:
                    raise _BrokenError(f"operand {position} is no value of this function", op)
                around = _within(op, owner.block, position)
                if order[owner] >= order[around]:
                    raise _BrokenError(f"operand {position} is used before it is defined", op)
            else:
                _within(op, owner, position)


def _within(op: Operation, block: Block | None, position: int) -> Operation:
    """The operation of ``block`` that is ``op`` or has it in its regions."""
    around = op
    while around.block is not block:
        region = around.block.owner if around.block is not None else None
        owner = region.owner if region is not None else None
        if not isinstance(owner, Operation):
            raise _BrokenError(f"operand {position} is not visible here", op)
        around = owner
        if around.has(Trait.ISOLATED):
            raise _BrokenError(f"operand {position} comes from outside of {around.name}", op)
    return around


def _check_uses(function: Function, operations: Sequence[Operation]) -> None:
    """Invariant 4."""
    uses = 0
    for op in operations:
        for position, operand in enumerate(op.operands):
            if (op, position) not in operand.uses:
                raise _BrokenError(f"operand {position} does not know this use", op)
        uses += len(op.operands)
    # Every use is known, so a larger number of known uses means that some are not there.
    blocks = [function.body, *(region.block for op in operations for region in op.regions)]
    values = [value for block in blocks for value in block.arguments]
    values += [value for op in operations for value in op.results]
    if sum(len(value.uses) for value in values) != uses:
        for value in values:
            for op, position in value.uses:
                used = position < len(op.operands) and op.operands[position] is value
                if not used or op.block is None:
                    message = f"{_called(value)} knows a use that is not there"
                    raise _BrokenError(message, value.operation)
        raise _BrokenError("a value is used outside of the function", None)


def _called(value: Value) -> str:
    return f"result {value.index}" if value.operation else f"argument {value.index}"


# -------------------------------------------------------------------- structure and meaning


def _check_blocks(function: Function, operations: Sequence[Operation]) -> None:
    """Invariants 7 and 8."""
    _check_end(function.body, None)
    for op in operations:
        for region in op.regions:
            _check_end(region.block, op)
        if op.has(Trait.TERMINATOR):
            if op.next is not None:
                raise _BrokenError(f"{op.name} ends a block and must be its last operation", op)
            if op.results or op.regions:
                raise _BrokenError(f"{op.name} ends a block and has results or regions", op)


def _check_end(block: Block, owner: Operation | None) -> None:
    end = block.terminator
    if end is None:
        raise _BrokenError("a block must end with a terminator", block.last or owner)
    if end.has(Trait.RETURN) != (owner is None):
        place = "a function" if owner is None else "a region"
        raise _BrokenError(f"{end.name} does not end {place}", end)


def _check_meaning(op: Operation) -> None:
    """Invariants 9 to 12."""
    _check_attributes(op.name, op.attributes, op)
    for value in op.results:
        _check_type(value.type, op)
    for region in op.regions:
        for argument in region.block.arguments:
            _check_type(argument.type, op)
    found = tuple(result.type for result in op.results)
    try:
        # Types that equal good ones are good.
        types = _types_by_rule(op.definition, op.operands, op.attributes, op.regions)
        if types != found:
            types = infer_types(op.definition, op.operands, op.attributes, op.regions)
    except VerifyError as error:
        raise _BrokenError(error.message, op) from error.__cause__
    if types != found:
        message = f"{op.name} has results ({_list(found)}), not ({_list(types)}) as inferred"
        raise _BrokenError(message, op)


def _check_attributes(what: str, attributes: Attributes, op: Operation | None) -> None:
    for name, value in attributes.items():
        if not isinstance(name, str) or not name.isascii() or not name.isidentifier():
            raise _BrokenError(f"{what} has an attribute named {name!r}", op)
        pending = [value]
        while pending:
            item = pending.pop()
            if isinstance(item, tuple):
                pending.extend(item)
            elif not _is_attribute(item):
                raise _BrokenError(f"attribute {name} of {what} holds {_kind(item)}", op)


_PLAIN = {bool, int, float, str, NoneType}
_PLAIN |= {DType, Size, ScalarType, VectorType, TensorType, BufferType}


def _is_attribute(value: Attribute) -> bool:
    if isinstance(value, np.ndarray):
        return from_numpy(value.dtype) is not None and value.dtype.isnative
    return type(value) in _PLAIN or isinstance(value, Location)


def _kind(value: Attribute) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype!r}"
    return f"a {type(value).__name__}"


def _check_type(type: Type, op: Operation | None) -> None:
    problem = _type_problem(type)
    if problem is not None:
        raise _BrokenError(problem, op)


def _type_problem(type: Any) -> str | None:
    """What is wrong with a type, whatever it holds; None for a type that may be."""
    if not isinstance(type, TensorType | BufferType | ScalarType | VectorType):
        return f"{type!r} is not a type"
    dtype: object = type.dtype
    if not isinstance(dtype, DType):
        return f"{dtype!r} is not a dtype"
    if isinstance(type, ScalarType):
        return None
    if isinstance(type, VectorType):
        lanes = type.lanes
        return None if lanes.__class__ is int and lanes >= 1 else f"{type} has no lanes"
    for dim in type.shape:
        if not isinstance(dim, Size) and (dim.__class__ is not int or dim < 0):
            return f"{type} has a dimension that is no size"
    if isinstance(type, TensorType) and type.dtype not in _TENSOR_DTYPES:
        return f"{type}: tensors do not hold {type.dtype}"
    return None


_TENSOR_DTYPES = frozenset(TENSOR_DTYPES)


def _list(types: Iterable[Type]) -> str:
    return ", ".join(map(str, types))
