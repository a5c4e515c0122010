"""The machines that are no x86-64: what a generic processor of each family is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from nets.errors import CompileError
from nets.machine.machine import Machine
from nets.machine.targets import (
    AARCH64_LINUX,
    AARCH64_MACOS,
    ARMV7_LINUX,
    CORTEX_M0,
    CORTEX_M4,
    RISCV64_LINUX,
    WASM32,
    Target,
)

NEON: Final = Machine(
    family="ARMv8",
    cpu="generic",
    level=0,
    vector_bytes=16,
    vector_registers=32,
    pointer_registers=24,
    masked_sizes=(),
    passes_caches=False,
    division=(5, 10),
    root=(5, 12),
    l1_ways=4,
    target=AARCH64_LINUX,
)
"""Any 64-bit processor of Arm: vectors of 16 bytes. SVE is not used."""

APPLE: Final = replace(
    NEON,
    family="Apple silicon",
    cpu="apple-m1",
    fmas_per_cycle=4,
    loads_per_cycle=3,
    line_bytes=128,
    page_bytes=16 << 10,
    l1_bytes=128 << 10,
    l1_ways=8,
    kept_bytes=2 << 20,
    distant_bytes=8 << 20,
    target=AARCH64_MACOS,
)

RISCV64: Final = Machine(
    family="RV64GC",
    cpu="generic-rv64",
    features="+m,+a,+f,+d,+c",
    level=0,
    vector_bytes=0,
    vector_registers=32,
    pointer_registers=24,
    masked_sizes=(),
    passes_caches=False,
    fma_latency=5,
    fmas_per_cycle=1,
    loads_per_cycle=1,
    division=(15, 25),
    root=(15, 25),
    integer_division=20,
    unaligned=False,
    target=RISCV64_LINUX,
)
"""Any 64-bit processor of RISC-V that runs Linux. Its vector extension is not used."""

ARMV7: Final = Machine(
    family="ARMv7 with VFPv4",
    cpu="cortex-a7",
    features="-neon",
    level=0,
    vector_bytes=0,
    vector_registers=16,
    pointer_registers=10,
    masked_sizes=(),
    rounding_sizes=(),
    passes_caches=False,
    fma_latency=8,
    fmas_per_cycle=1,
    loads_per_cycle=1,
    division=(15, 30),
    root=(15, 30),
    integer_division=10,
    unaligned=False,
    target=ARMV7_LINUX,
)
"""A 32-bit processor of Arm with fused multiply-add. Its vectors flush subnormal numbers to zero,
so they are not used."""

WASM: Final = Machine(
    family="WebAssembly",
    cpu="generic",
    level=0,
    vector_bytes=0,
    vector_registers=16,
    masked_sizes=(),
    fma_sizes=(),
    passes_caches=False,
    target=WASM32,
    has_threads=False,
)
"""What every engine of today runs: WebAssembly 2.0 without vectors."""

SIMD128: Final = replace(
    WASM, family="WebAssembly with vectors", features="+simd128", vector_bytes=16
)
"""The fixed-width vectors of WebAssembly 2.0, which browsers have since 2021 (Safari: 2023)."""

M4: Final = Machine(
    family="Cortex-M4",
    cpu="cortex-m4",
    level=0,
    vector_bytes=0,
    vector_registers=32,
    pointer_registers=8,
    masked_sizes=(),
    fma_sizes=(4,),
    root_sizes=(4,),
    rounding_sizes=(),
    passes_caches=False,
    fma_latency=3,
    fmas_per_cycle=1,
    loads_per_cycle=1,
    division=(14, 100),
    root=(14, 200),
    integer_division=6,
    line_bytes=32,
    l1_bytes=16 << 10,
    kept_bytes=16 << 10,
    distant_bytes=64 << 10,
    last_cache_bytes=256 << 10,
    target=CORTEX_M4,
    has_threads=False,
    unaligned=False,
    stack_bytes=256,
)
"""A microcontroller with the floating-point unit of single precision."""

M7: Final = replace(
    M4,
    family="Cortex-M7",
    cpu="cortex-m7",
    fma_sizes=(4, 8),
    root_sizes=(4, 8),
    rounding_sizes=(4, 8),
    division=(14, 28),
    root=(14, 28),
)
"""One with that of double precision."""

M0: Final = replace(
    M4,
    family="Cortex-M0+",
    cpu="cortex-m0plus",
    vector_registers=4,
    pointer_registers=4,
    fma_sizes=(),
    root_sizes=(),
    division=(150, 300),
    root=(300, 600),
    integer_division=50,
    target=CORTEX_M0,
)
"""A microcontroller without floating-point unit, division and unaligned access."""

FAMILIES: Final = (NEON, APPLE, RISCV64, ARMV7, WASM, SIMD128, M4, M7, M0)

_ARMV8: Final = (
    *("generic", "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72", "cortex-a73"),
    *("cortex-a76", "cortex-a78", "cortex-x1", "neoverse-n1", "neoverse-n2", "neoverse-v1"),
    *("neoverse-v2", "ampere1"),
)

_CPUS: Final[Mapping[Target, Mapping[str, Machine]]] = {
    AARCH64_LINUX: {
        **dict.fromkeys(_ARMV8, NEON),
        "apple-m1": replace(APPLE, target=AARCH64_LINUX),
    },
    AARCH64_MACOS: dict.fromkeys(("apple-m1", "apple-m2", "apple-m3", "apple-m4"), APPLE),
    RISCV64_LINUX: {"generic-rv64": RISCV64},
    ARMV7_LINUX: dict.fromkeys(("cortex-a7", "cortex-a15", "cortex-a17"), ARMV7),
    WASM32: {"generic": WASM, "simd128": SIMD128},
    CORTEX_M4: {"cortex-m4": M4, "cortex-m7": M7},
    CORTEX_M0: {"cortex-m0plus": M0, "cortex-m0": M0},
}
"""The processors of each target by LLVM's names, but for WebAssembly, the default one first."""


def processors(target: Target) -> tuple[str, ...]:
    """The names of the processors of a target that is no x86-64."""
    return tuple(_CPUS.get(target, ()))


def family_machine(target: Target, cpu: str) -> Machine:
    """The machine of a target that is no x86-64, for one of its processors; the empty name is for
    any of them. CompileError where nets does not know the processor."""
    known = _CPUS[target]
    name = cpu or next(iter(known))
    if name not in known:
        raise CompileError(
            f"nets does not compile for the CPU {cpu!r} of {target}; it does for {', '.join(known)}"
        )
    row = known[name]
    return row if row.target == WASM32 else replace(row, cpu=name)
