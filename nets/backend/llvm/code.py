"""The text of one LLVM function while it is written.

Instructions go to the current *sink*. Each open loop keeps a second sink in front of it, its
preheader, so that what depends only on outer values can be written there even while the body is
being written: addresses are split that way, one part per loop level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nets.backend.llvm.isa import x86
from nets.backend.llvm.sizes import size_text
from nets.backend.llvm.spelling import register
from nets.ir.core import Value
from nets.ir.sizes import Dim
from nets.ir.types import Type

if TYPE_CHECKING:
    from nets.backend.llvm.module import ModuleText

Sink = list["str | Sink"]
"""Lines and, where lines may still be added in between, nested sinks."""


class Level:
    """An open loop or branch: what stands in front of it, and what was computed inside it."""

    def __init__(self, preheader: Sink) -> None:
        self.preheader = preheader
        self.known: dict[object, str] = {}


class Code:
    """Writes instructions, names results, and knows at which level each value was made.

    Level 0 is the function's straight code, level n the inside of the n-th open loop. ``streams``
    tells that there are stores past the caches, which must be over when the function returns.
    """

    def __init__(self, module: ModuleText) -> None:
        self.module = module
        self.entry: Sink = []
        self.sink: Sink = [self.entry]
        self.top = self.sink
        self.levels = [Level(self.entry)]
        self.label = "entry"
        self.streams = False
        self._fences: list[Sink] = []
        self.names: dict[Value, str] = {}
        self._depths: dict[Value, int] = {}
        self._count = 0
        self.sizes: dict[Dim, str] = {}

    # Names.
    def fresh(self) -> int:
        self._count += 1
        return self._count

    def bind(self, value: Value, name: str, depth: int | None = None) -> None:
        """Let ``name`` stand for the value, made at the current level if not told otherwise."""
        self.names[value] = name
        self._depths[value] = self.depth if depth is None else depth

    def name(self, value: Value) -> str:
        """The register or constant that holds the value."""
        return self.names[value]

    def typed(self, value: Value) -> str:
        """The value as an operand with its type."""
        return f"{register(value.type)} {self.names[value]}"

    def depth_of(self, value: Value) -> int:
        return self._depths[value]

    # Instructions.
    def line(self, text: str) -> None:
        """An instruction without result."""
        self.sink.append(text)

    def value(self, text: str, sink: Sink | None = None) -> str:
        """An instruction with a result; its name."""
        name = f"%v{self.fresh()}"
        (self.sink if sink is None else sink).append(f"{name} = {text}")
        return name

    def call(self, result: str, function: str, arguments: str) -> str:
        """A call with a result; its name."""
        return self.value(f"call {result} @{function}({arguments})")

    def fence_streams(self) -> None:
        """From here on other threads see the stores past the caches, if there are any."""
        place: Sink = []
        self.sink.append(place)
        self._fences.append(place)

    def size(self, size: Dim) -> str:
        """The number of a size, computed once per function from the dimensions of the call."""
        if size not in self.sizes:
            self.sizes[size] = size_text(self, size)
        return self.sizes[size]

    # Blocks and levels.
    def start(self, label: str) -> None:
        """Begin a basic block."""
        self.sink.append(f"{label}:")
        self.label = label

    @property
    def depth(self) -> int:
        return len(self.levels) - 1

    def open_level(self) -> None:
        """Enter a loop or branch; call it where the preheader may still grow."""
        preheader: Sink = []
        self.sink.append(preheader)
        self.levels.append(Level(preheader))

    def close_level(self) -> None:
        self.levels.pop()

    def once(self, depth: int, key: object, text: str) -> str:
        """A pure instruction at the outermost place where its operands, of ``depth``, are known.

        Given the same key, the name of the first time.
        """
        known = self.levels[depth].known
        if key not in known:
            inner = depth < self.depth
            known[key] = self.value(text, self.levels[depth + 1].preheader if inner else None)
        return known[key]

    def text(self) -> str:
        """All lines, one below the other, instructions indented."""
        if self.streams:
            self.fence_streams()
            for place in self._fences:
                place.append(x86.FENCE)
        lines: list[str] = []
        pending: list[str | Sink] = [self.top]
        while pending:
            item = pending.pop()
            if isinstance(item, str):
                lines.append(item if item.endswith(":") else f"  {item}")
            else:
                pending.extend(reversed(item))
        return "\n".join(lines)


def intrinsic(
    code: Code, name: str, type: Type, operands: Sequence[str], result: Type | None = None
) -> str:
    """A call of an LLVM intrinsic whose operands have one type."""
    spelt = register(type)
    arguments = ", ".join(f"{spelt} {operand}" for operand in operands)
    return code.call(register(result or type), name, arguments)
