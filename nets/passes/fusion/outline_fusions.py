"""The last step of ``fuse``: puts groups of operations into ``fusion`` operations, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nets.ir.core import Block, Operation, Region, Trait, Value
from nets.ops.definition.registry import lookup
from nets.passes.fusion.fusion_groups import Groups, Node
from nets.passes.fusion.memory_order import in_memory_order


def outline_fusions(body: Block, groups: Groups, nodes: Iterable[Node]) -> None:
    """Order the operations of ``body`` by node and outline those that belong together.

    Index changes and constants (``groups.moves``) are copied into the fusions that read through
    them; one that something else reads as well stands before it.
    """
    by_slot = sorted({node.find() for node in nodes}, key=lambda node: node.slot)
    ordered = in_memory_order(by_slot, groups)
    wanted = [_wanted_values(node, groups) for node in ordered]
    for op in body:
        body.remove(op)
    outline = _Outline(body, groups.moves)
    for node, values in zip(ordered, wanted, strict=True):
        if node.space is None:
            for op in node.ops:
                outline.place(op)
        elif values:
            outline.place_group(list(node.ops), values)


def _wanted_values(node: Node, groups: Groups) -> list[Value]:
    """The values of a node that others use, perhaps through index changes."""
    return [
        value
        for op in node.ops
        for value in op.results
        if node.space is not None and groups.is_used_outside(value, node)
    ]


class _Outline:
    """Appends operations to a body; what became a result of a fusion is replaced on the way."""

    def __init__(self, body: Block, moves: dict[Value, Operation]) -> None:
        self.body = body
        self.moves = moves
        self.values: dict[Value, Value] = {}
        """Values the program had → those that stand for them now."""

    def place(self, op: Operation) -> None:
        """Append an operation that stays as it is, after the index changes it reads."""
        op.set_operands([self._placed(operand) for operand in op.operands])
        self.body.append(op)

    def place_group(self, ops: Sequence[Operation], results: Sequence[Value]) -> None:
        """Append a fusion of the operations, or the only one if nothing is gained."""
        if len(ops) == 1 and not any(self._is_through_move(v) for v in ops[0].operands):
            self.place(ops[0])
        else:
            self._fuse(ops, results)

    def _fuse(self, ops: Sequence[Operation], results: Sequence[Value]) -> None:
        inside = _FusionBody(self.moves)
        for op in ops:
            inside.take(op)
        fusion = inside.finish(results, self.values)
        self.body.append(fusion)
        self.values.update(zip(results, fusion.results, strict=True))

    def _is_through_move(self, value: Value) -> bool:
        return value in self.moves and not self.moves[value].has(Trait.CONSTANT)

    def _is_view(self, value: Value) -> bool:
        """Whether the value has its elements where some value in memory has them."""
        while value in self.moves and self.moves[value].has(Trait.ALIAS):
            (value,) = self.moves[value].operands
        return value not in self.moves

    def _placed(self, value: Value) -> Value:
        """The value in the body; an index change is appended when first asked for."""
        if value not in self.moves or value in self.values:
            return self.values.get(value, value)
        op = self.moves[value]
        if any(self._is_through_move(v) and not self._is_view(v) for v in op.operands):
            self._fuse((), [value])
        else:
            self.place(op)
            self.values[value] = value
        return self.values[value]


class _FusionBody:
    """The region of a fusion in the making."""

    def __init__(self, moves: dict[Value, Operation]) -> None:
        self.moves = moves
        self.block = Block()
        self.inputs: list[Value] = []
        self.values: dict[Value, Value] = {}

    def take(self, op: Operation) -> None:
        """Append an operation; it reads what is inside, or arguments."""
        op.set_operands([self._inside(operand) for operand in op.operands])
        self.block.append(op)
        self.values.update((value, value) for value in op.results)

    def finish(self, results: Sequence[Value], outside: dict[Value, Value]) -> Operation:
        """The fusion operation, with operands as they are called outside."""
        end = Operation(lookup("yield"), [self._inside(value) for value in results], ())
        self.block.append(end)
        operands = [outside.get(value, value) for value in self.inputs]
        types = [value.type for value in results]
        location = self.block.first.location if self.block.first is not None else None
        region = Region(self.block)
        return Operation(lookup("fusion"), operands, types, {}, (region,), location)

    def _inside(self, value: Value) -> Value:
        """The value by the name it has inside, with copies of the index changes behind it."""
        chain = []
        while value not in self.values and value in self.moves:
            op = self.moves[value]
            chain.append(op)
            if not op.operands:
                break
            value = op.operands[0]
        if value not in self.values and value not in self.moves:
            self.inputs.append(value)
            self.values[value] = self.block.add_argument(value.type, value.hint)
        for op in reversed(chain):
            operands = [self.values[operand] for operand in op.operands]
            types = [result.type for result in op.results]
            copy = Operation(op.definition, operands, types, op.attributes, (), op.location)
            self.block.append(copy)
            self.values[op.result] = copy.result
            value = op.result
        return self.values[value]
