"""The functions of the state: copies of all its bytes, where the pointers are good."""

from __future__ import annotations

from nets.backend.library.manifest import Library
from nets.backend.library.pointer_checks import pointer_checks
from nets.backend.llvm.constants import LargeData, constant
from nets.ir.types import DTYPES


def state_functions(library: Library, state: bytes, large: LargeData) -> str:
    """init_state, save_state, load_state: copies of all bytes, where the pointers are good."""
    name, size = library.name, library.state_bytes
    initial, definition = constant("state.initial", state, large, align=16)
    copies = {
        "init_state": ("ptr %state", "%state", f"@{initial}"),
        "save_state": ("ptr %state, ptr %bytes", "%bytes", "%state"),
        "load_state": ("ptr %state, ptr %bytes", "%state", "%bytes"),
    }
    parts = [
        definition,
        "declare ptr @memcpy(ptr, ptr, i64)",
        f"define i64 @{name}_state_bytes() nounwind {{ ret i64 {size} }}",
    ]
    for word, (parameters, target, source) in copies.items():
        alignments = {"%state": state_alignment(library)}
        alignments |= {"%bytes": 1} if "%bytes" in parameters else {}
        definition, checks = pointer_checks(f"{name}_{word}", alignments)
        parts += [
            f"""\
{definition}define i32 @{name}_{word}({parameters}) nounwind {{
entry:
{checks}
  %done = call ptr @memcpy(ptr {target}, ptr {source}, i64 {size})
  ret i32 0
}}"""
        ]
    return "\n\n".join(parts)


def state_alignment(library: Library) -> int:
    return max(DTYPES[member.dtype].itemsize for member in library.state)
