"""Fusion: operations that can share loops become one ``fusion`` operation.

One walk in program order. An operation joins the group of one of its producers if the loops of
that group have at hand what it reads, and pulls the groups of its other producers in; else it joins
a group that reads the same tensor in loops of the same shape; else it starts a group.

* Elementwise operations make MAP groups; a reduction turns the group it joins into a ROW or COLUMN
  group, which later elementwise operations join too (a softmax becomes one group).
* Mere changes of index (broadcast, transpose, slice, iota) are not in a group: every group that
  reads one has a copy. So is every constant of one number.
* What other operations need of a group is a result of the fusion; nothing else reaches memory.
  What is cheaper to compute again than to store and load stands in the groups that read it.

The shape of a reduction, and so its rounding, does not depend on what it was fused with.
"""

from __future__ import annotations

from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.types import Shape
from nets.ops.definition.emitter import tensor_type
from nets.passes.forms import TENSOR
from nets.passes.fusion.fusion_groups import SPACING, Groups, Node, space_of
from nets.passes.fusion.inline_unfit_fusions import is_fusion
from nets.passes.fusion.outline_fusions import outline_fusions
from nets.passes.fusion.read_pieces import read_pieces
from nets.passes.fusion.recompute import recompute
from nets.passes.manager import Options, register_pass
from nets.passes.spaces.access_maps import is_index_change

MAX_MOVES = 8
"""Index changes in a row that are repeated in every group that reads through them."""


@register_pass("fuse", requires=(TENSOR,))
def fuse(function: Function, options: Options) -> Function:
    """Gather operations that can share loops into fusions.

    Requires: the tensor dialect. A reduction over several runs of axes is left
    out: see ``split_reductions``.
    Ensures: each fusion has common loops; operations may stand in another order. So in every
    region of control flow. A function that has fusions is left alone.
    """
    blocks = function.programs()
    if any(is_fusion(op) for block in blocks for op in block):
        return function
    for block in blocks:
        scan = _Scan()
        for position, op in enumerate(block):
            scan.visit(op, position)
        recompute(scan.groups, scan.nodes, options.machine)
        read_pieces(scan.groups, scan.nodes)
        outline_fusions(block, scan.groups, scan.nodes)
    return function


class _Scan:
    """The walk over the operations that forms the groups."""

    def __init__(self) -> None:
        self.moves: dict[Value, Operation] = {}
        self.groups = Groups(self.moves)
        self.nodes: list[Node] = []
        self._depths: dict[Value, int] = {}
        self._readers: dict[tuple[Value, Shape], Node] = {}
        self._last_effect: Node | None = None

    def visit(self, op: Operation, position: int) -> None:
        if self._is_move(op):
            self.moves[op.result] = op
        elif not self._visit_fusible(op, position):
            self.nodes.append(self.groups.add(op, position, space_of(op)))
            if op.has_effects:
                self._keep_order(self.nodes[-1])
        if not op.has(Trait.CONSTANT):
            self._note_reads(op)

    def _keep_order(self, node: Node) -> None:
        """Let an operation with effects come after the one before."""
        if self._last_effect is not None:
            self.groups.connect([node], self._last_effect)
        self._last_effect = node

    def _is_move(self, op: Operation) -> bool:
        if op.has(Trait.CONSTANT):
            return tensor_type(op.result).shape == ()
        if not is_index_change(op):
            return False
        depth = 1 + max((self._depths.get(operand, 0) for operand in op.operands), default=0)
        self._depths[op.result] = depth
        return depth <= MAX_MOVES

    def _visit_fusible(self, op: Operation, position: int) -> bool:
        """Put the operation into a group there is; False if it fits none."""
        if space_of(op) is None:
            return False
        end = (position + 1) * SPACING
        producers = sorted(self.groups.producers_of(op), key=lambda node: -node.slot)
        home = next((node for node in producers if self.groups.join(op, position, node)), None)
        if home is None:
            home = self._join_sibling(op, position)
        if home is None:
            return False
        for node in producers:
            if node.find() is not home.find():
                self.groups.merge(home.find(), node.find(), end)
        return True

    def _join_sibling(self, op: Operation, position: int) -> Node | None:
        """Join a group whose loops read one of the operands anyway."""
        for operand in op.operands:
            node = self._readers.get((operand, tensor_type(operand).shape))
            if node is not None and self.groups.join(op, position, node.find()):
                return node.find()
        return None

    def _note_reads(self, op: Operation) -> None:
        node = self.groups.node(op.results[0]) if op.results else None
        if node is not None and node.space is not None:
            for operand in op.operands:
                shape = tensor_type(operand).shape
                if shape == node.space.shape:
                    self._readers[operand, shape] = node
