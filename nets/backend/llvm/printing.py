"""loop.print: a call of the hook with the addresses of the values."""

from __future__ import annotations

from typing import Final

import numpy as np

from nets.backend.llvm.code import Code
from nets.backend.llvm.memory import buffer_base
from nets.backend.printing import DTYPE_NUMBERS, HOOK
from nets.ir.core import Operation, Value
from nets.ir.types import BufferType

_VALUE: Final = "{ i32, i32, ptr, ptr }"
"""A ``nets_printed``: dtype, rank, shape, data."""


def emit_print(code: Code, op: Operation) -> None:
    """Fill an array on the stack, one entry per value, and call the hook."""
    module, count = code.module, len(op.operands)
    module.define(HOOK, lambda: f"declare void @{HOOK}(i32, ptr, i32, ptr)")
    text = np.frombuffer(op.attributes["text"].encode() + b"\0", np.uint8)
    kind = f"[{count} x {_VALUE}]"
    values = code.value(f"alloca {kind}, align 8", code.entry) if count else "null"
    for number, buffer in enumerate(op.operands):
        for place, field in enumerate(_fields(code, buffer)):
            slot = code.value(
                f"getelementptr {kind}, ptr {values}, i64 0, i64 {number}, i32 {place}"
            )
            code.line(f"store {field}, ptr {slot}")
    arguments = f"i32 {module.sites[op]}, ptr @{module.global_array(text)}, i32 {count}"
    code.line(f"call void @{HOOK}({arguments}, ptr {values})")


def _fields(code: Code, buffer: Value) -> tuple[str, str, str, str]:
    type = buffer.type
    assert isinstance(type, BufferType)
    return (
        f"i32 {DTYPE_NUMBERS[type.dtype.name]}",
        f"i32 {len(type.shape)}",
        f"ptr {_shape(code, type)}",
        f"ptr {buffer_base(code, buffer)}",
    )


def _shape(code: Code, type: BufferType) -> str:
    """The address of the sizes."""
    if not type.shape:
        return "null"
    if all(isinstance(size, int) for size in type.shape):
        return "@" + code.module.global_array(np.array(type.shape, np.int64))
    sizes = code.value(f"alloca [{len(type.shape)} x i64], align 8", code.entry)
    for number, size in enumerate(type.shape):
        slot = code.value(f"getelementptr i64, ptr {sizes}, i64 {number}")
        code.line(f"store i64 {size if isinstance(size, int) else code.size(size)}, ptr {slot}")
    return sizes
