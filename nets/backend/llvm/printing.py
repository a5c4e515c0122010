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
    shape = "null"
    if type.static_shape:
        shape = "@" + code.module.global_array(np.array(type.static_shape, np.int64))
    return (
        f"i32 {DTYPE_NUMBERS[type.dtype.name]}",
        f"i32 {len(type.static_shape)}",
        f"ptr {shape}",
        f"ptr {buffer_base(code, buffer)}",
    )
