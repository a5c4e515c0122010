"""The machines there are, one row per family and level, and the one that a processor is.

A new processor is a name in ``_NAMES``; a family that wants numbers of its own is a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from nets.errors import CompileError
from nets.machine.families import family_machine
from nets.machine.machine import Machine
from nets.machine.targets import Target

V2: Final = Machine(
    family="x86-64-v2",
    cpu="x86-64-v2",
    level=2,
    vector_bytes=16,
    vector_registers=16,
    masked_sizes=(),
    fma_sizes=(),
    fma_latency=8,
    fmas_per_cycle=1,
    division=(8, 14),
    root=(10, 18),
)
"""Any processor with SSE4.2: it multiplies, then adds, and its vectors are whole ones."""

V3: Final = Machine(
    family="x86-64-v3",
    cpu="x86-64-v3",
    level=3,
    instruction_set="avx2",
    vector_bytes=32,
    vector_registers=16,
)
"""Any processor with AVX2 and FMA."""

V4: Final = replace(
    V3,
    family="x86-64-v4",
    cpu="x86-64-v4",
    level=4,
    instruction_set="avx512",
    vector_bytes=64,
    vector_registers=32,
    masks_are_free=True,
    joined_sizes=(4, 8),
    division=(10, 16),
    root=(12, 24),
    light_cycles=20,
    distant_bytes=2 << 20,
)
"""Any processor with AVX-512 with all of F, BW, DQ and VL."""

BASE: Final = replace(V2, family="x86-64", cpu="x86-64", level=1)
"""Any processor of the architecture: of the code that chooses among levels, no product among it."""

LEVELS: Final = (V2, V3, V4)
"""The levels of x86-64, the least one first."""

ZEN_3: Final = replace(V3, family="Zen 3", cpu="znver3", division=(3.5, 5.5), root=(5.5, 9.5))
ZEN_4: Final = replace(V4, family="Zen 4, Zen 5", cpu="znver4", division=(7, 10), root=(10, 17))
SKYLAKE_X: Final = replace(V4, family="Skylake-X, Ice Lake", cpu="skylake-avx512")
SAPPHIRE_RAPIDS: Final = replace(V4, family="Sapphire Rapids", cpu="sapphirerapids")

ROWS: Final = (V2, V3, V4, ZEN_3, ZEN_4, SKYLAKE_X, SAPPHIRE_RAPIDS)

_NAMES: Final[Mapping[Machine, tuple[str, ...]]] = {
    V2: (
        *("x86-64-v2", "nehalem", "westmere", "sandybridge", "ivybridge"),
        *("silvermont", "goldmont", "goldmont-plus", "tremont", "btver2"),
    ),
    V3: (
        *("x86-64-v3", "haswell", "broadwell", "skylake", "alderlake", "raptorlake", "meteorlake"),
        *("arrowlake", "arrowlake-s", "lunarlake", "gracemont", "sierraforest"),
        *("znver1", "znver2"),
    ),
    ZEN_3: ("znver3",),
    V4: ("x86-64-v4",),
    SKYLAKE_X: (
        *("skylake-avx512", "cascadelake", "cooperlake", "cannonlake", "icelake-client"),
        *("icelake-server", "tigerlake", "rocketlake"),
    ),
    SAPPHIRE_RAPIDS: ("sapphirerapids", "emeraldrapids", "graniterapids"),
    ZEN_4: ("znver4", "znver5"),
}
"""LLVM's names of the processors of a row."""

_ROW_OF: Final = {name: row for row, names in _NAMES.items() for name in names}

_LEVELS: Final = (
    (V4, ("avx512f", "avx512bw", "avx512dq", "avx512vl")),
    (V3, ("avx2", "fma")),
    (V2, ("sse4.2", "popcnt")),
)
"""The generic machines, the best one first, and the features that each must have."""


def machine_named(cpu: str) -> Machine:
    """The machine of that name in LLVM, such as ``x86-64-v3`` or ``znver3``.

    CompileError where nets does not know it, or it has no SSE4.2.
    """
    # The names are listed here since LLVM ends the process over a name it does not know.
    if cpu not in _ROW_OF:
        raise CompileError(
            f"nets does not compile for the CPU {cpu!r}; it needs one with SSE4.2 out of "
            f"{', '.join(_ROW_OF)}"
        )
    return replace(_ROW_OF[cpu], cpu=cpu)


_SMALL_STACK: Final = 1 << 10
"""Scratch memory on the stack of Windows, where a frame of more than a page calls the C library."""


def machine_for(target: Target, cpu: str) -> Machine:
    """The machine of a target, for one of its processors; the empty name is for any of them.

    CompileError where nets does not know the processor.
    """
    if target.architecture != "x86-64":
        return family_machine(target, cpu)
    return machine_on(target, machine_named(cpu or V3.cpu))


def machine_on(target: Target, machine: Machine) -> Machine:
    """A machine of x86-64 with the system of that target."""
    machine = replace(machine, target=target)
    return replace(machine, stack_bytes=_SMALL_STACK) if target.format == "coff" else machine


def is_of_x86(cpu: str) -> bool:
    """Whether it is LLVM's name of a processor of x86-64 that nets knows."""
    return cpu in _ROW_OF


def machine_with(cpu: str, features: Mapping[str, bool]) -> Machine:
    """The machine that a processor is: its name in LLVM, and whether it has each feature.

    A name that nets does not know is a machine of its level; so is one that lacks what others of
    its name have, as under a hypervisor that hides it. CompileError without SSE4.2.
    """
    generic = _best_level(features)
    named = _ROW_OF.get(cpu, generic)
    row = named if named.level == generic.level else generic
    words = ",".join(("+" if on else "-") + name for name, on in sorted(features.items()))
    return replace(row, cpu=cpu, features=words)


def _best_level(features: Mapping[str, bool]) -> Machine:
    for machine, needed in _LEVELS:
        missing = [feature for feature in needed if not features.get(feature)]
        if not missing:
            return machine
    raise CompileError(f"nets needs a CPU with SSE4.2; this one lacks {missing[0]}")
