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
_TASK: Final = "{ ptr, ptr, i64, i64 }"
"""The body of a loop, its context, the iterations, and the parts they are cut into."""

PARALLEL_FOR: Final = f"""\
define internal void @parallel.for(ptr %pool, ptr %body, ptr %context, i64 %count) nounwind {{
entry:
  %task = alloca {_TASK}
  %most.at = getelementptr {_POOL}, ptr %pool, i64 0, i32 3
  %most = load i64, ptr %most.at
  %is.short = icmp slt i64 %count, %most
  %parts = select i1 %is.short, i64 %count, i64 %most
  %is.alone = icmp slt i64 %parts, 2
  br i1 %is.alone, label %alone, label %shared
alone:
  call void %body(ptr %context, i64 0, i64 %count, i32 0)
  ret void
shared:
  %context.at = getelementptr {_TASK}, ptr %task, i64 0, i32 1
  %count.at = getelementptr {_TASK}, ptr %task, i64 0, i32 2
  %parts.at = getelementptr {_TASK}, ptr %task, i64 0, i32 3
  store ptr %body, ptr %task
  store ptr %context, ptr %context.at
  store i64 %count, ptr %count.at
  store i64 %parts, ptr %parts.at
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
  %count.at = getelementptr {_TASK}, ptr %task, i64 0, i32 2
  %parts.at = getelementptr {_TASK}, ptr %task, i64 0, i32 3
  %body = load ptr, ptr %task
  %context = load ptr, ptr %context.at
  %count = load i64, ptr %count.at
  %parts = load i64, ptr %parts.at
  %is.one = icmp ult i64 %part, %parts
  br i1 %is.one, label %run, label %done
run:
  %each = udiv i64 %count, %parts
  %more = urem i64 %count, %parts
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
