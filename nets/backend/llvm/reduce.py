"""loop.tree_combine: rows of a buffer combined by halving."""

from __future__ import annotations

from typing import Final

from nets.backend.llvm.arithmetic import BINARY
from nets.backend.llvm.code import Code, Sink
from nets.backend.llvm.memory import buffer_base, from_memory, load_text, store_text, to_memory
from nets.backend.llvm.module import ATTRIBUTES, ModuleText
from nets.backend.llvm.spelling import stored
from nets.ir.core import Operation
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, DType, ScalarType, VectorType

_ROUND: Final = """\
define internal void @{name}(ptr %rows, i64 %count, i64 %first, i64 %width) {attributes} {{
entry:
  br label %round
round:
  %live = phi i64 [ %count, %entry ], [ %half, %done ]
  %half = phi i64 [ %first, %entry ], [ %next, %done ]
  %taken = sub i64 %live, %half
  %n = mul i64 %taken, %width
  %shift = mul i64 %half, %width
  %other = getelementptr {stored}, ptr %rows, i64 %shift
  %main = and i64 %n, -{lanes}
  %wide = icmp ne i64 %main, 0
  br i1 %wide, label %vector, label %rest
vector:
  %i = phi i64 [ 0, %round ], [ %i.next, %vector ]
{vector}
  %i.next = add i64 %i, {lanes}
  %more = icmp slt i64 %i.next, %main
  br i1 %more, label %vector, label %rest
rest:
  %some = icmp slt i64 %main, %n
  br i1 %some, label %scalar, label %done
scalar:
  %j = phi i64 [ %main, %rest ], [ %j.next, %scalar ]
{scalar}
  %j.next = add i64 %j, 1
  %again = icmp slt i64 %j.next, %n
  br i1 %again, label %scalar, label %done
done:
  %next = lshr i64 %half, 1
  %left = icmp ne i64 %next, 0
  br i1 %left, label %round, label %exit
exit:
  ret void
}}"""
"""One round takes the rows from %half on into the first ones, then %half rows are live. The rows
of a round lie one behind the other, so it is one loop over elements."""


def tree_combine(module: ModuleText, combiner: str, dtype: DType) -> str:
    """The symbol of ``void (ptr rows, i64 count, i64 first half, i64 width)``, count ≥ 2."""
    name = f"{module.symbol}.combine_{combiner}_{dtype}"
    return module.define(name, lambda: _definition(module, name, combiner, dtype))


def call_tree_combine(code: Code, op: Operation) -> None:
    """loop.tree_combine as a call; a buffer of one row is combined already."""
    (buffer,) = op.operands
    assert isinstance(buffer.type, BufferType)
    count, width = buffer.type.shape
    if (isinstance(count, int) and count < 2) or width == 0:
        return
    symbol = tree_combine(code.module, op.attributes["combiner"], buffer.type.dtype)
    base = buffer_base(code, buffer)
    if isinstance(count, int):
        half = 1 << ((count - 1).bit_length() - 1)  # the largest power of two below count
        _call(code, symbol, base, str(count), str(half), code.size(width))
    else:
        _call_where_many(code, symbol, base, count, width)


def _call(code: Code, symbol: str, base: str, count: str, half: str, width: str) -> None:
    code.line(f"call void @{symbol}(ptr {base}, i64 {count}, i64 {half}, i64 {width})")


def _call_where_many(code: Code, symbol: str, base: str, count: Size, width: Dim) -> None:
    """Combine as many rows as the call tells, if these are several."""
    number, rows = code.fresh(), code.size(count)
    code.open_level()
    is_many = code.value(f"icmp sgt i64 {rows}, 1")
    code.line(f"br i1 {is_many}, label %several{number}, label %combined{number}")
    code.start(f"several{number}")
    last = code.value(f"sub i64 {rows}, 1")
    zeros = code.value(f"call i64 @llvm.ctlz.i64(i64 {last}, i1 true)")
    half = code.value(f"lshr i64 {1 << 63}, {zeros}")
    _call(code, symbol, base, rows, half, code.size(width))
    code.line(f"br label %combined{number}")
    code.close_level()
    code.start(f"combined{number}")


def _definition(module: ModuleText, name: str, combiner: str, dtype: DType) -> str:
    lanes = module.machine.lanes(dtype)
    code = Code(module)
    return _ROUND.format(
        name=name,
        attributes=ATTRIBUTES,
        stored=stored(dtype),
        lanes=lanes,
        vector=_step(code, combiner, dtype, lanes, "%i"),
        scalar=_step(code, combiner, dtype, 1, "%j"),
    )


def _step(code: Code, combiner: str, dtype: DType, lanes: int, position: str) -> str:
    """Combine the elements at ``position`` of %rows and %other into %rows."""
    lines: Sink = []
    code.sink = lines
    type = VectorType(lanes, dtype) if lanes > 1 else ScalarType(dtype)
    spelt, machine = stored(dtype), code.module.machine
    place, other = (
        code.value(f"getelementptr {spelt}, ptr {base}, i64 {position}")
        for base in ("%rows", "%other")
    )
    x, y = (
        from_memory(code, dtype, lanes, code.value(load_text(machine, dtype, lanes, where)))
        for where in (place, other)
    )
    total = to_memory(code, dtype, lanes, BINARY[combiner](code, type, x, y))
    code.line(store_text(machine, dtype, lanes, total, place))
    return "\n".join(f"  {line}" for line in lines)
