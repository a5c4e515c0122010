"""Lets the windows on one padded tensor share the memory of one pad.

A *window* on a tensor is a pad of it, of a slice of it, a slice of such a pad, …: a box of the
endless array that holds the tensor in the middle and one value everywhere around. A stencil, and
the gradient of one, read several windows of one tensor that are shifted against each other. They
become slices of one pad that covers them all, which loops read without a test per element, and
whose producer can store straight into it (``lower_to_loops``).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.types import TensorType
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import definition_of
from nets.passes.forms import TENSOR, is_static
from nets.passes.manager import Options, register_pass
from nets.passes.simplify.patterns import filling, made_by
from nets.passes.simplify.simplify_windows import cut, is_window, same_scalar

GROWTH = 1.5
"""How many times the elements of the largest window the pad that covers all may have."""


LONG_ROW = 4
"""Cache lines from which on a row is worth a margin of whole lines."""

Box = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """The box ``starts`` … ``stops`` of ``value`` around ``root``, in indices of the root."""

    root: Value
    value: Value
    starts: tuple[int, ...]
    stops: tuple[int, ...]

    @property
    def has_margin(self) -> bool:
        sizes = tensor_type(self.root).static_shape
        boxes = zip(self.starts, self.stops, sizes, strict=True)
        return any(start < 0 or stop > size for start, stop, size in boxes)

    def may_grow(self, low: Box, high: Box) -> bool:
        """Whether a pad of this is a window, too: where the root was cut off, no pad follows."""
        sizes = tensor_type(self.root).static_shape
        below = any(start > 0 and width for start, width in zip(self.starts, low, strict=True))
        ends = zip(self.stops, sizes, high, strict=True)
        return not below and not any(stop < size and width for stop, size, width in ends)


Family = list[tuple[Operation, Window]]
"""The windows on one tensor with one value around it, in program order."""


@register_pass("share_windows", requires=(TENSOR,))
def share_windows(function: Function, options: Options) -> Function:
    """Make slices of one pad of the windows on one tensor.

    Requires: the tensor dialect. Windows of sizes that only a call tells stay as they are, and so
    do those that a fusion reads.
    Ensures: the same results, bit for bit. Windows of which one pad would be much larger than
    they are stay as they are.
    """
    for block in function.programs():
        _share_in(block, options.machine.line_bytes)
    return function


def _share_in(block: Block, line_bytes: int) -> None:
    windows: dict[Value, Window] = {}
    families: dict[Value, list[Family]] = {}
    for op in block:
        window = _window_of(op, windows)
        if window is not None:
            windows[op.result] = window
            _family_of(window, families.setdefault(window.root, [])).append((op, window))
    # A root that is a window stands behind its own family here. What its windows become reads it,
    # so they come first: then it is seen that this window is wanted.
    for root, of_root in reversed(families.items()):
        for family in of_root:
            _share(family, root, line_bytes)


def _family_of(window: Window, of_root: list[Family]) -> Family:
    for family in of_root:
        if same_scalar(family[0][1].value, window.value):
            return family
    of_root.append([])
    return of_root[-1]


def _window_of(op: Operation, known: dict[Value, Window]) -> Window | None:
    """The window that a pad, or a slice of a window, is."""
    if len(op.results) != 1 or not is_static(op):
        return None
    if (pad := made_by(op.result, "pad")) is not None:
        return _padded(pad, known)
    inner = known.get(op.operands[0]) if made_by(op.result, "slice") is not None else None
    if inner is None or not is_window(op):
        return None
    starts = _sums(inner.starts, op.attributes["starts"])
    return Window(inner.root, inner.value, starts, _sums(inner.starts, op.attributes["stops"]))


def _padded(pad: Operation, known: dict[Value, Window]) -> Window:
    x, value = pad.operands
    low, high = pad.attributes["low"], pad.attributes["high"]
    inner = known.get(x)
    if inner is None or not same_scalar(inner.value, value):
        inner = _sliced(x, value)
    if not inner.may_grow(low, high):
        inner = _whole(x, value)
    starts = tuple(start - width for start, width in zip(inner.starts, low, strict=True))
    return Window(inner.root, value, starts, _sums(inner.stops, high))


def _sliced(x: Value, value: Value) -> Window:
    """``x`` as a window on what it is a slice of, or on itself."""
    cut_op = made_by(x, "slice")
    if cut_op is None or not is_window(cut_op):
        return _whole(x, value)
    (source,) = cut_op.operands
    return Window(source, value, cut_op.attributes["starts"], cut_op.attributes["stops"])


def _whole(x: Value, value: Value) -> Window:
    """``x`` as a window on itself."""
    sizes = tensor_type(x).static_shape
    return Window(x, value, (0,) * len(sizes), sizes)


def _sums(xs: Iterable[int], ys: Iterable[int]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip(xs, ys, strict=True))


def _aligned(starts: Box, stops: Box, root: TensorType, line_bytes: int) -> tuple[Box, Box]:
    """The box, made longer at both ends so that long rows of the root begin at cache lines."""
    line, length = line_bytes // root.dtype.itemsize, root.static_shape[-1]
    if length < LONG_ROW * line or (starts[-1] == 0 and stops[-1] == length):
        return starts, stops
    first = starts[-1] // line * line
    last = first - (first - stops[-1]) // line * line
    return (*starts[:-1], first), (*stops[:-1], last)


def _size(starts: Box, stops: Box) -> int:
    return math.prod(map(operator.sub, stops, starts))


def _share(family: Family, root: Value, line_bytes: int) -> None:
    """Let the windows on ``root`` be slices of one pad."""
    members = {op for op, _ in family}
    wanted = [(op, box) for op, box in family if not members.issuperset(op.result.users)]
    if sum(box.has_margin for _, box in wanted) < 2 or any(map(_is_in_fusion, members)):
        return
    value = family[0][1].value
    sizes = tensor_type(root).static_shape
    boxes = [(box.starts, box.stops) for _, box in wanted] + [((0,) * len(sizes), sizes)]
    starts = tuple(map(min, zip(*(box[0] for box in boxes), strict=True)))
    stops = tuple(map(max, zip(*(box[1] for box in boxes), strict=True)))
    most = GROWTH * max(tensor_type(op.result).size for op, _ in wanted)
    aligned = _aligned(starts, stops, tensor_type(root), line_bytes)
    fitting = [box for box in (aligned, (starts, stops)) if _size(*box) <= most]
    if not fitting:
        return
    starts, stops = fitting[0]
    source = _source_behind(root, value)
    first, largest = family[0]
    is_there = (largest.starts, largest.stops) == (starts, stops) and _are_slices_of(first, wanted)
    if is_there and source is None:
        return
    assert first.block is not None
    b = GraphEmitter(Builder(first.block, first, first.location))
    high = tuple(map(operator.sub, stops, sizes))
    padded = root if source is None else source
    whole = b.emit("pad", padded, value, low=tuple(-start for start in starts), high=high)
    for op, box in wanted:
        assert op.block is not None
        b = GraphEmitter(Builder(op.block, op, op.location))
        at = tuple(map(operator.sub, box.starts, starts))
        part = cut(b, whole, at, _sums(at, tensor_type(op.result).static_shape))
        op.replace_with([part if source is None else _computed(b, root, part)])


def _is_in_fusion(op: Operation) -> bool:
    """Whether a fusion reads the window, and so has been made for the memory that it is in now."""
    readers = op.result.users
    return any(user.has(Trait.ISOLATED) and not user.has(Trait.CONTROL) for user in readers)


def _are_slices_of(pad: Operation, wanted: Family) -> bool:
    """Whether the windows that are wanted, but the pad itself, are slices of it already."""
    return all(op is pad or op.operands[0] is pad.result for op, _ in wanted)


def _source_behind(root: Value, value: Value) -> Value | None:
    """What the root is a cheap function of, the only operand that is not one number, if others
    read it too and the function leaves ``value`` as it is.

    Then windows on the root are that function of windows on its source, and the source need not be
    stored beside the root.
    """
    op, margin = root.operation, filling(value)
    if op is None or margin is None or not op.has(Trait.ELEMENTWISE):
        return None
    if op.has(Trait.COSTLY | Trait.CHECKED):
        return None
    numbers = [filling(operand) for operand in op.operands]
    sources = [x for x, number in zip(op.operands, numbers, strict=True) if number is None]
    if len(sources) != 1 or sources[0].type != root.type or len(sources[0].users) < 2:
        return None
    given = [np.asarray(margin if number is None else number) for number in numbers]
    (found,) = definition_of(op).evaluate(given, op.attributes)
    return sources[0] if found.tobytes() == np.asarray(margin).tobytes() else None


def _computed(b: GraphEmitter, root: Value, part: Value) -> Value:
    """The function that makes the root of its source, of a part of that."""
    op = root.operation
    assert op is not None
    shape = tensor_type(part).shape
    operands = []
    for x in op.operands:
        number = filling(x)
        operands.append(part if number is None else b.full(shape, number, x.type.dtype))
    return b.builder.create(op.definition, operands, op.attributes).result
