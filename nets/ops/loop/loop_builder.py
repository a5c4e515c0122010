"""LoopBuilder: emits the loop dialect where a Builder stands. What the rules of ops call ``s``."""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Attribute, Block, Operation, Region, Value
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, DType, ScalarType, index
from nets.ops.definition.registry import lookup


class LoopBuilder:
    """Emits the loop dialect at a Builder's insertion point. What op lowerings call ``s``."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def emit(self, name: str, *operands: Value, **attributes: Attribute) -> Operation:
        return self.builder.create(lookup(f"loop.{name}"), operands, attributes)

    # Scalars (and, after vectorize, lanes).
    def const(self, value: float | Size, dtype: DType) -> Value:
        return self.emit("const", dtype=dtype, value=value).result

    def like(self, x: Value, value: float) -> Value:
        """A constant of the dtype of ``x``."""
        return self.const(value, x.type.dtype)

    def binary(self, name: str, x: Value, y: Value) -> Value:
        return self.emit(name, x, y).result

    def unary(self, name: str, x: Value) -> Value:
        return self.emit(name, x).result

    def add(self, x: Value, y: Value) -> Value:
        return self.binary("add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self.binary("sub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self.binary("mul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        return self.binary("div", x, y)

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        return self.emit("fma", x, y, z).result

    def math(self, function: str, *arguments: Value) -> Value:
        return self.emit("math", *arguments, function=function).result

    def compare(self, predicate: str, x: Value, y: Value) -> Value:
        return self.emit("compare", x, y, predicate=predicate).result

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.emit("select", condition, x, y).result

    def cast(self, x: Value, dtype: DType) -> Value:
        return x if x.type.dtype == dtype else self.emit("cast", x, dtype=dtype).result

    def check(self, ok: Value, code: int) -> None:
        self.emit("check", ok, code=code)

    # Indices.
    def index(self, position: Affine | Dim) -> Value:
        """The index value of an affine expression."""
        if isinstance(position, int | Size):
            return self.const(position, index)
        total: Value | None = None
        for value, coefficient in position.terms:
            term = value if coefficient == 1 else self.mul(value, self.const(coefficient, index))
            total = term if total is None else self.add(total, term)
        if total is None:
            return self.const(position.constant, index)
        return (
            self.add(total, self.const(position.constant, index))
            if position.constant != 0
            else total
        )

    # Memory.
    def alloc(self, type: BufferType) -> Value:
        return self.emit("alloc", type=type, offset=-1).result

    def scratch(self, type: BufferType) -> Value:
        return self.emit("scratch", type=type).result

    def view(self, buffer: Value, type: BufferType, offset: Dim = 0) -> Value:
        if offset == 0 and buffer.type == type:
            return buffer
        return self.emit("view", buffer, type=type, offset=offset).result

    def slice(
        self, buffer: Value, number: Value, type: BufferType, stride: Dim, offset: Dim = 0
    ) -> Value:
        """The part of a buffer that a number picks."""
        return self.emit("slice", buffer, number, type=type, offset=offset, stride=stride).result

    def load(self, buffer: Value, position: Affine) -> Value:
        """The scalar at an element offset."""
        indices = [value for value, _ in position.terms]
        strides = tuple(c for _, c in position.terms)
        return self.emit(
            "load", buffer, *indices, lanes=1, offset=position.constant, strides=strides
        ).result

    def store(self, value: Value, buffer: Value, position: Affine) -> None:
        indices = [v for v, _ in position.terms]
        strides = tuple(c for _, c in position.terms)
        self.emit("store", value, buffer, *indices, offset=position.constant, strides=strides)

    # Loops: ``with s.loop_body(op):`` moves the insertion point into the region.
    def for_(
        self, lo: Dim | Value, hi: Dim | Value, carried: Sequence[Value] = (), step: int = 1
    ) -> Operation:
        """A loop with an empty body; fill it under ``inside`` and end it with ``yield_``."""
        types = [ScalarType(index), *(value.type for value in carried)]
        return self.builder.create(
            lookup("loop.for"),
            (self._bound(lo), self._bound(hi), *carried),
            {"step": step},
            (Region(Block(types)),),
        )

    def parallel(self, lo: Dim | Value, hi: Dim | Value) -> Operation:
        return self.builder.create(
            lookup("loop.parallel"),
            (self._bound(lo), self._bound(hi)),
            {},
            (Region(Block([ScalarType(index)])),),
        )

    def if_(self, condition: Value) -> Operation:
        return self.builder.create(lookup("loop.if"), (condition,), {}, (Region(Block()),))

    def repeat(self) -> Operation:
        return self.builder.create(lookup("loop.repeat"), (), {}, (Region(Block()),))

    def _bound(self, bound: Dim | Value) -> Value:
        return self.const(bound, index) if isinstance(bound, int | Size) else bound

    def inside(self, op: Operation) -> _Inside:
        """A context in which the builder inserts at the end of the region of ``op``."""
        return _Inside(self.builder, op.regions[0].block)

    def within(self, block: Block) -> _Inside:
        """The same for a block that is to become a region."""
        return _Inside(self.builder, block)

    def yield_(self, *values: Value) -> None:
        self.emit("yield", *values)


class _Inside:
    def __init__(self, builder: Builder, block: Block) -> None:
        self._builder = builder
        self._block = block

    def __enter__(self) -> Block:
        self._saved = (self._builder.block, self._builder.before)
        self._builder.block, self._builder.before = self._block, None
        return self._block

    def __exit__(self, *_: object) -> None:
        self._builder.block, self._builder.before = self._saved
