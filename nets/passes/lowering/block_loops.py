"""Loops for the operations of one block, be it a function's body or a region of control flow.

Every operation that is not a view becomes the loops of its group: a fusion is a group, any other
operation a group of its own. What a group computes only for itself never reaches memory; results
are written straight to the buffers where they are wanted in the end.

In a region numbers (0-d tensors) stay scalars: they get a buffer only where something reads them
from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nets.errors import OpenSizeError
from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, bool_
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of
from nets.passes.fusion.inline_unfit_fusions import is_fusion
from nets.passes.lowering.column_loops import lower_columns
from nets.passes.lowering.element_builder import Accesses, ElementBuilder
from nets.passes.lowering.homes import block_homes_in, homes_in
from nets.passes.lowering.in_place import (
    behind_buffer_views,
    behind_views,
    in_one_place,
    last_readers,
    may_replace,
    outdated_by,
    updated_operand,
)
from nets.passes.lowering.map_loops import lower_map
from nets.passes.lowering.open_groups import columns_that_may_be_one, reads_of_nothing
from nets.passes.lowering.piece_loops import lower_pieces
from nets.passes.lowering.row_loops import lower_rows
from nets.passes.lowering.transposed_operands import TransposedOperand
from nets.passes.simplify.patterns import repeated_number
from nets.passes.spaces.group import Group
from nets.passes.spaces.iteration import Kind
from nets.passes.spaces.kernel_operands import is_for_kernels
from nets.passes.spaces.pieces import has_pieces

Output = tuple[Value, Value]
"""A tensor and the buffer that is to hold it."""

Overwritten = Mapping[Value, Value]
"""A tensor → the buffer of an argument of the block that nobody reads after the operation that
makes the tensor, which may come in its place."""


def buffer_type(value: Value) -> BufferType:
    """The type of memory that holds a tensor."""
    type = tensor_type(value)
    return BufferType(type.shape, type.dtype)


class BlockLowering:
    """Lowers the operations of one block in order, where ``s`` stands.

    ``control`` lowers what has programs of its own; it is given this lowering and the operation.
    """

    def __init__(
        self,
        s: ElementBuilder,
        block: Block,
        control: Callable[[BlockLowering, Operation], None],
        over: Overwritten | None = None,
    ) -> None:
        self.s = s
        self.block = block
        self.control = control
        self.buffers = s.buffers
        self.destinations: dict[Value, Value] = {}
        self.transposed: list[TransposedOperand] = []
        self.last_readers = last_readers(block)
        self.over: Overwritten = over or {}
        self.keeps_scalars = isinstance(block.owner and block.owner.owner, Operation)
        self.homes = {x: home for x, home in homes_in(block).items() if not self._is_scalar(x)}
        self.wholes: dict[Operation, Value] = {}
        self.block_homes = block_homes_in(block)
        self.placed: set[Value] = set()

    def run(self, outputs: Sequence[Output], later: Sequence[Output] = ()) -> None:
        """Lower the block, and put values into the buffers where they are wanted.

        Nothing is written to the buffers of ``later`` before the end.
        """
        self._choose_destinations(outputs)
        for op in self.block:
            self.s.builder.location = op.location
            if not op.has(Trait.TERMINATOR):
                self._lower(op)
        for value, buffer in (*outputs, *later):
            root = behind_views(value)
            if buffer not in (self.destinations.get(root), self.buffers.get(root)):
                before = self.s.builder.block.last
                self.copy(value, buffer)
                self._note_stored(value, buffer, before)

    def settle(self) -> None:
        """Let kernels read through transposes; call it when the code is complete."""
        builder = self.s.builder
        saved = builder.block, builder.before, builder.location
        for operand in reversed(self.transposed):  # one may read another
            builder.location = operand.op.location
            operand.settle(self.s, self._fill)
        builder.block, builder.before, builder.location = saved

    def copy(self, value: Value, buffer: Value) -> None:
        """Put a value that was computed, an argument, or a constant into a buffer."""
        if self.s.scalar(value) is None:
            self.in_memory(value)
        self._run_group([], [(value, buffer)])

    # Buffers.
    def _choose_destinations(self, outputs: Sequence[Output]) -> None:
        """Let the operations behind a result write where it is wanted, where they do."""
        for value, buffer in outputs:
            for root in in_one_place(behind_views(value), self.last_readers):
                op = root.operation
                if op is not None and not op.has(Trait.CONSTANT) and not self._is_scalar(root):
                    self.destinations.setdefault(root, buffer)

    def in_memory(self, value: Value) -> Value:
        """The buffer of a tensor that was computed, or is an inline constant."""
        if value not in self.buffers:
            op = value.operation
            assert op is not None
            if "value" in op.attributes:
                self.buffers[value] = self.s.emit("global", value=op.attributes["value"]).result
            else:  # a number that the call tells
                buffer = self.s.alloc(buffer_type(value))
                self._run_group([op], [(value, buffer)])
                self.buffers[value] = buffer
        return self.buffers[value]

    def _is_scalar(self, value: Value) -> bool:
        """Whether the tensor is a number that stays a scalar here."""
        return self.keeps_scalars and tensor_type(value).shape == ()

    def make_buffer(self, value: Value) -> Value:
        """The buffer the tensor is stored to; that of the whole for a piece of it."""
        if value in self.homes:
            return self._whole(self.homes[value].whole)
        type = buffer_type(value)
        if value in self.destinations:
            return self.s.view(self.destinations[value], type)
        if value in self.block_homes and not self._is_scalar(value):
            whole, offset = self.block_homes[value]
            self.placed.add(value)
            return self.s.view(self._whole(whole), type, offset)
        return self.s.alloc(type)

    def _whole(self, op: Operation) -> Value:
        """The buffer of a result that is put together from others, some of which come first."""
        if op not in self.wholes:
            self.wholes[op] = self.make_buffer(op.result)
        return self.wholes[op]

    def bind(self, argument: Value, value: Value) -> None:
        """Let an argument of a region stand for the value."""
        scalar = self.s.scalar(value)
        if scalar is not None:
            self.s.define(argument, (), scalar)
        else:
            self.buffers[argument] = self.in_memory(value)

    def _fill(self, op: Operation, buffer: Value) -> None:
        """Loops that put the result of an operation of one result into its buffer."""
        del self.buffers[op.result]
        self._run_group([op], [(op.result, buffer)])

    # Operations.
    def _lower(self, op: Operation) -> None:
        before = self.s.builder.block.last
        try:
            stored = self._lower_to_buffers(op)
        except OpenSizeError as error:
            error.location = error.location or op.location
            raise
        for value, result in zip(stored, op.results, strict=True):
            if result in self.destinations:
                self._note_stored(value, self.destinations[result], before)

    def _note_stored(self, value: Value, buffer: Value, before: Operation | None) -> None:
        """A hook: the operations emitted after ``before`` store ``value`` in ``buffer``, which is
        where the program wants it."""

    def _lower_to_buffers(self, op: Operation) -> Sequence[Value]:
        """Emit the operation. Gives, for each result, the value that is stored for it: the result
        itself, or of a fusion the value inside it that becomes the result."""
        if op.has(Trait.CONTROL | Trait.BY_ENTRY):
            self.control(self, op)
            return op.results
        if op.has(Trait.CONSTANT):
            # A 0-d constant is part of the code that uses it.
            if tensor_type(op.result).shape:
                self.in_memory(op.result)
            return op.results
        if _is_for_pieces(op):
            return op.results  # part of the loops that fill the pieces
        if op.has(Trait.ALIAS):
            if op.operands[0] in self.homes:
                return op.results
            source = self.in_memory(op.operands[0])
            self.buffers[op.result] = self.s.view(source, buffer_type(op.result))
            return op.results
        if self.keeps_scalars and self._lower_scalars(op):
            return op.results
        made = [
            self.wholes.get(op) or self.outdated(value) or self.make_buffer(value)
            for value in op.results
        ]
        if is_for_kernels(op) and op.result not in self.destinations:
            source = self.in_memory(op.operands[0])
            self.transposed.append(TransposedOperand(op, made[0], source))
            self.buffers[op.result] = made[0]
            return op.results
        stored: Sequence[Value] = op.results
        if op.has(Trait.KERNEL):
            self._run_kernel(op, made)
        elif has_pieces(op):
            lower_pieces(self.s, op, made[0], self._placed_for(op))
        else:
            stored = self._run_fusion(op, made) if op.regions else self._run_alone(op, made)
            made = self._reuse_operands(op, stored, made)
        self.buffers.update(zip(op.results, made, strict=True))
        return stored

    def _placed_for(self, op: Operation) -> list[Value]:
        """The operands that stand in the result already."""
        return [x for x in op.operands if self._stands_in(op, behind_views(x))]

    def _stands_in(self, whole: Operation, root: Value) -> bool:
        if root in self.homes:
            return self.homes[root].whole is whole
        return root in self.placed and self.block_homes[root].whole is whole

    def _run_kernel(self, op: Operation, results: Sequence[Value]) -> None:
        operands = [self.in_memory(value) for value in op.operands]
        updated = updated_operand(op)
        if updated is not None:
            old, new = self.in_memory(updated), results[0]
            if behind_buffer_views(old) is not behind_buffer_views(new):
                self._copy_to_update(updated, new)
        definition_of(op).lower_kernel(self.s, operands, results, **op.attributes)

    def _copy_to_update(self, value: Value, buffer: Value) -> None:
        """Put the elements of an operand where a kernel changes some of them."""
        self.copy(value, buffer)

    def outdated(self, result: Value) -> Value | None:
        """The buffer of an operand that the result may take, for nobody needs it later."""
        old = outdated_by(result, self.last_readers)
        if old is None or result in self.destinations:
            return None
        buffer = self.buffers.get(old)
        if buffer is None:
            return None
        is_own = old.operation is not None and self._is_free(buffer)
        if not is_own and buffer is not self.over.get(result):
            return None
        return self.s.view(buffer, buffer_type(result))

    def _run_fusion(self, op: Operation, results: Sequence[Value]) -> Sequence[Value]:
        """Emit a fusion. Gives the values inside it that become its results."""
        ops, yielded = self._enter_fusion(op)
        outputs = dict(zip(yielded, results, strict=True))
        self._note_places(op, yielded)
        self._run_group(ops, list(outputs.items()))
        for value, buffer in zip(yielded, results, strict=True):
            if outputs[value] is not buffer:  # yielded more than once
                self._run_group(ops, [(value, buffer)])
        return yielded

    def _enter_fusion(self, op: Operation) -> tuple[list[Operation], Sequence[Value]]:
        """The operations of a fusion, whose arguments are bound, and what they give."""
        block = op.regions[0].block
        for argument, value in zip(block.arguments, op.operands, strict=True):
            self.bind(argument, value)
        *ops, end = block
        return ops, end.operands

    def _run_alone(self, op: Operation, results: Sequence[Value]) -> Sequence[Value]:
        self._note_places(op, op.results)
        self._run_group([op], list(zip(op.results, results, strict=True)))
        return op.results

    def _note_places(self, op: Operation, stored: Sequence[Value]) -> None:
        """Note where in wholes the results of an operation begin, by the values stored there."""
        for result, value in zip(op.results, stored, strict=True):
            if result in self.homes:
                self.s.places[value] = self.homes[result].place

    def _run_group(self, ops: list[Operation], outputs: list[Output]) -> None:
        group = Group(ops, outputs)
        reads = list(reads_of_nothing(group))
        if reads:
            self._run_where_there(reads, group)
        else:
            self._run(group)

    def _run(self, group: Group) -> None:
        """Emit the loops of a group."""
        outputs = group.outputs
        match group.space.kind:
            case Kind.MAP:
                lower_map(self.s, outputs, group.work(self.s.machine))
            case Kind.ROW:
                lower_rows(self.s, group)
            case Kind.COLUMN if (columns := columns_that_may_be_one(group)) is not None:
                self._run_rows_or_columns(group, columns)
            case Kind.COLUMN:
                lower_columns(self.s, group)

    # Sizes that only a call tells.
    def _run_rows_or_columns(self, group: Group, columns: Size) -> None:
        """A COLUMN group, and the ROW group it is where there is one column, with other bits."""
        s = self.s
        is_one = s.compare("eq", s.index(columns), s.index(1))
        with s.body(s.if_(is_one).regions[0].block):
            lower_rows(s, Group(group.ops, group.outputs, as_rows=True))
            s.yield_()
        with s.body(s.if_(s.unary("not", is_one)).regions[0].block):
            lower_columns(s, group)
            s.yield_()
        s.accesses = Accesses()  # of one of both; nothing may be stored in place by them

    def _run_where_there(self, reads: Sequence[tuple[Size, Dim]], group: Group) -> None:
        """Emit loops that run where there is something to read; else the call fails."""
        s, zero = self.s, self.s.index(0)
        is_there = s.const(1, bool_)
        for there, read in reads:
            is_some = s.compare("ne", s.index(there), zero)
            is_asked = s.compare("eq", s.index(read), zero)
            is_there = s.binary("and", is_there, s.binary("or", is_some, is_asked))
        s.fail_unless(is_there, "an index is out of bounds for an axis of size 0")
        with s.body(s.if_(is_there).regions[0].block):
            self._run(group)
            s.yield_()
        s.accesses = Accesses()

    # Numbers that stay scalars.
    def _lower_scalars(self, op: Operation) -> bool:
        """Compute a group of numbers without storing them; False for any other operation."""
        if op.has(Trait.KERNEL) or has_pieces(op):
            return False
        if any(tensor_type(result).shape for result in op.results):
            return False
        ops, values = self._enter_fusion(op) if is_fusion(op) else ([op], op.results)
        if any(inner.has(Trait.REDUCTION) for inner in ops):
            return False
        with self.s.group():
            scalars = [self.s.read(value, ()) for value in values]
        for result, scalar in zip(op.results, scalars, strict=True):
            self.define_scalar(result, scalar)
        return True

    def define_scalar(self, value: Value, scalar: Value) -> None:
        """Let a number be that scalar, and in memory as well where something needs that."""
        if any(_needs_memory(user) for user in value.users):
            buffer = self.s.alloc(buffer_type(value))
            self.s.store_element(scalar, value, buffer, ())
            self.buffers[value] = buffer
        self.s.define(value, (), scalar)

    # In place.
    def _reuse_operands(
        self, op: Operation, stored: Sequence[Value], made: Sequence[Value]
    ) -> list[Value]:
        """The buffers of the results, which may be those of operands that die here.

        ``stored`` are the values that the group has just stored to the buffers ``made``.
        """
        found = list(made)
        if len(set(stored)) < len(stored):  # then the operands are read a second time
            return found
        dying = self._dying(op)
        for place, (value, buffer) in enumerate(zip(stored, made, strict=True)):
            result = op.results[place]
            is_elsewhere = result in self.destinations or result in self.placed
            if is_elsewhere or value in self.s.places or not self._is_free(buffer):
                continue
            home = self.over.get(result)
            for old in dying if home is None else [home]:
                if old.type == buffer.type and may_replace(self.s.accesses, old, value):
                    buffer.replace_uses(old)
                    assert buffer.operation is not None
                    buffer.operation.erase()
                    found[place] = old
                    if home is None:
                        dying.remove(old)
                    break
        return found

    def _dying(self, op: Operation) -> list[Value]:
        """Buffers of tensors made in this block that nobody reads after the operation."""
        return [
            buffer
            for value in dict.fromkeys(op.operands)
            if (buffer := self.buffers.get(value)) is not None
            and self._is_free(buffer)
            and behind_views(value).operation is not None
            and self.last_readers.get(behind_views(value)) is op
        ]

    def _is_free(self, buffer: Value) -> bool:
        """Whether the buffer is one of the arena, to be used as is best."""
        op = buffer.operation
        return op is not None and op.name == "loop.alloc"


def _is_for_pieces(op: Operation) -> bool:
    """Whether the result is one number everywhere, and only put together with others."""
    if len(op.results) != 1 or repeated_number(op.result) is None:
        return False
    return all(map(has_pieces, op.result.users))


def _needs_memory(user: Operation) -> bool:
    """Whether the operation reads a number from memory, and not as a scalar."""
    return user.has(Trait.KERNEL | Trait.ALIAS)
