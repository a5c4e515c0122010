"""Memory: where buffers are, addresses of elements, and loads and stores of every form.

A bool is a byte in memory, 0 or 1; any other byte reads as true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from nets.backend.llvm.code import Code
from nets.backend.llvm.outlined import start_of, view_root
from nets.backend.llvm.spelling import (
    constant,
    lanes_of,
    register,
    shuffle,
    stored,
    widened,
)
from nets.ir.core import Operation, Value
from nets.ir.estimates import bytes_about
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, DType, ScalarType, Type, VectorType
from nets.machine.machine import Machine


def buffer_base(code: Code, buffer: Value) -> str:
    """The address of a buffer's first element, found once per function, or per slice."""
    if buffer in code.names:
        return code.names[buffer]
    root, offset = view_root(buffer)
    base = code.names.get(root) or _root_base(code, root)
    depth = code.depth_of(root)
    if depth:
        text = f"getelementptr i8, ptr {base}, i64 {code.size(offset)}"
        return code.once(depth, text, text) if offset != 0 else base
    if offset != 0:
        base = code.value(f"getelementptr i8, ptr {base}, i64 {code.size(offset)}", code.entry)
    code.bind(buffer, base, 0)
    return base


def _root_base(code: Code, root: Value) -> str:
    op = root.operation
    if op is None:
        slot = code.value(f"getelementptr ptr, ptr %buffers, i64 {root.index}", code.entry)
        base = code.value(f"load ptr, ptr {slot}", code.entry)
    elif op.name == "loop.global":
        base = "@" + code.module.global_array(op.attributes["value"])
    else:
        place = code.size(op.attributes["offset"])
        base = code.value(f"getelementptr i8, ptr %workspace, i64 {place}", code.entry)
    code.bind(root, base, 0)
    return base


def address(
    code: Code, buffer: Value, indices: Sequence[Value], strides: Sequence[Dim], offset: Dim
) -> str:
    """The address of element ``offset + Σ stride · index``, for scalar indices.

    The terms are added from the outermost loop inwards and the constant last: what an outer loop
    fixes is computed there once, and accesses that differ by a constant share the rest.
    """
    assert isinstance(buffer.type, BufferType)
    spelt = stored(buffer.type.dtype)
    place = buffer_base(code, buffer)
    made = code.depth_of(view_root(buffer)[0])
    terms: dict[int, list[tuple[str, Dim]]] = {}
    for position, stride in zip(indices, strides, strict=True):
        name = code.name(position)
        if name.startswith("%"):
            depth = max(made, code.depth_of(position))
            terms.setdefault(depth, []).append((name, stride))
        else:
            offset = offset + stride * int(name)
    if isinstance(offset, Size):
        terms.setdefault(made, []).append((code.size(offset), 1))
        offset = 0
    for depth in sorted(terms):
        total = _weighted_sum(code, depth, terms[depth])
        text = f"getelementptr {spelt}, ptr {place}, i64 {total}"
        place = code.once(depth, text, text)
    if offset:
        return code.value(f"getelementptr {spelt}, ptr {place}, i64 {offset}")
    return place


def _weighted_sum(code: Code, depth: int, terms: list[tuple[str, Dim]]) -> str:
    total = ""
    for name, stride in terms:
        part = name
        if stride != 1:
            text = f"mul i64 {name}, {code.size(stride)}"
            part = code.once(depth, text, text)
        if total:
            text = f"add i64 {total}, {part}"
            part = code.once(depth, text, text)
        total = part
    return total


# --------------------------------------------------------------------- values and memory


def from_memory(code: Code, dtype: DType, lanes: int, x: str) -> str:
    """The register form of loaded elements."""
    if not dtype.is_bool:
        return x
    return code.value(f"icmp ne {widened('i8', lanes)} {x}, {_zero(dtype, lanes)}")


def to_memory(code: Code, dtype: DType, lanes: int, x: str) -> str:
    """The memory form of elements to be stored."""
    if not dtype.is_bool:
        return x
    return code.value(f"zext {widened('i1', lanes)} {x} to {widened('i8', lanes)}")


def _zero(dtype: DType, lanes: int) -> str:
    if lanes > 1:
        return "zeroinitializer"
    return "0.0" if dtype.is_float else "0"


def load_text(machine: Machine, dtype: DType, lanes: int, place: str) -> str:
    align = machine.alignment(dtype)
    return f"load {widened(stored(dtype), lanes)}, ptr {place}, align {align}"


def store_text(machine: Machine, dtype: DType, lanes: int, x: str, place: str) -> str:
    align = machine.alignment(dtype)
    return f"store {widened(stored(dtype), lanes)} {x}, ptr {place}, align {align}"


def load(code: Code, op: Operation) -> None:
    """loop.load: a scalar, consecutive lanes, or a lane at a time."""
    buffer, *indices = op.operands
    dtype, lanes = op.result.type.dtype, lanes_of(op.result.type)
    if any(isinstance(i.type, VectorType) for i in indices):
        found = _load_lanes(code, op, buffer, indices)
    else:
        place = address(code, buffer, indices, op.attributes["strides"], op.attributes["offset"])
        found = code.value(load_text(code.module.machine, dtype, lanes, place))
    code.bind(op.result, from_memory(code, dtype, lanes, found))


def store(code: Code, op: Operation) -> None:
    """loop.store: a scalar, consecutive lanes, or a lane at a time in the order of the lanes."""
    value, buffer, *indices = op.operands
    machine = code.module.machine
    dtype, lanes = value.type.dtype, lanes_of(value.type)
    x = to_memory(code, dtype, lanes, code.name(value))
    strides, offset = op.attributes["strides"], op.attributes["offset"]
    if not any(isinstance(i.type, VectorType) for i in indices):
        place = address(code, buffer, indices, strides, offset)
        if lanes * dtype.itemsize == machine.vector_bytes and _passes_caches(buffer, machine):
            _stream(code, store_text(machine, dtype, lanes, x, place), place)
        else:
            code.line(store_text(machine, dtype, lanes, x, place))
        return
    spelt = widened(stored(dtype), lanes)
    for lane, place in enumerate(_lane_addresses(code, buffer, indices, strides, offset, lanes)):
        one = code.value(f"extractelement {spelt} {x}, i64 {lane}")
        code.line(store_text(machine, dtype, 1, one, place))


def slice_address(code: Code, op: Operation) -> None:
    """loop.slice: the address of its first element, at the place of the operation."""
    buffer, number = op.operands
    stride, offset = op.attributes["stride"], op.attributes["offset"]
    code.bind(op.result, address(code, buffer, [number], [stride], offset))


def _passes_caches(buffer: Value, machine: Machine) -> bool:
    """Whether what is stored here leaves the caches before anybody reads it.

    That is a large result which the function only writes.
    """
    root, _ = view_root(buffer)
    assert isinstance(root.type, BufferType)
    is_large = bytes_about(root.type) >= 2 * machine.last_cache_bytes
    return machine.passes_caches and is_large and root.operation is None and _is_only_stored(root)


def _is_only_stored(buffer: Value) -> bool:
    pending = [buffer]
    while pending:
        for op in pending.pop().users:
            if op.name == "loop.view":
                pending.append(op.result)
            elif op.name not in ("loop.store", "loop.masked_store"):
                return False
    return True


def _stream(code: Code, text: str, place: str) -> None:
    """A store past the caches, which need not read the line first; if the address allows it.

    The processor does so for whole aligned registers only.
    """
    number, width = code.fresh(), code.module.machine.vector_bytes
    start = code.value(f"ptrtoint ptr {place} to i64")
    rest = code.value(f"and i64 {start}, {width - 1}")
    aligned = code.value(f"icmp eq i64 {rest}, 0")
    code.line(f"br i1 {aligned}, label %streamed{number}, label %stored{number}")
    code.start(f"streamed{number}")
    unaligned, _, _ = text.rpartition(" ")
    code.line(f"{unaligned} {width}, !nontemporal !{{i32 1}}")
    code.line(f"br label %written{number}")
    code.start(f"stored{number}")
    code.line(text)
    code.line(f"br label %written{number}")
    code.start(f"written{number}")
    code.streams = True


def masked_load(code: Code, op: Operation) -> None:
    """loop.masked_load: lanes outside the mask are not touched."""
    mask, buffer, *indices = op.operands
    dtype, lanes = op.result.type.dtype, lanes_of(op.result.type)
    place = address(code, buffer, indices, op.attributes["strides"], op.attributes["offset"])
    spelt = widened(stored(dtype), lanes)
    align = code.module.machine.alignment(dtype)
    arguments = f"ptr align {align} {place}, {code.typed(mask)}, {spelt} zeroinitializer"
    found = code.call(spelt, f"llvm.masked.load.{_suffix(dtype, lanes)}.p0", arguments)
    code.bind(op.result, from_memory(code, dtype, lanes, found))


def masked_store(code: Code, op: Operation) -> None:
    """loop.masked_store: lanes outside the mask are not touched."""
    mask, value, buffer, *indices = op.operands
    dtype, lanes = value.type.dtype, lanes_of(value.type)
    x = to_memory(code, dtype, lanes, code.name(value))
    place = address(code, buffer, indices, op.attributes["strides"], op.attributes["offset"])
    spelt = widened(stored(dtype), lanes)
    align = code.module.machine.alignment(dtype)
    arguments = f"{spelt} {x}, ptr align {align} {place}, {code.typed(mask)}"
    code.line(f"call void @llvm.masked.store.{_suffix(dtype, lanes)}.p0({arguments})")


def _suffix(dtype: DType, lanes: int) -> str:
    bits = 8 * dtype.itemsize
    return f"v{lanes}{'f' if dtype.is_float else 'i'}{bits}"


# --------------------------------------------------------------------------- index vectors


def _load_lanes(code: Code, op: Operation, buffer: Value, indices: Sequence[Value]) -> str:
    dtype, lanes = op.result.type.dtype, lanes_of(op.result.type)
    strides, offset = op.attributes["strides"], op.attributes["offset"]
    found = _reversed_load(code, op, buffer, indices)
    if found is not None:
        return found
    spelt = widened(stored(dtype), lanes)
    total = "poison"
    for lane, place in enumerate(_lane_addresses(code, buffer, indices, strides, offset, lanes)):
        one = code.value(load_text(code.module.machine, dtype, 1, place))
        total = code.value(f"insertelement {spelt} {total}, {stored(dtype)} {one}, i64 {lane}")
    return total


def _reversed_load(
    code: Code, op: Operation, buffer: Value, indices: Sequence[Value]
) -> str | None:
    """Lanes that go down one element at a time: one vector load, then turned around."""
    dtype, lanes = op.result.type.dtype, lanes_of(op.result.type)
    regular = _regular(indices, op.attributes["strides"])
    if regular is None or regular[1] != -1:
        return None
    (starts, strides), _ = regular
    place = address(code, buffer, starts, strides, op.attributes["offset"] - (lanes - 1))
    spelt = widened(stored(dtype), lanes)
    up = code.value(load_text(code.module.machine, dtype, lanes, place))
    mask = shuffle(range(lanes - 1, -1, -1))
    return code.value(f"shufflevector {spelt} {up}, {spelt} poison, {mask}")


def _regular(
    indices: Sequence[Value], strides: Sequence[Dim]
) -> tuple[tuple[list[Value], list[Dim]], Dim] | None:
    """Scalar indices of lane 0, and the elements from lane to lane; None if that varies."""
    starts: list[Value] = []
    step: Dim = 0
    for position, stride in zip(indices, strides, strict=True):
        if isinstance(position.type, ScalarType):
            starts.append(position)
            continue
        start = start_of(position)
        if start is None:
            return None
        starts.append(start)
        step = step + stride
    return (starts, list(strides)), step


def _lane_addresses(
    code: Code,
    buffer: Value,
    indices: Sequence[Value],
    strides: Sequence[Dim],
    offset: Dim,
    lanes: int,
) -> list[str]:
    """The address of each lane's element."""
    spelt = stored(buffer.type.dtype)
    regular = _regular(indices, strides)
    if regular is not None:
        (starts, steps), step = regular
        return [address(code, buffer, starts, steps, offset + lane * step) for lane in range(lanes)]
    scalars = [(i, s) for i, s in zip(indices, strides, strict=True) if lanes_of(i.type) == 1]
    place = address(code, buffer, [i for i, _ in scalars], [s for _, s in scalars], offset)
    total = _vector_sum(
        code, [(i, s) for i, s in zip(indices, strides, strict=True) if lanes_of(i.type) > 1]
    )
    found = []
    for lane in range(lanes):
        one = code.value(f"extractelement <{lanes} x i64> {total}, i64 {lane}")
        found.append(code.value(f"getelementptr {spelt}, ptr {place}, i64 {one}"))
    return found


def _vector_sum(code: Code, terms: Sequence[tuple[Value, Dim]]) -> str:
    total = ""
    for position, stride in terms:
        spelt = register(position.type)
        part = code.name(position)
        if stride != 1:
            part = code.value(f"mul {spelt} {part}, {_in_each_lane(code, position.type, stride)}")
        total = code.value(f"add {spelt} {total}, {part}") if total else part
    return total


def _in_each_lane(code: Code, type: Type, stride: Dim) -> str:
    if isinstance(stride, int):
        return constant(type, stride)
    spelt, one = register(type), code.size(stride)
    first = code.value(f"insertelement {spelt} poison, i64 {one}, i64 0", code.entry)
    mask = shuffle([0] * lanes_of(type))
    return code.value(f"shufflevector {spelt} {first}, {spelt} poison, {mask}", code.entry)


MEMORY: Final[dict[str, Callable[[Code, Operation], None]]] = {
    "loop.load": load,
    "loop.store": store,
    "loop.slice": slice_address,
    "loop.masked_load": masked_load,
    "loop.masked_store": masked_store,
}
