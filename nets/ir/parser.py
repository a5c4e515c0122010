"""Reads the text that ``nets.ir.printer`` writes; the grammar stands there.

Text may come from anybody: whatever it holds, the outcome is valid IR, a ParseError (it is not in
the language) or a VerifyError (it breaks a rule of an operation), each with line, column and the
line. Nothing is evaluated; numbers, ranks and nesting are bounded.
"""

from __future__ import annotations

from collections.abc import Callable

from nets.errors import NetsError, VerifyError
from nets.ir.attribute_parser import MAX_NESTING, AttributeParser, Dense
from nets.ir.core import (
    Attribute,
    Block,
    Function,
    Module,
    OpDefinition,
    Operation,
    Region,
    Trait,
    Value,
)
from nets.ir.lexer import Token, parse_error, verify_error
from nets.ir.types import BufferType, TensorType, Type
from nets.ir.verifier import infer_types, verify_module

Lookup = Callable[[str], OpDefinition]
"""From the name of an operation to its definition; raises a NetsError where there is none."""


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


class _Parser(AttributeParser):
    def __init__(self, text: str, lookup: Lookup) -> None:
        super().__init__(text)
        self._lookup = lookup
        self._values: dict[str, Value] = {}
        self.table = self._read_table()

    # Modules and functions.

    def _read_table(self) -> dict[str, str]:
        """The table at the end, which functions before it refer to."""
        start = self.first("{-#")
        if start is None:
            return {}
        table: dict[str, str] = {}
        self.go_to(start)
        self.expect("{-#")
        while not self.have("#-}"):
            self.expect("@")
            token = self.expect_kind("name", "a name")
            self.expect(":")
            if token.text in table:
                self.fail(f"@{token.text} is there twice", token)
            table[token.text] = self.string()
        if self.peek().kind != "end":
            self.fail("the table must be the end of the text", self.peek())
        self.cut(start)
        self.go_to(0)
        return table

    def module(self) -> Module:
        module = Module({})
        while self.peek().kind != "end":
            token = self.peek()
            function = self._function()
            if function.name in module.functions:
                self.fail(f"function {function.name!r} is defined twice", token)
            module.functions[function.name] = function
        return module

    def _function(self) -> Function:
        self.expect("func")
        self.expect("@")
        function = Function(self._symbol())
        self._values = {}
        self._arguments(function.body)
        end = self.peek()
        declared = self._types_after_arrow()
        if self.have("attributes"):
            function.attributes = self.attributes()
            self.refuse_untyped(function.attributes)
        self._block(function.body, 1)
        returned = [value.type for value in function.returned]
        if returned != declared:
            raise verify_error(
                f"the function returns ({_list(returned)}), not ({_list(declared)})",
                self.text,
                end.position,
            )
        return function

    def _symbol(self) -> str:
        if self.peek().kind == "string":
            return self.string()
        return self.expect_kind("name", "a name").text

    def _types_after_arrow(self) -> list[Type]:
        if not self.have("->"):
            return []
        if not self.have("("):
            return [self.type()]
        types = self.types()
        self.expect(")")
        return types

    def _arguments(self, block: Block) -> list[str]:
        """Add the arguments to the block; their names."""
        names: list[str] = []
        self.expect("(")
        while not self.have(")"):
            if names:
                self.expect(",")
            token = self.expect_kind("value", "an argument")
            self.expect(":")
            self._define(token, block.add_argument(self.type(), token.text[1:]))
            names.append(token.text)
        return names

    def _define(self, token: Token, value: Value) -> None:
        if token.text in self._values:
            self.fail(f"{token.text} is defined twice", token)
        self._values[token.text] = value

    # Operations.

    def _block(self, block: Block, depth: int) -> list[str]:
        """Add the operations between braces to the block; the names they define."""
        opening = self.expect("{")
        if depth > MAX_NESTING:
            self.fail(f"regions are nested more than {MAX_NESTING} deep", opening)
        names: list[str] = []
        closing = self.peek()
        while not self.have("}"):
            names += self._operation(block, depth)
            closing = self.peek()
        if block.terminator is None:
            self.fail("a block must end with a terminator", closing)
        return names

    def _operation(self, block: Block, depth: int) -> list[str]:
        results = self._results()
        name = self.expect_kind("name", "an operation")
        definition = self._definition(name)
        operands = self._operands()
        attributes = self.attributes() if self.peek().text == "{" else {}
        regions = self._regions(definition, depth)
        types = self.types() if self.have(":") else []
        location = self.location() if self.peek().text == "loc" else None
        typed = types if results else []
        if results and len(types) != len(results):
            self.fail(f"{len(results)} results have {len(types)} types", name)
        if not results and types != [value.type for value in operands]:
            self.fail(f"the operands have types ({_list([v.type for v in operands])})", name)
        self._complete(definition, attributes, typed, name)
        self._check_types(definition, operands, attributes, regions, typed, name)
        op = Operation(definition, operands, typed, attributes, regions, location)
        block.append(op)
        for token, value in zip(results, op.results, strict=True):
            self._define(token, value)
        return [token.text for token in results]

    def _results(self) -> list[Token]:
        found: list[Token] = []
        if self.peek().kind != "value":
            return found
        found.append(self.take())
        while self.have(","):
            found.append(self.expect_kind("value", "a result"))
        self.expect("=")
        return found

    def _definition(self, name: Token) -> OpDefinition:
        try:
            return self._lookup(name.text)
        except NetsError as error:
            self.fail(error.message, name)

    def _operands(self) -> list[Value]:
        found: list[Value] = []
        if self.peek().kind != "value":
            return found
        while True:
            token = self.expect_kind("value", "an operand")
            value = self._values.get(token.text)
            if value is None:
                self.fail(f"{token.text} is not defined here", token)
            found.append(value)
            if not self.have(","):
                return found

    def _regions(self, definition: OpDefinition, depth: int) -> list[Region]:
        found: list[Region] = []
        outer = self._values
        while self.peek().text == "(":
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
            if isinstance(value, Dense):
                if not isinstance(result, TensorType | BufferType):
                    self.fail("this array needs a type", value.token)
                attributes[key] = self.array(value, result)
        for key in definition.implied_attributes:
            if key in attributes:
                self.fail(f"{key} of {definition.name} is told by the result type", name)
            if result is None:
                self.fail(f"{definition.name} needs a result", name)
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
            raise verify_error(error.message, self.text, name.position) from error.__cause__
        if list(inferred) != types:
            message = f"{definition.name} has results ({_list(inferred)}), not ({_list(types)})"
            raise verify_error(message, self.text, name.position)


def _list(types: list[Type] | tuple[Type, ...]) -> str:
    return ", ".join(map(str, types))
