"""Tensor IR to loop IR: a function of buffers, and loops for operations and fusions.

``block_loops`` lowers the operations of a block, ``control_loops`` and ``entry_loops`` those that
have blocks of their own. Here are the arguments of the function, and results that take the place
of some of them.
"""

from __future__ import annotations

from nets.ir.builder import Builder
from nets.ir.core import Function, Operation, Trait, Value
from nets.ir.types import BufferType, TensorType
from nets.ops.loop.failures import FAILURES
from nets.passes.forms import LOOPS, TENSOR
from nets.passes.fusion.inline_unfit_fusions import FITTING
from nets.passes.lowering.block_loops import BlockLowering, buffer_type
from nets.passes.lowering.control_loops import lower_control
from nets.passes.lowering.element_builder import Checks, ElementBuilder
from nets.passes.lowering.entry_loops import lower_entries
from nets.passes.lowering.in_place import behind_buffer_views, may_replace
from nets.passes.lowering.sink_updates import may_last, update_pairs
from nets.passes.lowering.updates import Updates
from nets.passes.manager import Options, register_pass
from nets.passes.spaces.split_reductions import ONE_RUN


@register_pass(
    "lower_to_loops",
    requires=(FITTING, ONE_RUN),
    ensures=(LOOPS,),
    ends=(TENSOR, FITTING, ONE_RUN),
)
def lower_to_loops(function: Function, options: Options) -> Function:
    """The same function in the loop dialect.

    Requires: the tensor dialect; fusions that have common loops, reductions
    over one run of axes.
    Ensures: the arguments are input buffers, then buffers of the outputs that are not ``in_place``
    (see ``updates``); ``inputs`` and ``checks`` are attributes of the function; every
    ``loop.alloc`` is unplaced, and stands in the body of the function or of a loop or branch of its
    control flow. A function of loops is left alone.
    """
    if any(isinstance(argument.type, BufferType) for argument in function.arguments):
        return function
    return _FunctionLowering(function, options).function_of_loops()


def _lower_regions(low: BlockLowering, op: Operation) -> None:
    """Lower an operation with programs of its own."""
    before = low.s.builder.block.last
    (lower_entries if op.has(Trait.BY_ENTRY) else lower_control)(low, op)
    if isinstance(low, _FunctionLowering) and may_last(op):
        low.updates.note_lasting(low._emitted_since(before))


class _FunctionLowering(BlockLowering):
    """Lowers the body of a function, with updates in place where that is right."""

    def __init__(self, function: Function, options: Options) -> None:
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
        s = ElementBuilder(
            *(Builder(self.loops.body), {}, self.checks, options.machine),
            failures=options.failures,
        )
        s.buffers.update(zip(inputs, self.loops.arguments, strict=False))
        fresh = iter(self.loops.arguments[len(inputs) :])
        places = {s.alloc(buffer_type(inputs[i])): self.loops.arguments[i] for i in pairs.values()}
        computed = iter(places)
        self.output_buffers = [
            next(computed if number in pairs else fresh) for number in range(len(function.returned))
        ]
        self.updates = Updates(places)
        super().__init__(s, function.body, _lower_regions)

    def function_of_loops(self) -> Function:
        self.run(list(zip(self.function.returned, self.output_buffers, strict=True)))
        end = self.s.emit("return")
        self.settle()
        self._settle_updates(end)
        self.loops.attributes = {
            **self.function.attributes,
            "inputs": len(self.function.arguments),
            "checks": tuple(self.checks),
        }
        return self.loops

    def _note_stored(self, value: Value, buffer: Value, before: Operation | None) -> None:
        argument = self.updates.places.get(buffer)
        if argument is None:
            return
        self.updates.note(buffer, self._emitted_since(before))
        if buffer_type(value) == argument.type and may_replace(self.s.accesses, argument, value):
            self.updates.certify(buffer)

    def _copy_to_update(self, value: Value, buffer: Value) -> None:
        before = self.loops.body.last
        super()._copy_to_update(value, buffer)
        place = behind_buffer_views(buffer)
        argument = self.updates.places.get(place)
        if argument is not None and behind_buffer_views(self.in_memory(value)) is argument:
            self.updates.note_copy(place, self._emitted_since(before))

    def _emitted_since(self, before: Operation | None) -> list[Operation]:
        """The operations of the body after ``before``, the last one first."""
        emitted = []
        op = self.loops.body.last
        while op is not None and op is not before:
            emitted.append(op)
            op = op.previous
        return emitted

    def _settle_updates(self, end: Operation) -> None:
        """Put updates in place, or copy them before ``end``; neither after a check has failed.

        A failure leaves results that are good, so no update comes before one of them is stored.
        """
        if not self.updates.places:
            return
        may_fail = any(code in FAILURES for code, *_ in self.checks)
        copied, first = self.updates.settle(self.loops, in_place=not may_fail)
        self.s.builder.block, self.s.builder.before = self.loops.body, first or end
        if self.checks:
            self.s.emit("stop")
        self.s.emit("commit")
        self.s.builder.before = end
        for buffer, argument in copied:
            type = buffer.type
            assert isinstance(type, BufferType)
            update = Value(TensorType(type.shape, type.dtype), None, 0)
            self.buffers[update] = buffer
            self.copy(update, argument)

    def _is_free(self, buffer: Value) -> bool:
        return super()._is_free(buffer) and buffer not in self.updates.places
