"""Tensor IR to loop IR: buffers for tensors, and loops for operations and fusions.

Every operation that is not a view becomes the loops of its group: a fusion is a group, any other
operation a group of its own. What a group computes only for itself never reaches memory; its
results are written straight to the output buffers where they are returned.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.types import BufferType, TensorType
from nets.ops.emitter import tensor_type
from nets.ops.registry import OpDef
from nets.passes.column_loops import lower_columns
from nets.passes.element_builder import Checks, ElementBuilder
from nets.passes.group import Group
from nets.passes.in_place import behind_views, last_readers, may_replace
from nets.passes.inline_fusions import inline_unfit_fusions
from nets.passes.iteration import Kind
from nets.passes.manager import Options, register_pass
from nets.passes.map_loops import lower_map
from nets.passes.piece_loops import (
    has_pieces,
    lower_pieces,
    pieces_stored_in_place,
    start_of_piece,
)
from nets.passes.row_loops import lower_rows
from nets.passes.split_reductions import split_reductions
from nets.passes.transposed_operands import TransposedOperand, is_for_kernels
from nets.passes.updates import Updates, sink_updates, update_pairs


@register_pass("lower_to_loops")
def lower_to_loops(function: Function, options: Options) -> Function:
    """The same function in the loop dialect.

    Requires: the tensor dialect with static shapes.
    Ensures: the arguments are input buffers, then buffers of the outputs that are not ``in_place``
    (see ``updates``); ``inputs`` and ``checks`` are attributes of the function; every
    ``loop.alloc`` stands in the body of the function, unplaced. A function of loops is left alone.
    """
    if any(isinstance(argument.type, BufferType) for argument in function.arguments):
        return function
    inline_unfit_fusions(function)
    return _FunctionLowering(split_reductions(function, options)).run()


def buffer_type(value: Value) -> BufferType:
    """The type of memory that holds a tensor."""
    type = tensor_type(value)
    return BufferType(type.shape, type.dtype)


class _FunctionLowering:
    """Lowers the operations of one function in order."""

    def __init__(self, function: Function) -> None:
        sink_updates(function)
        self.function = function
        pairs = update_pairs(function)
        inputs = function.arguments
        outputs = [x for number, x in enumerate(function.returned) if number not in pairs]
        self.loops = Function(
            function.name,
            [buffer_type(value) for value in (*inputs, *outputs)],
            [*(value.hint for value in inputs), *("out" for _ in outputs)],
        )
        self.checks: Checks = []
        self.buffers: dict[Value, Value] = {}
        self.s = ElementBuilder(Builder(self.loops.body), self.buffers, self.checks)
        self.buffers.update(zip(inputs, self.loops.arguments, strict=False))
        fresh = iter(self.loops.arguments[len(inputs) :])
        places = {
            self.s.alloc(buffer_type(inputs[i])): self.loops.arguments[i] for i in pairs.values()
        }
        computed = iter(places)
        self.output_buffers = [
            next(computed if number in pairs else fresh) for number in range(len(function.returned))
        ]
        self.updates = Updates(places)
        self.destinations: dict[Value, Value] = {}
        self.transposed: list[TransposedOperand] = []
        self.last_readers = last_readers(function)
        self.homes = {value: op for op in function.body for value in pieces_stored_in_place(op)}
        self.wholes: dict[Operation, Value] = {}

    def run(self) -> Function:
        self._choose_destinations()
        for op in self.function.body:
            self.s.builder.location = op.location
            if not op.has(Trait.TERMINATOR):
                self._lower(op)
        self._store_remaining_outputs()
        end = self.s.emit("return")
        for operand in reversed(self.transposed):  # one may read another
            self.s.builder.location = operand.op.location
            operand.settle(self.s, self._fill)
        self._settle_updates(end)
        inputs = len(self.function.arguments)
        self.loops.attributes = {
            **self.function.attributes,
            "inputs": inputs,
            "checks": tuple(self.checks),
        }
        return self.loops

    # Outputs.
    def _choose_destinations(self) -> None:
        """Let the operation behind a result write into the output buffer, where one does."""
        for value, buffer in zip(self.function.returned, self.output_buffers, strict=True):
            root = behind_views(value)
            op = root.operation
            if op is not None and not op.has(Trait.CONSTANT):
                self.destinations.setdefault(root, buffer)

    def _store_remaining_outputs(self) -> None:
        """Copy arguments, constants, and what is returned twice."""
        for value, buffer in zip(self.function.returned, self.output_buffers, strict=True):
            if self.destinations.get(behind_views(value)) is not buffer:
                before = self.loops.body.last
                self._run_group([value.operation] if value.operation else [], [(value, buffer)])
                self._note_update(value, buffer, before)

    def _note_update(self, value: Value, buffer: Value, before: Operation | None) -> None:
        """Note that what was emitted after ``before`` stores ``value`` to the buffer."""
        argument = self.updates.places.get(buffer)
        if argument is None:
            return
        emitted = []
        op = self.loops.body.last
        while op is not None and op is not before:
            emitted.append(op)
            op = op.previous
        self.updates.note(buffer, emitted)
        if buffer_type(value) == argument.type and may_replace(self.s.accesses, argument, value):
            self.updates.certify(buffer)

    def _settle_updates(self, end: Operation) -> None:
        """Put updates in place, or copy them before ``end``; neither after a check has failed."""
        if not self.updates.places:
            return
        copied, first = self.updates.settle(self.loops)
        self.s.builder.block, self.s.builder.before = self.loops.body, first or end
        if self.checks:
            self.s.emit("stop")
        self.s.builder.before = end
        for buffer, argument in copied:
            type = buffer.type
            assert isinstance(type, BufferType)
            update = Value(TensorType(type.shape, type.dtype), None, 0)
            self.buffers[update] = buffer
            self._run_group([], [(update, argument)])

    # Buffers.
    def _in_memory(self, value: Value) -> Value:
        """The buffer of a tensor that was computed, or is an inline constant."""
        if value not in self.buffers:
            op = value.operation
            assert op is not None
            self.buffers[value] = self.s.emit("global", value=op.attributes["value"]).result
        return self.buffers[value]

    def _make_buffer(self, value: Value) -> Value:
        """The buffer the tensor is stored to; that of the whole for a piece of it."""
        whole = self.homes.get(value)
        if whole is not None:
            if whole not in self.wholes:
                self.wholes[whole] = self._make_buffer(whole.result)
            return self.wholes[whole]
        type = buffer_type(value)
        if value in self.destinations:
            return self.s.view(self.destinations[value], type)
        return self.s.alloc(type)

    def _fill(self, op: Operation, buffer: Value) -> None:
        """Loops that put the result of an operation of one result into its buffer."""
        del self.buffers[op.result]
        self._run_group([op], [(op.result, buffer)])

    # Operations.
    def _lower(self, op: Operation) -> None:
        if op.has(Trait.CONSTANT):
            # A 0-d constant is part of the code that uses it.
            if tensor_type(op.result).shape:
                self._in_memory(op.result)
            return
        if op.has(Trait.ALIAS):
            source = self._in_memory(op.operands[0])
            self.buffers[op.result] = self.s.view(source, buffer_type(op.result))
            return
        before = self.loops.body.last
        made = [self.wholes.get(op) or self._make_buffer(value) for value in op.results]
        if is_for_kernels(op) and op.result not in self.destinations:
            source = self._in_memory(op.operands[0])
            self.transposed.append(TransposedOperand(op, made[0], source))
            self.buffers[op.result] = made[0]
            return
        stored: Sequence[Value] = op.results
        if op.has(Trait.KERNEL):
            self._run_kernel(op, made)
        elif has_pieces(op):
            placed = [operand for operand in op.operands if operand in self.homes]
            lower_pieces(self.s, op, made[0], placed)
        else:
            stored = self._run_fusion(op, made) if op.regions else self._run_alone(op, made)
            made = self._reuse_operands(op, stored, made)
        for value, result in zip(stored, op.results, strict=True):
            if result in self.destinations:
                self._note_update(value, self.destinations[result], before)
        self.buffers.update(zip(op.results, made, strict=True))

    def _run_kernel(self, op: Operation, results: Sequence[Value]) -> None:
        assert isinstance(op.definition, OpDef)
        operands = [self._in_memory(value) for value in op.operands]
        op.definition.rules["lower"](self.s, operands, results, **op.attributes)

    def _run_fusion(self, op: Operation, results: Sequence[Value]) -> Sequence[Value]:
        """Emit a fusion; gives the values inside it that the results are."""
        block = op.regions[0].block
        for argument, value in zip(block.arguments, op.operands, strict=True):
            self.buffers[argument] = self._in_memory(value)
        *ops, end = block
        outputs = dict(zip(end.operands, results, strict=True))
        self._note_places(op, end.operands)
        self._run_group(ops, list(outputs.items()))
        for value, buffer in zip(end.operands, results, strict=True):
            if outputs[value] is not buffer:  # yielded more than once
                self._run_group(ops, [(value, buffer)])
        return end.operands

    def _run_alone(self, op: Operation, results: Sequence[Value]) -> Sequence[Value]:
        self._note_places(op, op.results)
        self._run_group([op], list(zip(op.results, results, strict=True)))
        return op.results

    def _note_places(self, op: Operation, stored: Sequence[Value]) -> None:
        """Note where in wholes the results of an operation begin, by the values stored there."""
        for result, value in zip(op.results, stored, strict=True):
            if (whole := self.homes.get(result)) is not None:
                self.s.places[value] = (
                    start_of_piece(whole, result),
                    tensor_type(whole.result).static_shape,
                )

    def _reuse_operands(
        self, op: Operation, stored: Sequence[Value], made: Sequence[Value]
    ) -> list[Value]:
        """The buffers of the results, which may be those of operands that die here.

        ``stored`` are the values that the group has just stored to the buffers ``made``.
        """
        dying = [
            buffer
            for value in dict.fromkeys(op.operands)
            if (buffer := self.buffers.get(value)) is not None
            and self._is_free(buffer)
            and self.last_readers.get(behind_views(value)) is op
        ]
        found = list(made)
        if len(set(stored)) < len(stored):  # then the operands are read a second time
            return found
        for place, (value, buffer) in enumerate(zip(stored, made, strict=True)):
            for old in dying:
                is_free = self._is_free(buffer) and value not in self.s.places
                fits = is_free and old.type == buffer.type
                if fits and may_replace(self.s.accesses, old, value):
                    buffer.replace_uses(old)
                    assert buffer.operation is not None
                    buffer.operation.erase()
                    found[place] = old
                    dying.remove(old)
                    break
        return found

    def _is_free(self, buffer: Value) -> bool:
        """Whether the buffer is one of the arena, to be used as is best."""
        op = buffer.operation
        is_alloc = op is not None and op.name == "loop.alloc"
        return is_alloc and buffer not in self.updates.places

    def _run_group(self, ops: list[Operation], outputs: list[tuple[Value, Value]]) -> None:
        group = Group(ops, outputs)
        match group.space.kind:
            case Kind.MAP:
                lower_map(self.s, outputs, group.work)
            case Kind.ROW:
                lower_rows(self.s, group)
            case Kind.COLUMN:
                lower_columns(self.s, group)
