"""Checks of pointers, which every public function makes before it touches any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nets.machine.targets import Target

NULL_POINTER: Final = -1
MISALIGNED: Final = -2

_CHECK_POINTERS: Final = f"""\
define internal i32 @check.pointers(ptr %pointers, ptr %masks, i64 %count) nounwind {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i.after, %each ]
  %null = phi i1 [ false, %entry ], [ %null.after, %each ]
  %low = phi i64 [ 0, %entry ], [ %low.after, %each ]
  %is.over = icmp eq i64 %i, %count
  br i1 %is.over, label %done, label %each
each:
  %place = getelementptr i64, ptr %pointers, i64 %i
  %address = load i64, ptr %place
  %is.null = icmp eq i64 %address, 0
  %null.after = or i1 %null, %is.null
  %mask.place = getelementptr i64, ptr %masks, i64 %i
  %mask = load i64, ptr %mask.place
  %rest = and i64 %address, %mask
  %low.after = or i64 %low, %rest
  %i.after = add i64 %i, 1
  br label %next
done:
  %is.misaligned = icmp ne i64 %low, 0
  %otherwise = select i1 %is.misaligned, i32 {MISALIGNED}, i32 0
  %status = select i1 %null, i32 {NULL_POINTER}, i32 %otherwise
  ret i32 %status
}}"""


def check_pointers(target: Target) -> str:
    """A function that gives the status of pointers: that of null, or of one with a bit of its mask
    set, or 0."""
    return _CHECK_POINTERS.replace("i64", target.word)


def stores(array: str, values: Iterable[str], type: str = "ptr") -> str:
    """Stores of pointers, or of values of another type, into an array of them.

    They are volatile, which keeps the code generator from looking, for each, at all the others for
    what it could join it with.
    """
    return "\n".join(
        f"  %{array}.{i} = getelementptr {type}, ptr %{array}, i64 {i}\n"
        f"  store volatile {type} {value}, ptr %{array}.{i}"
        for i, value in enumerate(values)
    )


def pointer_checks(symbol: str, alignments: Mapping[str, int], target: Target) -> tuple[str, str]:
    """A definition, and code that returns the status of a pointer that is null or misaligned, or
    goes on in the block ``run``."""
    if not alignments:
        return "", "  br label %run\nrun:"
    count, word = len(alignments), target.word
    masks = ", ".join(f"{word} {alignment - 1}" for alignment in alignments.values())
    table = f"@{symbol}.masks"
    code = f"""\
  %checked = alloca [{count} x ptr]
{stores("checked", alignments)}
  %status = call i32 @check.pointers(ptr %checked, ptr {table}, {word} {count})
  %is.refused = icmp ne i32 %status, 0
  br i1 %is.refused, label %refuse, label %run
refuse:
  ret i32 %status
run:"""
    return f"{table} = internal unnamed_addr constant [{count} x {word}] [{masks}]\n", code
