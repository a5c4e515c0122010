"""The functions of the state: copies of all its bytes, where the pointers are good."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from nets.backend.library.manifest import Library, Member
from nets.backend.library.pointer_checks import pointer_checks
from nets.backend.library.state.layout import layout_mark
from nets.backend.llvm.constants import LargeData, constant
from nets.ir.types import DTYPES
from nets.machine.targets import Target

OTHER_STATE: Final = -8
"""The status of load_state for what is no state of this library."""

_BLOCK: Final = 256
"""Bytes that are left out together where they are zeros: a run costs 16, and a call."""


def state_functions(library: Library, state: bytes, large: LargeData, target: Target) -> str:
    """state_bytes, init_state, save_state and load_state; ``state`` is the initial one, marked."""
    assert library.layout is not None
    name, size = library.name, library.state_bytes
    _, mark = constant("state.mark", layout_mark(library), align=16)
    held, initialize = _initial(state, large, target)
    bodies = {
        "init_state": initialize,
        "save_state": _save(size, library.layout, target.word),
        "load_state": _load(size, library.layout, target.word),
    }
    return "\n\n".join(
        [
            mark,
            f"define {target.word} @{name}_state_bytes() nounwind {{ ret {target.word} {size} }}",
            held,
            *(_function(library, word, body, target) for word, body in bodies.items()),
        ]
    )


def state_alignment(library: Library) -> int:
    return max(DTYPES[member.dtype].itemsize for member in library.state)


def _function(library: Library, word: str, body: str, target: Target) -> str:
    """A function that checks its pointers, the first of which is a state, before it runs."""
    symbol = f"{library.name}_{word}"
    pointers = ["%state"] if word == "init_state" else ["%state", "%bytes"]
    alignments = dict.fromkeys(pointers, 1) | {"%state": state_alignment(library)}
    definition, checks = pointer_checks(symbol, alignments, target)
    parameters = ", ".join(f"ptr {pointer}" for pointer in pointers)
    return f"""\
{definition}define i32 @{symbol}({parameters}) nounwind {{
entry:
{checks}
{body}
}}"""


def _copy(to: str, source: str, size: int | str, word: str) -> str:
    operands = f"ptr {to}, ptr {source}, {word} {size}, i1 false"
    return f"  call void @llvm.memcpy.p0.p0.{word}({operands})"


def _save(size: int, mark: Member, word: str) -> str:
    """All bytes, and the mark, which who filled the state by hand may have left out."""
    return f"""\
{_copy("%bytes", "%state", size, word)}
  %place = getelementptr i8, ptr %bytes, i64 {mark.offset}
{_copy("%place", "@state.mark", mark.size, word)}
  ret i32 0"""


def _load(size: int, mark: Member, word: str) -> str:
    words = mark.size // 8
    differs = "\n".join(
        f"""\
  %given.{i}.at = getelementptr i8, ptr %bytes, i64 {mark.offset + 8 * i}
  %own.{i}.at = getelementptr i8, ptr @state.mark, i64 {8 * i}
  %given.{i} = load i64, ptr %given.{i}.at, align 1
  %own.{i} = load i64, ptr %own.{i}.at, align 8
  %xor.{i} = xor i64 %given.{i}, %own.{i}
  %all.{i} = or i64 %xor.{i}, {f"%all.{i - 1}" if i else "0"}"""
        for i in range(words)
    )
    return f"""\
{differs}
  %is.other = icmp ne i64 %all.{words - 1}, 0
  br i1 %is.other, label %other, label %own
other:
  ret i32 {OTHER_STATE}
own:
{_copy("%state", "%bytes", size, word)}
  ret i32 0"""


# ------------------------------------------------------------------------ the initial state


def _initial(state: bytes, large: LargeData, target: Target) -> tuple[str, str]:
    """Constants, and code that sets zeros, and then the runs of what is not, which lie one behind
    the other."""
    runs = _runs(state)
    data = b"".join(state[start:end] for start, end in runs)
    form, word = "<QQ" if target.pointer_bytes == 8 else "<II", target.word
    table = b"".join(struct.pack(form, start, end - start) for start, end in runs)
    initial, held = constant("state.initial", data, large, align=16)
    code = f"""\
  call void @llvm.memset.p0.{word}(ptr %state, i8 0, {word} {len(state)}, i1 false)
  br label %next
next:
  %i = phi i64 [ 0, %run ], [ %i.after, %next ]
  %from = phi ptr [ @{initial}, %run ], [ %from.after, %next ]
  %offset.at = getelementptr [2 x {word}], ptr @state.runs, i64 %i
  %size.at = getelementptr {word}, ptr %offset.at, i64 1
  %offset = load {word}, ptr %offset.at
  %size = load {word}, ptr %size.at
  %to = getelementptr i8, ptr %state, {word} %offset
{_copy("%to", "%from", "%size", word)}
  %from.after = getelementptr i8, ptr %from, {word} %size
  %i.after = add i64 %i, 1
  %is.over = icmp eq i64 %i.after, {len(runs)}
  br i1 %is.over, label %done, label %next
done:
  ret i32 0"""
    return f"{held}\n{constant('state.runs', table, align=16)[1]}", code


def _runs(state: bytes) -> list[tuple[int, int]]:
    """(start, end) of the rows of blocks that are not zeros; one at least, for the mark is none."""
    padded = np.frombuffer(state + bytes(-len(state) % _BLOCK), np.uint64)
    is_held = padded.reshape(-1, _BLOCK // padded.itemsize).any(axis=1)
    edges = np.flatnonzero(np.diff(is_held, prepend=False, append=False)) * _BLOCK
    return [(start, min(end, len(state))) for start, end in edges.reshape(-1, 2).tolist()]
