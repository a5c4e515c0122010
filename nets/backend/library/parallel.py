"""The parallel twins of functions: loops that the caller's threads share.

Code that nets runs itself hands the ranges of a loop to a pool (``runtime/``). A library has none.
Its twins make a pool of what the caller gives: a function that runs so many parts, each by its
number, in any order, on any threads. A loop is cut into as many parts as the library was exported
for, whatever number of threads there is, and each part has a slice of the workspace of its own. So
no order of parts, and no number of threads, changes a bit or lets two parts meet.
"""

from __future__ import annotations

from typing import Final

_POOL: Final = "{ ptr, ptr, ptr, i64 }"
"""What compiled code calls, the caller's function, what that gets first, and the most parts."""
_TASK: Final = "{ ptr, ptr, i64, i64, i64 }"
"""The body of a loop, its context, the parts it is cut into, the iterations that each part has, and
how many parts have one more."""

PARALLEL_FOR: Final = f"""\
define internal void @parallel.for(ptr %pool, ptr %body, ptr %context, i64 %count) nounwind {{
entry:
  %task = alloca {_TASK}
  %most.at = getelementptr {_POOL}, ptr %pool, i64 0, i32 3
  %most = load i64, ptr %most.at
  %is.short = icmp slt i64 %count, %most
  %parts = select i1 %is.short, i64 %count, i64 %most
  %is.alone = icmp slt i64 %parts, 2
  br i1 %is.alone, label %alone, label %digit
alone:
  call void %body(ptr %context, i64 0, i64 %count, i32 0)
  ret void
digit:
  ; As in longhand: processors of 32 bits have no division of 64, and would call a library.
  %i = phi i64 [ 64, %entry ], [ %i.next, %digit ]
  %rest = phi i64 [ %count, %entry ], [ %rest.next, %digit ]
  %each = phi i64 [ 0, %entry ], [ %each.next, %digit ]
  %more = phi i64 [ 0, %entry ], [ %more.next, %digit ]
  %bit = lshr i64 %rest, 63
  %rest.next = shl i64 %rest, 1
  %lifted = shl i64 %more, 1
  %head = or i64 %lifted, %bit
  %is.in = icmp uge i64 %head, %parts
  %taken = select i1 %is.in, i64 %parts, i64 0
  %more.next = sub i64 %head, %taken
  %found = zext i1 %is.in to i64
  %each.lifted = shl i64 %each, 1
  %each.next = or i64 %each.lifted, %found
  %i.next = sub i64 %i, 1
  %is.over = icmp eq i64 %i.next, 0
  br i1 %is.over, label %shared, label %digit
shared:
  %context.at = getelementptr {_TASK}, ptr %task, i64 0, i32 1
  %parts.at = getelementptr {_TASK}, ptr %task, i64 0, i32 2
  %each.at = getelementptr {_TASK}, ptr %task, i64 0, i32 3
  %more.at = getelementptr {_TASK}, ptr %task, i64 0, i32 4
  store ptr %body, ptr %task
  store ptr %context, ptr %context.at
  store i64 %parts, ptr %parts.at
  store i64 %each.next, ptr %each.at
  store i64 %more.next, ptr %more.at
  %for.at = getelementptr {_POOL}, ptr %pool, i64 0, i32 1
  %given.at = getelementptr {_POOL}, ptr %pool, i64 0, i32 2
  %for = load ptr, ptr %for.at
  %given = load ptr, ptr %given.at
  call void %for(ptr %given, ptr @parallel.part, ptr %task, i64 %parts)
  ret void
}}

define internal void @parallel.part(ptr %task, i64 %part) nounwind {{
entry:
  %context.at = getelementptr {_TASK}, ptr %task, i64 0, i32 1
  %parts.at = getelementptr {_TASK}, ptr %task, i64 0, i32 2
  %each.at = getelementptr {_TASK}, ptr %task, i64 0, i32 3
  %more.at = getelementptr {_TASK}, ptr %task, i64 0, i32 4
  %body = load ptr, ptr %task
  %context = load ptr, ptr %context.at
  %parts = load i64, ptr %parts.at
  %each = load i64, ptr %each.at
  %more = load i64, ptr %more.at
  %is.one = icmp ult i64 %part, %parts
  br i1 %is.one, label %run, label %done
run:
  %is.longer = icmp ult i64 %part, %more
  %longer = select i1 %is.longer, i64 %part, i64 %more
  %before = mul i64 %each, %part
  %begin = add i64 %before, %longer
  %one = zext i1 %is.longer to i64
  %size = add i64 %each, %one
  %end = add i64 %begin, %size
  %number = trunc i64 %part to i32
  call void %body(ptr %context, i64 %begin, i64 %end, i32 %number)
  br label %done
done:
  ret void
}}"""
"""``parallel_for`` of a pool that the caller's function stands behind. A part whose number is none
does nothing."""


def pool_of(parts: int) -> str:
    """Code that makes ``%pool`` of the caller's function and what that gets first."""
    fields = ["ptr @parallel.for", "ptr %parallel.caller", "ptr %parallel.context", f"i64 {parts}"]
    stores = "\n".join(
        f"  %pool.{i} = getelementptr {_POOL}, ptr %pool, i64 0, i32 {i}\n"
        f"  store {value}, ptr %pool.{i}"
        for i, value in enumerate(fields)
    )
    return f"  %pool = alloca {_POOL}\n{stores}"
