"""Text of functions and modules, stable and parsed back by ``nets.ir.parser``.

The language (``*`` any number, ``?`` optional, ``","`` between the items of lists)::

    module     ::= function* table?
    function   ::= "func" "@" name "(" arguments ")" ("->" types)? ("attributes" attributes)? block
    arguments  ::= (value ":" type) list
    types      ::= type | "(" type list ")"
    block      ::= "{" operation* "}"
    operation  ::= (value list "=")? name value list attributes? region* (":" type list)? location?
    region     ::= "(" arguments ")" block
    attributes ::= "{" (name "=" attribute) list "}"
    attribute  ::= "true" | "false" | "none" | integer | float | string | array | location
                 | dtype | type | "scalar<" dtype ">" | size | "[" attribute list "]"
    size       ::= "?" name | "?{" expression "}"        (``nets.ir.sizes``)
    array      ::= "dense<" elements ">" (":" tensor type)?
    elements   ::= element | "[" elements list "]" | "@" name | string
    location   ::= "loc(" string ":" integer ")"
    table      ::= "{-#" ("@" name ":" string)* "#-}"
    value      ::= "%" name         a comment runs from "//" to the end of its line

The types after an operation are those of its results, or of its operands where it has no result.
Attributes that the result type tells (``implied_attributes``) are left out. An array of the shape
and dtype of the operation's first result is written without its type. A single element stands
for an array filled with it; a string holds the bytes of the elements in hexadecimal, little
endian; ``@name`` names such a string of the table at the end, where large arrays live. Floats are
the shortest text that reads back to the same bits.

Results are numbered in order. Arguments keep their hint, made unique. Locations, in attributes
as well, are written only on demand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from nets.ir.core import Attribute, Block, Function, Module, Operation, Value
from nets.ir.dense import DigestTable, Table, elements_text
from nets.ir.location import Location
from nets.ir.sizes import Size
from nets.ir.types import (
    BufferType,
    DType,
    ScalarType,
    TensorType,
    Type,
    VectorType,
    from_numpy,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def print_function(function: Function, locations: bool = False) -> str:
    """The text of one function, and of the table of its large arrays."""
    return print_module(Module.of([function]), locations)


def function_digest(function: Function) -> str:
    """A hash, SHA-256 in hexadecimal, of the text of one function, in which those of the bytes of
    large arrays stand for these."""
    return hashlib.sha256(_print(Module.of([function]), False, DigestTable()).encode()).hexdigest()


def print_module(module: Module, locations: bool = False) -> str:
    """The text of every function, then of the table of large arrays."""
    return _print(module, locations, Table())


def _print(module: Module, locations: bool, table: Table) -> str:
    texts = []
    for function in module.functions.values():
        printer = Printer(table, locations)
        printer.function(function)
        texts.append("\n".join(printer.lines) + "\n")
    if table.entries:
        texts.append(table.text())
    return "\n".join(texts)


class Printer:
    """Writes one function into ``lines``; ``rows`` tells the line each operation begins on."""

    def __init__(self, table: Table, locations: bool = False) -> None:
        self.lines: list[str] = []
        self.rows: dict[Operation, int] = {}
        self._table = table
        self._locations = locations
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._results = 0

    def function(self, function: Function) -> None:
        """Write the whole function. Nothing here needs the IR to be valid but its links."""
        head = f"func @{_symbol(function.name)}({self._arguments(function.body)})"
        results = [str(value.type) for value in function.returned]
        if results:
            head += f" -> {results[0]}" if len(results) == 1 else f" -> ({', '.join(results)})"
        if function.attributes:
            head += f" attributes {self._attributes(function.attributes.items(), None)}"
        self.lines.append(head + " {")
        self._block(function.body)
        self.lines.append("}")

    def _block(self, block: Block) -> None:
        # An explicit stack instead of recursion: an operation whose region is being written, the
        # number of that region, and the operations left in it.
        stack: list[tuple[Operation | None, int, Iterator[Operation]]] = [(None, 0, iter(block))]
        while stack:
            owner, region, operations = stack[-1]
            indent = "  " * len(stack)
            for op in operations:
                self.rows[op] = len(self.lines)
                head = indent + self._head(op)
                if not op.regions:
                    self.lines.append(head + self._tail(op))
                    continue
                stack.append(self._open(head, op, 0))
                break
            else:
                stack.pop()
                if owner is None:
                    return
                closing = indent[2:] + "}"
                if region + 1 < len(owner.regions):
                    stack.append(self._open(closing, owner, region + 1))
                else:
                    self.lines.append(closing + self._tail(owner))

    def _open(
        self, head: str, op: Operation, region: int
    ) -> tuple[Operation, int, Iterator[Operation]]:
        block = op.regions[region].block
        self.lines.append(f"{head} ({self._arguments(block)}) {{")
        return op, region, iter(block)

    def _head(self, op: Operation) -> str:
        for result in op.results:
            self._names[result] = f"%{self._results}"
            self._results += 1
        text = op.name
        if op.results:
            text = f"{', '.join(self._names[r] for r in op.results)} = {text}"
        if op.operands:
            names = self._names
            text += " " + ", ".join([names.get(value, "%<undefined>") for value in op.operands])
        implied = op.definition.implied_attributes
        shown = [(name, value) for name, value in op.attributes.items() if name not in implied]
        if shown:
            order = op.definition.attribute_names
            shown.sort(key=lambda item: order.index(item[0]) if item[0] in order else len(order))
            text += " " + self._attributes(shown, op.results[0].type if op.results else None)
        return text

    def _tail(self, op: Operation) -> str:
        typed = op.results or op.operands
        text = f" : {', '.join([str(value.type) for value in typed])}" if typed else ""
        if self._locations and op.location is not None:
            text += " " + _location(op.location)
        return text

    def _arguments(self, block: Block) -> str:
        texts = []
        for argument in block.arguments:
            name = f"%{self._unique(_identifier(argument.hint) or f'arg{argument.index}')}"
            self._names[argument] = name
            texts.append(f"{name}: {argument.type}")
        return ", ".join(texts)

    def _unique(self, name: str) -> str:
        found, number = name, 0
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found

    def _attributes(self, items: Iterable[tuple[str, Attribute]], expected: Type | None) -> str:
        texts = [f"{name} = {self._attribute(value, expected)}" for name, value in items]
        return "{" + ", ".join(texts) + "}"

    def _attribute(self, value: Attribute, expected: Type | None = None) -> str:
        match value:
            case bool():
                return "true" if value else "false"
            case None:
                return "none"
            case int() | float():
                return repr(value)
            case str():
                return json.dumps(value)
            case tuple():
                return "[" + ", ".join([self._attribute(item) for item in value]) + "]"
            case ScalarType():
                return f"scalar<{value}>"
            case DType() | Size() | TensorType() | BufferType() | VectorType():
                return str(value)
            case np.ndarray():
                return self._array(value, expected)
            case np.generic():
                return self._attribute(value.item())
            case Location():
                return _location(value) if self._locations else "none"
            case _:
                # Only broken IR holds anything else; the verifier says so and shows this text.
                return f"<{type(value).__name__}>"

    def _array(self, array: np.ndarray[Any, np.dtype[Any]], expected: Type | None) -> str:
        dtype = from_numpy(array.dtype)
        if dtype is None:
            return f"<array of {array.dtype}>"
        text = f"dense<{elements_text(array, dtype, self._table)}>"
        if (
            isinstance(expected, TensorType | BufferType)
            and expected.shape == array.shape
            and expected.dtype == dtype
        ):
            return text
        return f"{text} : {TensorType(array.shape, dtype)}"


def _location(location: Location) -> str:
    return f"loc({json.dumps(location.file)}:{location.line})"


def _symbol(name: str) -> str:
    return name if _NAME.fullmatch(name) else json.dumps(name)


def _identifier(hint: str) -> str:
    """The hint itself where it is a name, else what a name can keep of it; maybe empty."""
    if not hint or _NAME.fullmatch(hint):
        return hint
    name = re.sub(r"[^A-Za-z0-9_.]+", "_", hint).strip("_")
    return name if _NAME.fullmatch(name) or not name else f"_{name}"
