"""The data model: Value, Operation, Block, Region, Function, Module.

One SSA model carries every dialect. The model knows no operation by name: what an operation
means comes from its ``OpDefinition`` (see ``nets.ops.definition.registry``).

Invariants (enforced by ``nets.ir.verifier``):

* A Value is defined once: as a result of an Operation or as an argument of a Block.
* A Region holds one Block; control flow is structured, by operations with regions.
* ``value.uses`` lists exactly the (operation, operand index) pairs of operations *that stand in
  a block*. An operation outside any block (on the eager tape) uses nothing, so a tape keeps no
  tensor alive from its inputs' side.
* Attributes are never changed in place while the operation stands in a block that a pass walks;
  replace the dictionary.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any

from nets.ir.location import Location
from nets.ir.types import FunctionType, Type

Attribute = Any
"""bool, int, float, str, DType, a type, a NumPy array, or a tuple of attributes."""

Attributes = Mapping[str, Attribute]


class Trait(Flag):
    """What passes may know of an operation without knowing its name."""

    NONE = 0
    PURE = auto()
    """No effect but its results: may be removed, merged, moved; of CONTROL, as far as its regions
    are (``Operation.is_pure``)."""
    ELEMENTWISE = auto()
    """All operands and results share one shape; one scalar function of the elements."""
    INDEXING = auto()
    """Each result element is found by reading operands at computed indices (broadcast, slice…)."""
    REDUCTION = auto()
    """Combines the elements along ``axes`` of its one operand."""
    COMMUTATIVE = auto()
    """Two operands that may be swapped."""
    FLOAT_ONLY = auto()
    """Takes floating-point operands only."""
    ALIAS = auto()
    """The result is its operand's memory under another shape (reshape)."""
    KERNEL = auto()
    """Builds its loops itself and is not fused with others (matmul, scatter)."""
    TERMINATOR = auto()
    """Ends a block."""
    RETURN = auto()
    """A terminator that ends a function; the others end a region of an operation."""
    ISOLATED = auto()
    """Its regions use no values but their own arguments and what they define."""
    CONSTANT = auto()
    """No operands; the value is an attribute."""
    COSTLY = auto()
    """Worth keeping rather than computing again (math functions, divisions)."""
    EXACT = auto()
    """The native result equals the reference bit for bit (numerics.md, 2)."""
    CHECKED = auto()
    """May fail at run time on the values of its operands, as an index out of bounds does."""
    BY_ENTRY = auto()
    """Its region runs once for each entry of the leading axes, one entry after the other."""
    STOPS_GRADIENT = auto()
    """Its results are constants to every derivative."""
    CONTROL = auto()
    """Decides which of its regions run, and how often; each is a program like that of a function,
    and passes treat it as one."""
    RULED = auto()
    """Stands for the operations of its first region; the others are what derivatives make of it."""
    REPEATS = auto()
    """Takes any time: its region runs as often as an attribute or its operands say."""
    ONCE = auto()
    """Of CONTROL: its first region runs once, and may take the place of the operation; what more it
    says is for derivatives."""
    EFFECT = auto()
    """Does something besides giving results, as often as the program says and in its order. A
    loop or branch around one does as well (``Operation.has_effects``)."""


class OpDefinition:
    """What the data model and the passes need to know of an operation.

    ``nets.ops.definition.registry`` derives one instance from each op class.
    """

    name: str
    traits: Trait
    operand_names: tuple[str, ...]
    """Parameter names; one that starts with '*' stands for any number of operands."""
    attribute_names: tuple[str, ...]
    implied_attributes: tuple[str, ...]
    """Attributes that the text form leaves out, for the result type tells them (shape, dtype)."""
    region_count: int

    def infer(
        self, operands: Sequence[Value], attributes: Attributes, regions: Sequence[Region]
    ) -> tuple[Type, ...]:
        """Result types; ShapeError, DTypeError or VerifyError where the operation is ill-typed."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<op {self.name}>"


class Value:
    """One SSA value: a result of an operation or an argument of a block."""

    __slots__ = ("__weakref__", "hint", "index", "owner", "type", "uses")

    def __init__(
        self, type: Type, owner: Operation | Block | None, index: int, hint: str = ""
    ) -> None:
        self.type = type
        self.owner = owner
        self.index = index
        self.hint = hint
        """Preferred name in text, such as the Python parameter; may be empty."""
        self.uses: dict[tuple[Operation, int], None] = {}

    @property
    def operation(self) -> Operation | None:
        """The operation this is a result of; None for block arguments."""
        return self.owner if isinstance(self.owner, Operation) else None

    @property
    def users(self) -> list[Operation]:
        """The operations that use this value, each once, in order of first use."""
        return list(dict.fromkeys(operation for operation, _ in self.uses))

    def replace_uses(self, new: Value) -> None:
        """Let every user use ``new`` instead."""
        for operation, position in list(self.uses):
            operation.set_operand(position, new)

    def __repr__(self) -> str:
        return f"<value {self.hint or self.index}: {self.type}>"


class Operation:
    """One operation: definition, operands, results, attributes, regions, location."""

    __slots__ = (
        "__weakref__",
        "_operands",
        "attributes",
        "block",
        "definition",
        "location",
        "next",
        "previous",
        "regions",
        "results",
    )

    def __init__(
        self,
        definition: OpDefinition,
        operands: Sequence[Value],
        result_types: Sequence[Type],
        attributes: Attributes | None = None,
        regions: Sequence[Region] = (),
        location: Location | None = None,
    ) -> None:
        self.definition = definition
        self._operands = tuple(operands)
        self.results = tuple(Value(type, self, i) for i, type in enumerate(result_types))
        self.attributes: Attributes = attributes or {}
        self.regions = tuple(regions)
        self.location = location
        self.block: Block | None = None
        self.previous: Operation | None = None
        self.next: Operation | None = None
        for region in self.regions:
            region.owner = self

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def operands(self) -> tuple[Value, ...]:
        return self._operands

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value

    def has(self, trait: Trait) -> bool:
        # Numbers, for arithmetic on Flag is slow and passes ask this of every operation.
        return bool(self.definition.traits._value_ & trait._value_)

    @property
    def has_effects(self) -> bool:
        """Whether running the operation does more than give its results."""
        if not self.has(Trait.CONTROL | Trait.RULED):
            return self.has(Trait.EFFECT)
        return any(op.has(Trait.EFFECT) for op in self.walk_regions())

    @property
    def is_pure(self) -> bool:
        """Whether the operation may be removed, merged or moved."""
        return self.has(Trait.PURE) and not self.has_effects

    def set_operand(self, position: int, value: Value) -> None:
        operands = list(self._operands)
        operands[position] = value
        self.set_operands(operands)

    def set_operands(self, operands: Sequence[Value]) -> None:
        if self.block is not None:
            self._drop_uses()
        self._operands = tuple(operands)
        if self.block is not None:
            self._add_uses()

    def add_results(self, types: Sequence[Type]) -> tuple[Value, ...]:
        """Further results behind those there are; the definition must infer them."""
        first = len(self.results)
        made = tuple(Value(type, self, first + i) for i, type in enumerate(types))
        self.results += made
        return made

    def drop_results(self, places: Container[int]) -> None:
        """Remove the results at these places, which are unused."""
        assert not any(x.uses for i, x in enumerate(self.results) if i in places)
        kept = [x for i, x in enumerate(self.results) if i not in places]
        self.results = tuple(_numbered(kept))

    def replace_with(self, values: Sequence[Value]) -> None:
        """Let every user of each result use the value at its place, and remove the operation."""
        for old, new in zip(self.results, values, strict=True):
            old.replace_uses(new)
        self.erase()

    def erase(self) -> None:
        """Take the operation out of its block for good; its results must be unused."""
        assert not any(result.uses for result in self.results), f"{self.name} is still used"
        for inner in self.walk_regions():
            inner._drop_uses()
        assert self.block is not None
        self.block.remove(self)

    def walk_regions(self) -> Iterator[Operation]:
        """Every operation nested in the regions of this one, outermost first."""
        pending = [op for region in reversed(self.regions) for op in reversed(region.block)]
        while pending:
            op = pending.pop()
            yield op
            for region in reversed(op.regions):
                pending.extend(reversed(region.block))

    def _add_uses(self) -> None:
        for i, operand in enumerate(self._operands):
            operand.uses[self, i] = None

    def _drop_uses(self) -> None:
        for i, operand in enumerate(self._operands):
            operand.uses.pop((self, i), None)

    def __repr__(self) -> str:
        return f"<operation {self.name}>"


class Block:
    """A doubly linked list of operations with arguments; the last operation is the terminator."""

    __slots__ = ("arguments", "first", "last", "owner")

    def __init__(self, argument_types: Sequence[Type] = (), hints: Sequence[str] = ()) -> None:
        self.arguments: list[Value] = []
        self.first: Operation | None = None
        self.last: Operation | None = None
        self.owner: Region | None = None
        for i, type in enumerate(argument_types):
            self.add_argument(type, hints[i] if i < len(hints) else "")

    def add_argument(self, type: Type, hint: str = "") -> Value:
        value = Value(type, self, len(self.arguments), hint)
        self.arguments.append(value)
        return value

    def set_arguments(self, arguments: Iterable[Value]) -> None:
        """Let these be the arguments, in this order; those that go are unused."""
        self.arguments = _numbered(arguments)

    def drop_arguments(self, places: Container[int]) -> None:
        """Remove the arguments at these places, which are unused."""
        assert not any(x.uses for i, x in enumerate(self.arguments) if i in places)
        self.set_arguments(x for i, x in enumerate(self.arguments) if i not in places)

    def __iter__(self) -> Iterator[Operation]:
        """The operations in order; the current one may be erased while iterating."""
        op = self.first
        while op is not None:
            following = op.next
            yield op
            op = following

    def __reversed__(self) -> Iterator[Operation]:
        op = self.last
        while op is not None:
            preceding = op.previous
            yield op
            op = preceding

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def terminator(self) -> Operation | None:
        last = self.last
        return last if last is not None and last.has(Trait.TERMINATOR) else None

    @property
    def yielded(self) -> tuple[Value, ...]:
        """The values that the terminator gives, if there is one yet."""
        end = self.terminator
        return end.operands if end is not None else ()

    def append(self, op: Operation) -> None:
        self.insert(op, None)

    def insert(self, op: Operation, before: Operation | None) -> None:
        """Put ``op`` before that operation of this block, or at the end for None."""
        assert op.block is None, f"{op.name} already stands in a block"
        after = self.last if before is None else before.previous
        op.block, op.previous, op.next = self, after, before
        if after is None:
            self.first = op
        else:
            after.next = op
        if before is None:
            self.last = op
        else:
            before.previous = op
        op._add_uses()

    def remove(self, op: Operation) -> None:
        """Take ``op`` out; it may be inserted elsewhere."""
        assert op.block is self
        if op.previous is None:
            self.first = op.next
        else:
            op.previous.next = op.next
        if op.next is None:
            self.last = op.previous
        else:
            op.next.previous = op.previous
        op.block = op.previous = op.next = None
        op._drop_uses()


def _numbered(values: Iterable[Value]) -> list[Value]:
    found = list(values)
    for i, value in enumerate(found):
        value.index = i
    return found


class Region:
    """A nested body of an operation or function: one block."""

    __slots__ = ("block", "owner")

    def __init__(self, block: Block | None = None) -> None:
        self.block = block if block is not None else Block()
        self.block.owner = self
        self.owner: Operation | Function | None = None


class Function:
    """A named body with typed arguments; its ``return`` gives the results."""

    def __init__(
        self,
        name: str,
        argument_types: Sequence[Type] = (),
        hints: Sequence[str] = (),
        attributes: Attributes | None = None,
    ) -> None:
        self.name = name
        self.attributes: dict[str, Attribute] = dict(attributes or {})
        self.region = Region(Block(argument_types, hints))
        self.region.owner = self

    @property
    def body(self) -> Block:
        return self.region.block

    @property
    def arguments(self) -> list[Value]:
        return self.body.arguments

    @property
    def returned(self) -> tuple[Value, ...]:
        """The values the terminator returns."""
        return self.body.yielded

    @property
    def type(self) -> FunctionType:
        return FunctionType(
            tuple(a.type for a in self.arguments), tuple(v.type for v in self.returned)
        )

    def walk(self) -> Iterator[Operation]:
        """Every operation, nested ones after their parent."""
        for op in self.body:
            yield op
            yield from op.walk_regions()

    @property
    def has_effects(self) -> bool:
        """Whether a call does more than give results."""
        return any(op.has(Trait.EFFECT) for op in self.walk())

    def programs(self) -> list[Block]:
        """The body, and the regions of CONTROL operations in it, outer ones first."""
        found = [self.body]
        for block in found:
            for op in block:
                if op.has(Trait.CONTROL):
                    found += [region.block for region in op.regions]
        return found

    def __str__(self) -> str:
        from nets.ir.printer import print_function

        return print_function(self)


@dataclass
class Module:
    """Functions by name."""

    functions: dict[str, Function]

    @classmethod
    def of(cls, functions: Iterable[Function]) -> Module:
        return cls({function.name: function for function in functions})

    def __str__(self) -> str:
        from nets.ir.printer import print_module

        return print_module(self)
