"""gcd: the greatest common divisor of integers, lane by lane.

By shifts and subtractions (J. Stein, "Computational problems associated with Racah algebra", 1967):
odd numbers a ≤ b have the divisors of a and b − a, which is even.
"""

from __future__ import annotations

from typing import Final

from nets.backend.llvm.math.body import Definition
from nets.ir.types import DType

_SCALAR: Final = """\
define internal {t} @{symbol}({t} %x, {t} %y) nounwind {{
entry:
{magnitudes}  %both = or {t} %a, %b
  %shift = call {t} @llvm.cttz.{t}({t} %both, i1 false)
  %some = icmp ne {t} %a, 0
  %other = icmp ne {t} %b, 0
  %go = and i1 %some, %other
  %twos = call {t} @llvm.cttz.{t}({t} %a, i1 false)
  %room = and {t} %twos, {mask}
  %odd = lshr {t} %a, %room
  br i1 %go, label %step, label %trivial
step:
  %p = phi {t} [ %odd, %entry ], [ %low, %step ]
  %q = phi {t} [ %b, %entry ], [ %rest, %step ]
  %q_twos = call {t} @llvm.cttz.{t}({t} %q, i1 true)
  %q_odd = lshr {t} %q, %q_twos
  %low = call {t} @llvm.umin.{t}({t} %p, {t} %q_odd)
  %high = call {t} @llvm.umax.{t}({t} %p, {t} %q_odd)
  %rest = sub {t} %high, %low
  %more = icmp ne {t} %rest, 0
  br i1 %more, label %step, label %done
done:
  %found = shl {t} %low, %shift
  ret {t} %found
trivial:
  ret {t} %both
}}
"""

_LANES: Final = """\
define internal {v} @{symbol}({v} %x, {v} %y) nounwind {{
entry:
  br label %lane
lane:
  %i = phi i64 [ 0, %entry ], [ %next, %lane ]
  %all = phi {v} [ poison, %entry ], [ %more, %lane ]
  %xi = extractelement {v} %x, i64 %i
  %yi = extractelement {v} %y, i64 %i
  %zi = call {t} @{scalar}({t} %xi, {t} %yi)
  %more = insertelement {v} %all, {t} %zi, i64 %i
  %next = add i64 %i, 1
  %on = icmp ult i64 %next, {lanes}
  br i1 %on, label %lane, label %end
end:
  ret {v} %more
}}
"""


def gcd(dtype: DType, lanes: int) -> Definition:
    """The greatest common divisor of the magnitudes, 0 of two zeros; wraps as np.gcd does."""
    type, symbol = f"i{dtype.bits}", f"nets_gcd_{dtype}x{lanes}"
    if lanes > 1:
        scalar, vector = f"nets_gcd_{dtype}x1", f"<{lanes} x {type}>"
        text = _LANES.format(t=type, v=vector, symbol=symbol, scalar=scalar, lanes=lanes)
        return Definition(symbol, text, (("gcd", dtype, 1),))
    magnitudes = "".join(
        _magnitude(type, x, name, dtype.kind == "i") for x, name in (("x", "a"), ("y", "b"))
    )
    mask = dtype.bits - 1
    return Definition(
        symbol, _SCALAR.format(t=type, symbol=symbol, magnitudes=magnitudes, mask=mask)
    )


def _magnitude(type: str, x: str, name: str, is_signed: bool) -> str:
    if not is_signed:
        return f"  %{name} = add {type} %{x}, 0\n"
    return f"  %{name} = call {type} @llvm.abs.{type}({type} %{x}, i1 false)\n"
