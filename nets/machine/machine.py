"""The machine: all that passes and backend know of the processor they compile for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from nets.ir.types import DType
from nets.machine.targets import X86_64_LINUX, Target

InstructionSet = Literal["generic", "avx2", "avx512"]
"""Whose instructions are called by name: of a generic machine, none; LLVM finds them."""

ALIGNMENT: Final = 64
"""Bytes by which arenas, workspaces, states and buffers in them are aligned. It is part of what an
exported library promises, so it is the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A kind of processor. Sizes are in bytes, of caches as far as one thread can count on them.

    Which machine it is decides how fast a program is, and never a bit of its results: the shapes
    of reductions and the blocks of products are constants of the dtype (numerics.md).
    """

    family: str
    """The row of the table."""
    cpu: str
    """The processor by LLVM's name."""
    features: str = ""
    """LLVM's list (``+avx2,-avx512f,…``); empty where the processor's name says it all."""
    level: int
    """The level of x86-64 that a processor must have to run code for this one."""

    # Registers and instructions.
    instruction_set: InstructionSet = "generic"
    vector_bytes: int
    vector_registers: int
    pointer_registers: int = 16
    masked_sizes: tuple[int, ...] = (4, 8)
    """Sizes of the elements of which some lanes can be loaded and stored, and the others not."""
    masks_are_free: bool = False
    """Whether vectors are loaded under masks as fast as without."""
    joined_sizes: tuple[int, ...] = ()
    """Sizes of the elements of which one instruction takes any run out of two vectors."""
    fma_sizes: tuple[int, ...] = (4, 8)
    """Sizes of the floats that one instruction multiplies and adds, rounding once."""
    root_sizes: tuple[int, ...] = (4, 8)
    """Sizes of the floats that one instruction takes the square root of."""
    rounding_sizes: tuple[int, ...] = (4, 8)
    """Sizes of the floats that one instruction, or a few, round to an integer."""
    passes_caches: bool = True
    """Whether there are stores that leave the caches as they are."""
    fma_latency: int = 4
    fmas_per_cycle: int = 2
    loads_per_cycle: int = 2
    division: tuple[float, float] = (5, 8)
    root: tuple[float, float] = (6, 12)
    """Cycles between the begins of two divisions, or roots, of vectors of float32, and of float64;
    ``costs`` has the rest."""
    integer_division: float = 7
    """Cycles of the division of two integers."""
    overlap_bytes: int = 64
    """How much of the vectors of a math function is to be under way, for it is a long chain of
    instructions and the processor looks ahead no further than into the next one."""

    light_cycles: float = 5
    """What an iteration of a loop may take so that two of them in one are faster: the processor
    overlaps iterations by itself, but each has its end to find."""

    # Memory.
    line_bytes: int = 64
    page_bytes: int = 4096
    l1_bytes: int = 32 << 10
    l1_ways: int = 8
    kept_bytes: int = 256 << 10
    """What stays in the L2 cache, or on its way there, while other data stream past it."""
    distant_bytes: int = 1 << 20
    """An array of this size is not in the L2 cache when its turn comes."""
    last_cache_bytes: int = 16 << 20
    """An array of this size comes from memory when its turn comes."""
    ahead_bytes: int = 256
    """How far ahead memory is asked for in rows that are too many for the hardware to follow."""
    reach_steps: int = 32
    """Steps of a matrix kernel between asking memory for a row and using it."""
    streams: int = 4
    """Places of memory that are read at once faster than one after the other."""

    # Threads.
    fork_cycles: int = 16_000
    """Cycles of work from which a loop is faster on two threads than on one: half of them go by
    while the loop is handed over, and while one thread waits for the other."""
    line_cycles: int = 40
    """What a cache line costs that another CPU has written, where many are read in a row."""

    # The system.
    target: Target = X86_64_LINUX
    has_threads: bool = True
    """Whether calls may run on several threads at once."""
    unaligned: bool = True
    """Whether elements are read and written at any address. Where they are not, callers align what
    they pass, which libraries check."""
    stack_bytes: int = 16 << 10
    """Scratch memory that one loop nest may take from the stack."""

    @property
    def has_many_registers(self) -> bool:
        """Whether there is room for tiles that read each operand of a product only once."""
        return self.vector_registers >= 32

    @property
    def tile_registers(self) -> int:
        """Registers for the sums and operands of a tile, which is small where the registers are
        those of a function that multiplies and adds."""
        return self.vector_registers if self.fma_sizes else min(self.vector_registers, 6)

    @property
    def sums_under_way(self) -> int:
        """Chains of multiply-additions that keep the processor busy."""
        return self.fmas_per_cycle * self.fma_latency

    def lanes(self, dtype: DType) -> int:
        """Elements of that dtype in a vector; one where there are no vectors of them."""
        return max(1, self.vector_bytes // dtype.itemsize)

    def alignment(self, dtype: DType) -> int:
        """What the address of an element is a multiple of."""
        return 1 if self.unaligned else dtype.itemsize

    def __str__(self) -> str:
        return self.cpu
