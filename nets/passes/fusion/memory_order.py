"""Memory order: which of the operations that could come next comes next.

Program order, but a node that frees more memory than it takes runs as soon as it can: the
step of a parameter right after its gradient, while that is in the cache, and not at the end of the
program with all the other gradients still alive.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Trait, Value
from nets.ir.estimates import bytes_about
from nets.ops.definition.emitter import tensor_type
from nets.passes.fusion.fusion_groups import Groups, Node


def in_memory_order(nodes: Sequence[Node], groups: Groups) -> list[Node]:
    """The nodes in an order in which producers come first. ``nodes`` is one."""
    return _Order(nodes, groups).run()


class _Order:
    def __init__(self, nodes: Sequence[Node], groups: Groups) -> None:
        self.nodes = nodes
        self.groups = groups
        self.reads = {node: self._memory_read(node) for node in nodes}
        self.readers_left: dict[Value, int] = {}
        for values in self.reads.values():
            for value in values:
                self.readers_left[value] = self.readers_left.get(value, 0) + 1
        self.returned = {v for node in nodes if _is_return(node) for v in self.reads[node]}
        self.producers = {node: {p.find() for p in node.producers} - {node} for node in nodes}
        self.waits = {node: len(producers) for node, producers in self.producers.items()}
        self.users: dict[Node, list[Node]] = {node: [] for node in nodes}
        for node in nodes:
            for producer in self.producers[node]:
                self.users[producer].append(node)
        self.placed: dict[Node, None] = {}

    def run(self) -> list[Node]:
        for node in self.nodes:
            pending = [node]
            while pending:
                chosen = pending.pop()
                if chosen not in self.placed:
                    pending.extend(reversed(self._place(chosen)))
        return list(self.placed)

    def _place(self, node: Node) -> list[Node]:
        """Place a node; the users that should follow at once."""
        self.placed[node] = None
        for value in self.reads[node]:
            self.readers_left[value] -= 1
        ready = []
        for user in self.users[node]:
            self.waits[user] -= 1
            if self.waits[user] == 0 and not _is_return(user) and self._gain(user) > 0:
                ready.append(user)
        return ready

    def _gain(self, node: Node) -> int:
        """Bytes that are free after the node and were not before."""
        freed = sum(_bytes(v) for v in self.reads[node] if self._dies_with(v))
        made = sum(_bytes(v) for v in node.values if v in self.readers_left and self._is_buffer(v))
        return freed - made

    def _dies_with(self, value: Value) -> bool:
        return self.readers_left[value] == 1 and self._is_buffer(value)

    def _is_buffer(self, value: Value) -> bool:
        """Whether the value takes memory of the arena."""
        op = value.operation
        return op is not None and not op.has(Trait.CONSTANT) and value not in self.returned

    def _memory_read(self, node: Node) -> dict[Value, None]:
        """The values in memory the node reads, seen through index changes and views."""
        found: dict[Value, None] = {}
        for op in node.ops:
            for operand in op.operands:
                root = self.groups.root(operand)
                while root is not None and (op_of := root.operation) and op_of.has(Trait.ALIAS):
                    root = self.groups.root(op_of.operands[0])
                if root is not None and root not in node.values:
                    found[root] = None
        return found


def _is_return(node: Node) -> bool:
    return any(op.has(Trait.TERMINATOR) for op in node.ops)


def _bytes(value: Value) -> int:
    return bytes_about(tensor_type(value))
