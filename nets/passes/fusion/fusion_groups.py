"""The growing groups of ``fuse``, and the schedule that keeps them free of cycles.

Every node (a group, or an operation that stays alone) has a slot, a number; a node reads only what
nodes of smaller slots compute. Joining is allowed where a slot between the latest producer and the
earliest user exists. That total order rules out cycles without a search through the graph.
"""

from __future__ import annotations

from collections.abc import Iterable

from nets.ir.core import Operation, Trait, Value
from nets.ir.types import Shape
from nets.ops.definition.emitter import tensor_type
from nets.passes.spaces.access_maps import Index, reads_of
from nets.passes.spaces.group import is_reduced, reduced_index
from nets.passes.spaces.iteration import Kind, Space, common_space, map_space, reduction_space
from nets.passes.spaces.loop_nests import Extent
from nets.passes.spaces.pieces import has_pieces

MAX_OPERATIONS = 64
"""Operations of a group: bounds the size of a loop body and the depth of nested index changes."""

MAX_COSTLY = 24
"""Of these, COSTLY ones: each is some thirty instructions."""

MAX_USERS = 64
"""Users up to which a node looks for the earliest; with more it stays where it is."""

SPACING = 1 << 40
"""Between the slots of neighbouring operations, so that there are always slots between."""


class Node:
    """Operations that will stand together. ``space`` is None for one that cannot be fused."""

    def __init__(self, op: Operation, position: int, space: Space | None) -> None:
        self.ops = {op: position}
        self.slot = position * SPACING
        self.space = space
        self.values: set[Value] = set(op.results)
        self.producers: dict[Node, None] = {}
        self.users: dict[Node, None] = {}
        self.merged_into: Node | None = None
        self.costly = int(op.has(Trait.COSTLY))

    def find(self) -> Node:
        """The node this one has become part of."""
        node = self
        while node.merged_into is not None:
            node = node.merged_into
        return node


class Groups:
    """The nodes of a function and what joins what.

    ``moves`` are the indexing operations that stand in no node: each group that reads one has its
    own copy, so a read is followed through them to the value they read, its root.
    """

    def __init__(self, moves: dict[Value, Operation]) -> None:
        self.moves = moves
        self.node_of: dict[Value, Node] = {}
        self._reads: dict[tuple[Value, Index], tuple[Value, Index] | None] = {}
        self._marks: dict[Shape, Index] = {}

    # Reads.
    def root(self, value: Value) -> Value | None:
        """The value behind index changes; None where there is none behind (iota, constants)."""
        while value in self.moves:
            operands = self.moves[value].operands
            if not operands:
                return None
            value = operands[0]
        return value

    def read(self, value: Value, index: Index) -> tuple[Value, Index] | None:
        """The root that a read at ``index`` comes to, and where."""
        while value in self.moves:
            key = (value, index)
            if key not in self._reads:
                reads, _ = reads_of(self.moves[value], index)
                self._reads[key] = reads[0] if reads else None
            found = self._reads[key]
            if found is None:
                return None
            value, index = found
        return value, index

    def _positions(self, shape: Shape) -> Index:
        """A stand-in position along each axis of a shape, always the same ones."""
        if shape not in self._marks:
            self._marks[shape] = Extent(shape).index
        return self._marks[shape]

    def node(self, value: Value) -> Node | None:
        """The node that computes a root; None for arguments and constants."""
        found = self.node_of.get(value)
        return None if found is None else found.find()

    def producers_of(self, op: Operation) -> dict[Node, None]:
        """The nodes an operation depends on, in the order of its operands."""
        found: dict[Node, None] = {}
        for operand in op.operands:
            root = self.root(operand)
            node = None if root is None else self.node(root)
            if node is not None:
                found[node] = None
        return found

    # Growing.
    def add(self, op: Operation, position: int, space: Space | None) -> Node:
        """A new node of one operation."""
        node = Node(op, position, space)
        self._connect(node, self.producers_of(op))
        for value in op.results:
            self.node_of[value] = node
        return node

    def join(self, op: Operation, position: int, node: Node) -> bool:
        """Let a new operation become part of ``node``, if that is possible."""
        space = self._space_with(op, node)
        if space is None or not _has_room(len(node.ops) + 1, node.costly + op.has(Trait.COSTLY)):
            return False
        producers = self.producers_of(op)
        producers.pop(node, None)
        latest = max((producer.slot for producer in producers), default=-1)
        if latest >= node.slot:
            earliest = _earliest_user(node, node, position * SPACING)
            if latest >= earliest - 1:
                return False
            node.slot = (latest + earliest) // 2
        node.space = space
        node.ops[op] = position
        node.costly += op.has(Trait.COSTLY)
        node.values.update(op.results)
        self._connect(node, producers)
        for value in op.results:
            self.node_of[value] = node
        return True

    def merge(self, first: Node, second: Node, end: int) -> bool:
        """Make one node of two, if that is possible; ``end`` is a slot after all there are."""
        space = self._common_space(first, second)
        room = _has_room(len(first.ops) + len(second.ops), first.costly + second.costly)
        if space is None or not room:
            return False
        slot = _common_slot(first, second, end)
        if slot is None:
            return False
        first.slot, first.space = slot, space
        first.ops = dict(sorted((first.ops | second.ops).items(), key=lambda item: item[1]))
        first.values |= second.values
        first.costly += second.costly
        second.merged_into = first
        producers = _found(second.producers)
        users = _found(second.users)
        for producer in producers:
            if producer is not first:
                self._connect(first, [producer])
        for user in users:
            if user is not first:
                self._connect(user, [first])
        return True

    def put_first(self, node: Node, ops: dict[Operation, int]) -> None:
        """Put operations that read only what smaller slots compute before those of the node."""
        node.ops = {**ops, **node.ops}
        for op in ops:
            node.values.update(op.results)
            self.node_of.update((value, node) for value in op.results)
        for op in ops:
            producers = self.producers_of(op)
            producers.pop(node, None)
            self._connect(node, producers)

    def is_used_outside(self, value: Value, node: Node) -> bool:
        """Whether something else than the node uses the value, perhaps through index changes."""
        pending = [value]
        while pending:
            for user in pending.pop().users:
                if user in node.ops:
                    continue
                moved = user.results[0] if len(user.results) == 1 else None
                if moved is None or moved not in self.moves:
                    return True
                pending.append(moved)
        return False

    def connect(self, nodes: Iterable[Node], producer: Node) -> None:
        """Note that the nodes, whose slots are greater, come after the producer."""
        for node in nodes:
            self._connect(node, [producer])

    def _connect(self, node: Node, producers: Iterable[Node]) -> None:
        for producer in producers:
            node.producers[producer] = None
            producer.users[node] = None

    # Fitting.
    def _space_with(self, op: Operation, node: Node) -> Space | None:
        """The space of the node with ``op`` in it; None if it does not fit."""
        space = node.space
        if space is not None and op.has(Trait.REDUCTION):
            found = reduction_space(op)
            is_alike = found is not None and found.shape == space.shape
            space = common_space(space, found) if found is not None and is_alike else None
        if space is None or not self.fits(op, space, node.values):
            return None
        if space != node.space and not self._all_fit(node.ops, space):
            return None
        return space

    def fits(self, op: Operation, space: Space, inside: set[Value]) -> bool:
        """Whether the operation reads what the loops of the space have at hand.

        Values of the full shape are read where they are computed; reduced ones at the position of
        the loops along the kept axes, by a row only.
        """
        is_reduction = op.has(Trait.REDUCTION)
        shape = tensor_type(op.operands[0] if is_reduction else op.results[0]).shape
        is_full = shape == space.shape
        if not is_full and (space.kind is Kind.MAP or not is_reduced(space, shape)):
            return False
        roots = [(operand, self.root(operand)) for operand in op.operands]
        shared = [(operand, root) for operand, root in roots if root is not None and root in inside]
        if not shared:
            return True
        if not is_reduction and not op.has(Trait.ELEMENTWISE):
            return False
        full = self._positions(space.shape)
        kept = tuple(full[axis] for axis in space.kept)
        place = full if is_full else reduced_index(space, shape, kept)
        for operand, root in shared:
            if _is_reduced_across(root, space):
                return False
            found = self.read(operand, place)
            if found is None:
                continue
            root, index = found
            root_shape = tensor_type(root).shape
            if root_shape == space.shape:
                if not is_full or index != full:
                    return False
            elif (is_full and space.kind is Kind.COLUMN) or index != reduced_index(
                space, root_shape, kept
            ):
                return False
        return True

    def _common_space(self, first: Node, second: Node) -> Space | None:
        """The space of both nodes together; None if there is none."""
        one, other = first.space, second.space
        space = None if one is None or other is None else common_space(one, other)
        if space is None or not self._all_fit({**first.ops, **second.ops}, space):
            return None
        return space

    def _all_fit(self, ops: dict[Operation, int], space: Space) -> bool:
        """Whether operations, given with their positions, can share the loops of the space."""
        inside: set[Value] = set()
        for op, _ in sorted(ops.items(), key=lambda item: item[1]):
            if not self.fits(op, space, inside):
                return False
            inside.update(op.results)
        return True


def space_of(op: Operation) -> Space | None:
    """The space of a group of this one operation; None if it takes no part in fusion."""
    if op.has(Trait.REDUCTION):
        return reduction_space(op)
    if has_pieces(op):
        return None
    if op.has(Trait.ELEMENTWISE) or (op.has(Trait.INDEXING) and not op.has(Trait.ALIAS)):
        return map_space(tensor_type(op.results[0]).shape)
    return None


def _is_reduced_across(value: Value, space: Space) -> bool:
    """Whether the value is known only after all rows of the space."""
    op = value.operation
    return (
        space.kind is Kind.ROW
        and op is not None
        and op.has(Trait.REDUCTION)
        and reduction_space(op) != space
    )


def _has_room(operations: int, costly: int) -> bool:
    return operations <= MAX_OPERATIONS and costly <= MAX_COSTLY


def _found(nodes: Iterable[Node]) -> dict[Node, None]:
    return dict.fromkeys(node.find() for node in nodes)


def _latest_producer(node: Node, but: Node) -> int:
    nodes = (producer.find() for producer in node.producers)
    return max((n.slot for n in nodes if n is not node and n is not but), default=-1)


def _earliest_user(node: Node, but: Node, end: int) -> int:
    """The first slot that uses the node; its own where there are too many users to look at."""
    if len(node.users) > MAX_USERS:
        return node.slot
    nodes = (user.find() for user in node.users)
    return min((n.slot for n in nodes if n is not node and n is not but), default=end)


def _common_slot(first: Node, second: Node, end: int) -> int | None:
    after = max(_latest_producer(first, second), _latest_producer(second, first))
    before = min(_earliest_user(first, second, end), _earliest_user(second, first, end))
    for slot in (max(first.slot, second.slot), min(first.slot, second.slot)):
        if after < slot < before:
            return slot
    middle = (after + before) // 2
    return middle if after < middle < before else None
