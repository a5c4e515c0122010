"""Reads the text that ``nets.ir.printer`` writes; the grammar stands there.

Text may come from anybody: whatever it holds, the outcome is valid IR, a ParseError (it is not in
the language) or a VerifyError (it breaks a rule of an operation), each with line, column and the
line. Nothing is evaluated; numbers, ranks and nesting are bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from nets.errors import NetsError, VerifyError
from nets.ir.core import (
    Attribute,
    Block,
    Function,
    Location,
    Module,
    OpDefinition,
    Operation,
    Region,
    Trait,
    Value,
)
from nets.ir.dense import Array, array_of, array_of_bytes, shaped
from nets.ir.lexer import Token, parse_error, tokens_of, verify_error
from nets.ir.types import (
    DTYPES,
    BufferType,
    Dim,
    DType,
    ScalarType,
    Symbol,
    TensorType,
    Type,
    VectorType,
)
from nets.ir.verifier import infer_types, verify_module

Lookup = Callable[[str], OpDefinition]
"""From the name of an operation to its definition; raises a NetsError where there is none."""

MAX_NESTING: Final = 64
"""Depth of regions and of attribute lists, and the largest rank."""

MAX_LANES: Final = 1 << 16

_SHAPED = re.compile(r"(tensor|buffer)<((?:(?:[0-9]+|\?[A-Za-z_][A-Za-z0-9_]* )x)*)([a-z0-9]+)>")
_DIM = re.compile(r"([0-9]+|\?[A-Za-z_][A-Za-z0-9_]*) ?x")
_VECTOR = re.compile(r"vector<([0-9]+)x([a-z0-9]+)>")
_SCALAR = re.compile(r"scalar<([a-z0-9]+)>")


def parse_module(text: str, lookup: Lookup) -> Module:
    """The valid module this text says."""
    module = _Parser(text, lookup).module()
    verify_module(module)
    return module


def parse_function(text: str, lookup: Lookup) -> Function:
    """The only function of a text; ParseError where there are none or several."""
    module = parse_module(text, lookup)
    if len(module.functions) != 1:
        raise parse_error(f"one function, not {len(module.functions)}, should be here", text, 0)
    (function,) = module.functions.values()
    return function


@dataclass(frozen=True, slots=True)
class _Dense:
    """An array attribute whose shape and dtype are those of the operation's result."""

    token: Token
    elements: list[str] | str
    shape: tuple[int, ...] | None


class _Parser:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self._text = text
        self._lookup = lookup
        self._tokens = tokens_of(text)
        self._next = 0
        self._values: dict[str, Value] = {}
        self._types: dict[str, Type] = {}
        self._table = self._read_table()

    # Tokens.

    def _fail(self, message: str, token: Token) -> NoReturn:
        raise parse_error(message, self._text, token.position)

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _have(self, text: str) -> bool:
        """Go past a sign or name if it comes next."""
        token = self._tokens[self._next]
        if token.text != text or token.kind not in ("sign", "name"):
            return False
        self._next += 1
        return True

    def _expect(self, text: str) -> Token:
        token = self._peek()
        if not self._have(text):
            self._fail(f"{text!r} should be here, not {_shown(token)}", token)
        return token

    def _expect_kind(self, kind: str, what: str) -> Token:
        token = self._take()
        if token.kind != kind:
            self._fail(f"{what} should be here, not {_shown(token)}", token)
        return token

    # Modules and functions.

    def _read_table(self) -> dict[str, str]:
        """The table at the end, which functions before it refer to."""
        starts = [i for i, token in enumerate(self._tokens) if token.text == "{-#"]
        if not starts:
            return {}
        table: dict[str, str] = {}
        self._next = starts[0]
        self._expect("{-#")
        while not self._have("#-}"):
            self._expect("@")
            token = self._expect_kind("name", "a name")
            self._expect(":")
            if token.text in table:
                self._fail(f"@{token.text} is there twice", token)
            table[token.text] = self._string()
        if self._peek().kind != "end":
            self._fail("the table must be the end of the text", self._peek())
        self._tokens[starts[0] :] = [self._peek()]
        self._next = 0
        return table

    def module(self) -> Module:
        module = Module({})
        while self._peek().kind != "end":
            token = self._peek()
            function = self._function()
            if function.name in module.functions:
                self._fail(f"function {function.name!r} is defined twice", token)
            module.functions[function.name] = function
        return module

    def _function(self) -> Function:
        self._expect("func")
        self._expect("@")
        function = Function(self._symbol())
        self._values = {}
        self._arguments(function.body)
        end = self._peek()
        declared = self._types_after_arrow()
        if self._have("attributes"):
            function.attributes = self._attributes()
            self._no_untyped(function.attributes)
        self._block(function.body, 1)
        returned = [value.type for value in function.returned]
        if returned != declared:
            raise verify_error(
                f"the function returns ({_list(returned)}), not ({_list(declared)})",
                self._text,
                end.position,
            )
        return function

    def _symbol(self) -> str:
        if self._peek().kind == "string":
            return self._string()
        return self._expect_kind("name", "a name").text

    def _types_after_arrow(self) -> list[Type]:
        if not self._have("->"):
            return []
        if not self._have("("):
            return [self._type()]
        types = self._type_list()
        self._expect(")")
        return types

    def _arguments(self, block: Block) -> list[str]:
        """Add the arguments to the block; their names."""
        names: list[str] = []
        self._expect("(")
        while not self._have(")"):
            if names:
                self._expect(",")
            token = self._expect_kind("value", "an argument")
            self._expect(":")
            self._define(token, block.add_argument(self._type(), token.text[1:]))
            names.append(token.text)
        return names

    def _define(self, token: Token, value: Value) -> None:
        if token.text in self._values:
            self._fail(f"{token.text} is defined twice", token)
        self._values[token.text] = value

    # Operations.

    def _block(self, block: Block, depth: int) -> list[str]:
        """Add the operations between braces to the block; the names they define."""
        opening = self._expect("{")
        if depth > MAX_NESTING:
            self._fail(f"regions are nested more than {MAX_NESTING} deep", opening)
        names: list[str] = []
        while not self._have("}"):
            names += self._operation(block, depth)
        if block.terminator is None:
            end = self._tokens[self._next - 1]
            self._fail("a block must end with a terminator", end)
        return names

    def _operation(self, block: Block, depth: int) -> list[str]:
        results = self._results()
        name = self._expect_kind("name", "an operation")
        definition = self._definition(name)
        operands = self._operands()
        attributes = self._attributes() if self._peek().text == "{" else {}
        regions = self._regions(definition, depth)
        types = self._type_list() if self._have(":") else []
        location = self._location() if self._peek().text == "loc" else None
        typed = types if results else []
        if results and len(types) != len(results):
            self._fail(f"{len(results)} results have {len(types)} types", name)
        if not results and types != [value.type for value in operands]:
            self._fail(f"the operands have types ({_list([v.type for v in operands])})", name)
        self._complete(definition, attributes, typed, name)
        self._check_types(definition, operands, attributes, regions, typed, name)
        op = Operation(definition, operands, typed, attributes, regions, location)
        block.append(op)
        for token, value in zip(results, op.results, strict=True):
            self._define(token, value)
        return [token.text for token in results]

    def _results(self) -> list[Token]:
        found: list[Token] = []
        if self._peek().kind != "value":
            return found
        found.append(self._take())
        while self._have(","):
            found.append(self._expect_kind("value", "a result"))
        self._expect("=")
        return found

    def _definition(self, name: Token) -> OpDefinition:
        try:
            return self._lookup(name.text)
        except NetsError as error:
            self._fail(error.message, name)

    def _operands(self) -> list[Value]:
        found: list[Value] = []
        if self._peek().kind != "value":
            return found
        while True:
            token = self._expect_kind("value", "an operand")
            value = self._values.get(token.text)
            if value is None:
                self._fail(f"{token.text} is not defined here", token)
            found.append(value)
            if not self._have(","):
                return found

    def _regions(self, definition: OpDefinition, depth: int) -> list[Region]:
        found: list[Region] = []
        outer = self._values
        while self._peek().text == "(":
            if definition.traits & Trait.ISOLATED:
                self._values = {}
            region = Region()
            names = self._arguments(region.block)
            names += self._block(region.block, depth + 1)
            if self._values is outer:
                for name in names:
                    del outer[name]
            self._values = outer
            found.append(region)
        return found

    def _complete(
        self,
        definition: OpDefinition,
        attributes: dict[str, Attribute],
        types: list[Type],
        name: Token,
    ) -> None:
        """Add the attributes that the result type tells, and give arrays their type."""
        result = types[0] if types else None
        for key, value in attributes.items():
            if isinstance(value, _Dense):
                if not isinstance(result, TensorType | BufferType):
                    self._fail("this array needs a type", value.token)
                attributes[key] = self._array(value, result)
        for key in definition.implied_attributes:
            if key in attributes:
                self._fail(f"{key} of {definition.name} is told by the result type", name)
            if result is None:
                self._fail(f"{definition.name} needs a result", name)
            # An attribute that the type does not have stays missing, which the type rule reports.
            if key == "type":
                attributes[key] = result
            elif hasattr(result, key):
                attributes[key] = getattr(result, key)

    def _check_types(
        self,
        definition: OpDefinition,
        operands: list[Value],
        attributes: dict[str, Attribute],
        regions: list[Region],
        types: list[Type],
        name: Token,
    ) -> None:
        """Here and not only in the verifier, for here the position is known."""
        try:
            inferred = infer_types(definition, operands, attributes, regions)
        except VerifyError as error:
            raise verify_error(error.message, self._text, name.position) from error.__cause__
        if list(inferred) != types:
            message = f"{definition.name} has results ({_list(inferred)}), not ({_list(types)})"
            raise verify_error(message, self._text, name.position)

    # Types.

    def _type_list(self) -> list[Type]:
        types = [self._type()]
        while self._have(","):
            types.append(self._type())
        return types

    def _type(self) -> Type:
        token = self._take()
        found = self._types.get(token.text)
        if found is None:
            if token.kind == "name" and token.text in DTYPES:
                found = ScalarType(DTYPES[token.text])
            elif token.kind == "type":
                found = self._read_type(token)
            else:
                self._fail(f"a type should be here, not {_shown(token)}", token)
            self._types[token.text] = found
        return found

    def _read_type(self, token: Token) -> Type:
        if match := _SHAPED.fullmatch(token.text):
            dims = [self._dim(dim, token) for dim in _DIM.findall(match[2])]
            if len(dims) > MAX_NESTING:
                self._fail(f"a type has more than {MAX_NESTING} dimensions", token)
            make = TensorType if match[1] == "tensor" else BufferType
            return make(tuple(dims), self._dtype(match[3], token))
        if match := _VECTOR.fullmatch(token.text):
            lanes = self._integer(match[1], token)
            if not 1 <= lanes <= MAX_LANES:
                self._fail(f"a vector has 1 to {MAX_LANES} lanes", token)
            return VectorType(lanes, self._dtype(match[2], token))
        if match := _SCALAR.fullmatch(token.text):
            return ScalarType(self._dtype(match[1], token))
        raise parse_error(f"{_shown(token)} is not a type", self._text, token.position)

    def _dim(self, text: str, token: Token) -> Dim:
        return Symbol(text[1:]) if text.startswith("?") else self._integer(text, token)

    def _dtype(self, name: str, token: Token) -> DType:
        if name not in DTYPES:
            self._fail(f"there is no dtype {name!r}", token)
        return DTYPES[name]

    # Attributes.

    def _attributes(self) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        self._expect("{")
        while not self._have("}"):
            if found:
                self._expect(",")
            name = self._expect_kind("name", "the name of an attribute")
            if name.text in found:
                self._fail(f"attribute {name.text} is there twice", name)
            self._expect("=")
            found[name.text] = self._attribute(1)
        return found

    def _no_untyped(self, attributes: dict[str, Attribute]) -> None:
        for value in attributes.values():
            if isinstance(value, _Dense):
                self._fail("this array needs a type", value.token)

    def _attribute(self, depth: int) -> Attribute:
        token = self._peek()
        if depth > MAX_NESTING:
            self._fail(f"lists are nested more than {MAX_NESTING} deep", token)
        match token.kind, token.text:
            case "sign", "[":
                return self._attribute_list(depth)
            case "number", _:
                return self._number(self._take())
            case "string", _:
                return self._string()
            case "symbol", _:
                return Symbol(self._take().text[1:])
            case "type", _:
                return self._type()
            case "name", "dense":
                return self._dense(depth)
            case "name", "loc":
                return self._location()
            case "name", ("true" | "false" | "none") as word:
                self._take()
                return {"true": True, "false": False, "none": None}[word]
            case "name", word if word in DTYPES:
                self._take()
                return DTYPES[word]
        message = f"an attribute should be here, not {_shown(token)}"
        raise parse_error(message, self._text, token.position)

    def _attribute_list(self, depth: int) -> tuple[Attribute, ...]:
        self._expect("[")
        found: list[Attribute] = []
        while not self._have("]"):
            if found:
                self._expect(",")
            found.append(self._attribute(depth + 1))
            if isinstance(found[-1], _Dense):
                self._fail("an array in a list needs a type", found[-1].token)
        return tuple(found)

    def _number(self, token: Token) -> int | float:
        digits = token.text.lstrip("-")
        if digits.isdecimal():
            return self._integer(token.text, token)
        number = float(token.text)
        if number in (float("inf"), float("-inf")) and digits != "inf":
            self._fail(f"{_shown(token)} is too large for a float", token)
        return number

    def _integer(self, text: str, token: Token) -> int:
        # Python reads only short digit strings in linear time.
        number = int(text) if len(text) <= 20 else None
        if number is None or not -(1 << 63) <= number < (1 << 64):
            self._fail(f"{_shown(token)} is too large for an integer", token)
        return number

    def _string(self) -> str:
        token = self._expect_kind("string", "a string")
        try:
            text: str = json.loads(token.text)
        except ValueError:
            self._fail("this string has an escape that is not in JSON", token)
        return text

    def _location(self) -> Location:
        self._expect("loc")
        self._expect("(")
        file = self._string()
        self._expect(":")
        token = self._expect_kind("number", "a line number")
        line = self._number(token)
        if not isinstance(line, int) or line < 0:
            self._fail("a line number should be here", token)
        self._expect(")")
        return Location(file, line)

    # Arrays.

    def _dense(self, depth: int) -> _Dense | Array:
        token = self._expect("dense")
        self._expect("<")
        elements: list[str] | str
        shape: tuple[int, ...] | None = None
        if self._peek().kind == "string":
            elements = self._string()
        elif self._have("@"):
            name = self._expect_kind("name", "the name of a table entry")
            if name.text not in self._table:
                self._fail(f"the table has no @{name.text}", name)
            elements = self._table[name.text]
        else:
            elements = []
            shape = self._elements(elements, depth)
        self._expect(">")
        dense = _Dense(token, elements, shape)
        if not self._have(":"):
            return dense
        type = self._type()
        if not isinstance(type, TensorType):
            self._fail(f"an array has a tensor type, not {type}", token)
        return self._array(dense, type)

    def _elements(self, into: list[str], depth: int) -> tuple[int, ...]:
        """Collect nested lists of numbers; their shape."""
        if depth > MAX_NESTING:
            self._fail(f"lists are nested more than {MAX_NESTING} deep", self._peek())
        if not self._have("["):
            token = self._take()
            if token.kind != "number" and token.text not in ("true", "false"):
                self._fail(f"an element should be here, not {_shown(token)}", token)
            into.append(token.text)
            return ()
        shapes: list[tuple[int, ...]] = []
        start = self._peek()
        while not self._have("]"):
            if shapes:
                self._expect(",")
            shapes.append(self._elements(into, depth + 1))
        if any(shape != shapes[0] for shape in shapes):
            self._fail("the lists of an array have different lengths", start)
        return (len(shapes), *(shapes[0] if shapes else ()))

    def _array(self, dense: _Dense, type: TensorType | BufferType) -> Array:
        if not all(isinstance(dim, int) for dim in type.shape):
            self._fail("an array has no symbolic dimensions", dense.token)
        shape: tuple[Any, ...] = type.shape
        fills = dense.shape in (None, ()) or (dense.shape == (0,) and 0 in shape)
        if not fills and dense.shape != shape:
            self._fail(f"elements of shape {dense.shape} for {type}", dense.token)
        try:
            if isinstance(dense.elements, str):
                flat = array_of_bytes(dense.elements, type.dtype)
            else:
                flat = array_of(dense.elements, type.dtype)
            return shaped(flat, shape)
        except ValueError as error:
            self._fail(str(error), dense.token)


def _shown(token: Token) -> str:
    if token.kind == "end":
        return "the end of the text"
    return repr(token.text if len(token.text) <= 30 else token.text[:30] + "…")


def _list(types: list[Type] | tuple[Type, ...]) -> str:
    return ", ".join(map(str, types))
