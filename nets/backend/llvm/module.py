"""The text of one LLVM module while it is written: functions, shared definitions, constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nets.backend.llvm.constants import LargeData, constant
from nets.ir.core import Operation
from nets.ir.types import DType, from_numpy
from nets.locks import imports
from nets.machine.machine import Machine

ATTRIBUTES = "#0"
"""The attribute group of every function of a module."""


INLINED_CALLS: Final = 16
"""From how many places of a module a math function may be called and still be inlined.

LLVM takes some 15 ms for each copy of 70 instructions on 16 lanes, so long programs would wait for
minutes. A call costs them little: up to a tenth of a loop that does nothing else, for the
constants that do not stay in registers.
"""

_DISPATCH: Final = """\
define internal void @{name}(ptr %pool, ptr %body, ptr %context, i64 %count) {attributes} {{
entry:
  %serial = icmp eq ptr %pool, null
  br i1 %serial, label %alone, label %shared
alone:
  call void %body(ptr %context, i64 0, i64 %count, i32 0)
  ret void
shared:
  %parallel_for = load ptr, ptr %pool
  call void %parallel_for(ptr %pool, ptr %body, ptr %context, i64 %count)
  ret void
}}"""


class ModuleText:
    """Collects definitions, each symbol once, in the order of first use."""

    def __init__(
        self,
        symbol: str,
        machine: Machine,
        large: LargeData | None = None,
        numerics: str = "strict",
        *,
        is_small: bool = False,
        dims: tuple[Sequence[str], int] = ((), 0),
    ) -> None:
        self.symbol = symbol
        self._numerics = numerics
        self._is_small = is_small
        self._large = large
        self.machine = machine
        self.dims, self.dims_slot = dims
        """The names of the dimensions of a call, and behind how many buffers their numbers come."""
        self.communicator_slot = self.dims_slot + bool(self.dims)
        self.sites: dict[Operation, int] = {}
        """The number of each print."""
        self.tickets: dict[Operation, int] = {}
        """The number of each beginning of a transfer."""
        self._definitions: dict[str, str] = {}
        self._calls: Counter[str] = Counter()
        self._outlined = 0
        self._globals: dict[tuple[bytes, int], str] = {}
        self._kept: dict[str, int] = {}

    def define(self, symbol: str, text: Callable[[], str]) -> str:
        """Add a definition unless the symbol is there already; the symbol."""
        if symbol not in self._definitions:
            self._definitions[symbol] = ""  # keeps the place in the order
            self._definitions[symbol] = text()
        return symbol

    def add(self, symbol: str, text: str) -> None:
        """Add a definition."""
        self._definitions[symbol] = text

    def math(self, function: str, dtype: DType, lanes: int) -> str:
        """The symbol of a math function on that many lanes, defined with all it calls."""
        # Imported here, for most of the small programs call none.
        with imports.inside():
            from nets.backend.llvm.math import definition

        wanted = [(function, dtype, lanes)]
        found = ""
        while wanted:
            symbol, text, requires = definition(*wanted.pop(), self.machine.instruction_set)
            found = found or symbol
            if symbol not in self._definitions:
                self._definitions[symbol] = text
                wanted.extend(requires)
        self._calls[found] += 1
        return found

    def outlined_symbol(self) -> str:
        """A new symbol for outlined loops."""
        self._outlined += 1
        return f"{self.symbol}.n{self._outlined}"

    def dispatch(self) -> str:
        """The symbol of the function that runs a range serially or through the pool."""
        name = f"{self.symbol}.dispatch"
        return self.define(name, lambda: _DISPATCH.format(name=name, attributes=ATTRIBUTES))

    def global_array(self, value: npt.NDArray[Any]) -> str:
        """The symbol of a constant that holds the array's elements, row-major; equal ones once."""
        dtype = from_numpy(value.dtype)
        assert dtype is not None
        data = np.ascontiguousarray(value, dtype=dtype.numpy).tobytes()
        key = (data, len(data))
        if key not in self._globals:
            name, text = constant(f"{self.symbol}.c{len(self._globals)}", data, self._large)
            self._globals[key] = name
            self._definitions[name] = text
        return self._globals[key]

    def kept_constant(self, text: str) -> str:
        """The symbol of a constant, given with its type, that is to be read from memory."""
        name = f"{self.symbol}.k{self._kept.setdefault(text, len(self._kept))}"
        return self.define(name, lambda: f"@{name} = internal constant {text}")

    def text(self) -> str:
        """The whole module."""
        machine = self.machine
        features = f'"target-features"="{machine.features}" ' if machine.features else ""
        attributes = (
            f"attributes {ATTRIBUTES} = {{ nounwind {'minsize optsize ' * self._is_small}"
            f'"target-cpu"="{machine.cpu}" {features}'
            f'"prefer-vector-width"="{8 * machine.vector_bytes}" }}'
        )
        definitions = map(self._placed, self._definitions, self._definitions.values())
        text = "\n\n".join([*definitions, attributes, ""])
        machine = self.machine
        lacks = min(len(machine.root_sizes), len(machine.rounding_sizes)) < 2
        return self._with_functions(text) if lacks or self._has_fma else text

    @property
    def _has_fma(self) -> bool:
        """Whether a product may be rounded together with a sum: in kernels and math functions."""
        return any("fma." in text or "fused." in text for text in self._definitions.values())

    @property
    def _is_slow(self) -> bool:
        """Whether all that multiplies and adds is a call, beside which one more costs nothing, and
        of which a copy is large."""
        return not self.machine.fma_sizes and self._numerics == "strict"

    def _with_functions(self, text: str) -> str:
        with imports.inside():
            from nets.backend.llvm.math.fused import with_functions
            from nets.backend.llvm.math.soft import with_soft_functions

        text = with_soft_functions(text, self.machine, ATTRIBUTES)
        return with_functions(text, self.machine, self._numerics, ATTRIBUTES)

    def _placed(self, symbol: str, text: str) -> str:
        """The definition; of a math function that is called from many places, not to be inlined.

        In a library all functions say what CPU they are for: it has others for other CPUs.
        """
        if self._calls[symbol] > (1 if self._is_small or self._is_slow else INLINED_CALLS):
            text = text.replace(") alwaysinline nounwind {", f") noinline {ATTRIBUTES} {{", 1)
        return text if self._large is None else text.replace(" nounwind {", f" {ATTRIBUTES} {{")
