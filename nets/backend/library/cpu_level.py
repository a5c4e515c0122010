"""Which level of x86-64 a CPU has: asked of the CPU once, by a function inside the library.

The code around that of the levels runs on any x86-64, and so does this function. It keeps what it
finds in four bytes, the only ones of a library that are written to: threads that come at the same
time find the same. There is no constructor and no indirect function, so it works in ``.o``, ``.a``
and ``.so`` alike, and wherever the library is called from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

UNKNOWN_CPU: Final = -3
"""The status of calls on a CPU that the library has no code for."""

_BITS: Final = (
    (0x00982201, 0x00000000, 0x01, 0x00),
    (0x38401000, 0x00000128, 0x20, 0x06),
    (0x00000000, 0xD0030000, 0x00, 0xE6),
)
"""What the levels from 2 on add: bits of ecx of leaf 1 (SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT;
FMA, MOVBE, OSXSAVE, AVX, F16C), ebx of leaf 7 (BMI, AVX2, BMI2; AVX512F, DQ, CD, BW, VL), ecx of
leaf 0x80000001 (LAHF; LZCNT), and of the registers that the system saves (those of SSE and AVX; and
of AVX-512). ``runtime/cpu.c`` has the same."""

_CPUID: Final = (
    'asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}"'
)
_XGETBV: Final = 'asm sideeffect "xgetbv", "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}"'

_KEPT: Final = "@cpu.level.kept = internal global i32 0, align 4"

_ASKED: Final = f"""\
define internal {{ i32, i32 }} @cpu.leaf(i32 %leaf) noinline nounwind {{
entry:
  %group = and i32 %leaf, -2147483648
  %most.of.group = call {{ i32, i32, i32, i32 }} {_CPUID}(i32 %group, i32 0)
  %most = extractvalue {{ i32, i32, i32, i32 }} %most.of.group, 0
  %is.there = icmp uge i32 %most, %leaf
  br i1 %is.there, label %ask, label %none
ask:
  %told = call {{ i32, i32, i32, i32 }} {_CPUID}(i32 %leaf, i32 0)
  %b = extractvalue {{ i32, i32, i32, i32 }} %told, 1
  %c = extractvalue {{ i32, i32, i32, i32 }} %told, 2
  %first = insertvalue {{ i32, i32 }} poison, i32 %b, 0
  %both = insertvalue {{ i32, i32 }} %first, i32 %c, 1
  ret {{ i32, i32 }} %both
none:
  ret {{ i32, i32 }} zeroinitializer
}}

define internal i32 @cpu.level.asked() noinline nounwind {{
entry:
  %told.1 = call {{ i32, i32 }} @cpu.leaf(i32 1)
  %told.7 = call {{ i32, i32 }} @cpu.leaf(i32 7)
  %told.e = call {{ i32, i32 }} @cpu.leaf(i32 -2147483647)
  %has.0 = extractvalue {{ i32, i32 }} %told.1, 1
  %has.1 = extractvalue {{ i32, i32 }} %told.7, 0
  %has.2 = extractvalue {{ i32, i32 }} %told.e, 1
  %saves = and i32 %has.0, {1 << 27}
  %can.tell = icmp ne i32 %saves, 0
  br i1 %can.tell, label %saved, label %compare
saved:
  %registers = call {{ i32, i32 }} {_XGETBV}(i32 0)
  %low = extractvalue {{ i32, i32 }} %registers, 0
  br label %compare
compare:
  %has.3 = phi i32 [ 0, %entry ], [ %low, %saved ]
"""
"""What the CPU has, as four words of bits. Leaves that it lacks have no bits."""


def level_function(levels: Sequence[int]) -> str:
    """``i32 @cpu.level()``: the highest of these levels that the CPU has, or ``UNKNOWN_CPU``."""
    return f"""\
{_KEPT}

{_ASKED}{_comparison(levels)}
}}

define internal i32 @cpu.level() nounwind {{
entry:
  %kept = load atomic i32, ptr @cpu.level.kept monotonic, align 4
  %is.known = icmp ne i32 %kept, 0
  br i1 %is.known, label %known, label %unknown
known:
  ret i32 %kept
unknown:
  %asked = call i32 @cpu.level.asked()
  store atomic i32 %asked, ptr @cpu.level.kept monotonic, align 4
  ret i32 %asked
}}"""


def _comparison(levels: Sequence[int]) -> str:
    lines, found, has_all = [], str(UNKNOWN_CPU), "true"
    for level, bits in enumerate(_BITS, 2):
        for word, mask in enumerate(bits):
            name = f"%l{level}.{word}"
            lines += [
                f"{name}.and = and i32 %has.{word}, {mask}",
                f"{name}.is = icmp eq i32 {name}.and, {mask}",
                f"{name} = and i1 {has_all}, {name}.is",
            ]
            has_all = name
        if level in levels:
            lines += [f"%level.{level} = select i1 {has_all}, i32 {level}, i32 {found}"]
            found = f"%level.{level}"
    return "\n".join(f"  {line}" for line in (*lines, f"ret i32 {found}"))
