"""Reads types, attributes and arrays out of IR text; the grammar stands in ``nets.ir.printer``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from nets.ir.core import Attribute
from nets.ir.dense import Array, array_of, array_of_bytes, shaped
from nets.ir.lexer import Token, Tokens, parse_error, shown
from nets.ir.location import Location
from nets.ir.size_parser import parse as parse_size
from nets.ir.sizes import Dim
from nets.ir.types import (
    DTYPES,
    BufferType,
    DType,
    ScalarType,
    TensorType,
    Type,
    VectorType,
)

MAX_NESTING: Final = 64
"""Depth of regions and of attribute lists, and the largest rank."""

MAX_LANES: Final = 1 << 16

_SIZE = r"\?(?:[A-Za-z_][A-Za-z0-9_]*|\{[^{}\n]*\})"
_SHAPED = re.compile(rf"(tensor|buffer)<((?:(?:[0-9]+|{_SIZE} )x)*)([a-z0-9]+)>")
_DIM = re.compile(rf"([0-9]+|{_SIZE}) ?x")
_VECTOR = re.compile(r"vector<([0-9]+)x([a-z0-9]+)>")
_SCALAR = re.compile(r"scalar<([a-z0-9]+)>")


@dataclass(frozen=True, slots=True)
class Dense:
    """An array attribute whose shape and dtype are those of the operation's result."""

    token: Token
    elements: list[str] | str
    shape: tuple[int, ...] | None


class AttributeParser(Tokens):
    """Tokens, and what reads types and attributes from them.

    ``table`` holds the strings that ``@name`` in an array stands for.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.table: dict[str, str] = {}
        self._known_types: dict[str, Type] = {}

    # Types.

    def types(self) -> list[Type]:
        """Types with commas between them."""
        types = [self.type()]
        while self.have(","):
            types.append(self.type())
        return types

    def type(self) -> Type:
        """A type; the same text gives the same object."""
        token = self.take()
        found = self._known_types.get(token.text)
        if found is None:
            if token.kind == "name" and token.text in DTYPES:
                found = ScalarType(DTYPES[token.text])
            elif token.kind == "type":
                found = self._read_type(token)
            else:
                self.fail(f"a type should be here, not {shown(token)}", token)
            self._known_types[token.text] = found
        return found

    def _read_type(self, token: Token) -> Type:
        if match := _SHAPED.fullmatch(token.text):
            dims = [self._dim(dim, token) for dim in _DIM.findall(match[2])]
            if len(dims) > MAX_NESTING:
                self.fail(f"a type has more than {MAX_NESTING} dimensions", token)
            make = TensorType if match[1] == "tensor" else BufferType
            return make(tuple(dims), self._dtype(match[3], token))
        if match := _VECTOR.fullmatch(token.text):
            lanes = self.integer(match[1], token)
            if not 1 <= lanes <= MAX_LANES:
                self.fail(f"a vector has 1 to {MAX_LANES} lanes", token)
            return VectorType(lanes, self._dtype(match[2], token))
        if match := _SCALAR.fullmatch(token.text):
            return ScalarType(self._dtype(match[1], token))
        raise parse_error(f"{shown(token)} is not a type", self.text, token.position)

    def _dim(self, text: str, token: Token) -> Dim:
        return self._size(text, token) if text.startswith("?") else self.integer(text, token)

    def _size(self, text: str, token: Token) -> Dim:
        """The size of ``?name`` or ``?{expression}``."""
        try:
            return parse_size(text[1:].removeprefix("{").removesuffix("}"))
        except ValueError as error:
            self.fail(str(error), token)

    def _dtype(self, name: str, token: Token) -> DType:
        if name not in DTYPES:
            self.fail(f"there is no dtype {name!r}", token)
        return DTYPES[name]

    # Attributes.

    def attributes(self) -> dict[str, Attribute]:
        """Attributes between braces. Arrays without a type come as ``Dense``."""
        found: dict[str, Attribute] = {}
        self.expect("{")
        while not self.have("}"):
            if found:
                self.expect(",")
            name = self.expect_kind("name", "the name of an attribute")
            if name.text in found:
                self.fail(f"attribute {name.text} is there twice", name)
            self.expect("=")
            found[name.text] = self.attribute(1)
        return found

    def refuse_untyped(self, attributes: dict[str, Attribute]) -> None:
        """ParseError where an array has no type and no result to take it from."""
        for value in attributes.values():
            if isinstance(value, Dense):
                self.fail("this array needs a type", value.token)

    def attribute(self, depth: int) -> Attribute:
        """One attribute inside of ``depth`` lists."""
        token = self.peek()
        if depth > MAX_NESTING:
            self.fail(f"lists are nested more than {MAX_NESTING} deep", token)
        match token.kind, token.text:
            case "sign", "[":
                return self._attribute_list(depth)
            case "number", _:
                return self._number(self.take())
            case "string", _:
                return self.string()
            case "size", _:
                return self._size(self.take().text, token)
            case "type", _:
                return self.type()
            case "name", "dense":
                return self._dense(depth)
            case "name", "loc":
                return self.location()
            case "name", ("true" | "false" | "none") as word:
                self.take()
                return {"true": True, "false": False, "none": None}[word]
            case "name", word if word in DTYPES:
                self.take()
                return DTYPES[word]
        message = f"an attribute should be here, not {shown(token)}"
        raise parse_error(message, self.text, token.position)

    def _attribute_list(self, depth: int) -> tuple[Attribute, ...]:
        self.expect("[")
        found: list[Attribute] = []
        while not self.have("]"):
            if found:
                self.expect(",")
            found.append(self.attribute(depth + 1))
            if isinstance(found[-1], Dense):
                self.fail("an array in a list needs a type", found[-1].token)
        return tuple(found)

    def _number(self, token: Token) -> int | float:
        digits = token.text.lstrip("-")
        if digits.isdecimal():
            return self.integer(token.text, token)
        number = float(token.text)
        if number in (float("inf"), float("-inf")) and digits != "inf":
            self.fail(f"{shown(token)} is too large for a float", token)
        return number

    def integer(self, text: str, token: Token) -> int:
        """The number these digits say, which must fit in 64 bits."""
        # Python reads only short digit strings in linear time.
        number = int(text) if len(text) <= 20 else None
        if number is None or not -(1 << 63) <= number < (1 << 64):
            self.fail(f"{shown(token)} is too large for an integer", token)
        return number

    def string(self) -> str:
        """A string, which has JSON's escapes."""
        token = self.expect_kind("string", "a string")
        try:
            text: str = json.loads(token.text)
        except ValueError:
            self.fail("this string has an escape that is not in JSON", token)
        return text

    def location(self) -> Location:
        """A source location."""
        self.expect("loc")
        self.expect("(")
        file = self.string()
        self.expect(":")
        token = self.expect_kind("number", "a line number")
        line = self._number(token)
        if not isinstance(line, int) or line < 0:
            self.fail("a line number should be here", token)
        self.expect(")")
        return Location(file, line)

    # Arrays.

    def _dense(self, depth: int) -> Dense | Array:
        token = self.expect("dense")
        self.expect("<")
        elements: list[str] | str
        shape: tuple[int, ...] | None = None
        if self.peek().kind == "string":
            elements = self.string()
        elif self.have("@"):
            name = self.expect_kind("name", "the name of a table entry")
            if name.text not in self.table:
                self.fail(f"the table has no @{name.text}", name)
            elements = self.table[name.text]
        else:
            elements = []
            shape = self._elements(elements, depth)
        self.expect(">")
        dense = Dense(token, elements, shape)
        if not self.have(":"):
            return dense
        type = self.type()
        if not isinstance(type, TensorType):
            self.fail(f"an array has a tensor type, not {type}", token)
        return self.array(dense, type)

    def _elements(self, into: list[str], depth: int) -> tuple[int, ...]:
        """Collect nested lists of numbers; their shape."""
        if depth > MAX_NESTING:
            self.fail(f"lists are nested more than {MAX_NESTING} deep", self.peek())
        if not self.have("["):
            token = self.take()
            if token.kind != "number" and token.text not in ("true", "false"):
                self.fail(f"an element should be here, not {shown(token)}", token)
            into.append(token.text)
            return ()
        shapes: list[tuple[int, ...]] = []
        start = self.peek()
        while not self.have("]"):
            if shapes:
                self.expect(",")
            shapes.append(self._elements(into, depth + 1))
        if any(shape != shapes[0] for shape in shapes):
            self.fail("the lists of an array have different lengths", start)
        return (len(shapes), *(shapes[0] if shapes else ()))

    def array(self, dense: Dense, type: TensorType | BufferType) -> Array:
        """The array of these elements, of the shape and dtype of that type."""
        if not all(isinstance(dim, int) for dim in type.shape):
            self.fail("the dimensions of an array are numbers", dense.token)
        shape: tuple[Any, ...] = type.shape
        fills = dense.shape in (None, ()) or (dense.shape == (0,) and 0 in shape)
        if not fills and dense.shape != shape:
            self.fail(f"elements of shape {dense.shape} for {type}", dense.token)
        try:
            if isinstance(dense.elements, str):
                flat = array_of_bytes(dense.elements, type.dtype)
            else:
                flat = array_of(dense.elements, type.dtype)
            return shaped(flat, shape)
        except ValueError as error:
            self.fail(str(error), dense.token)
