"""Targets: systems that code is made for, and the spellings of their names.

A target says what a file of code looks like and how functions are called; which instructions it is
made of, the machine (``machine.py``) says. All are little-endian.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Final, Literal

from nets.errors import CompileError

Architecture = Literal["x86-64", "aarch64", "riscv64", "arm", "thumb", "wasm32"]
FileFormat = Literal["elf", "coff", "macho", "wasm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A system, as a compiler's triple names it."""

    name: str
    triple: str
    """LLVM's name."""
    architecture: Architecture
    format: FileFormat = "elf"
    suffix: str = "so"
    """Of shared libraries; empty where there are none."""
    pointer_bytes: int = 8
    abi: str = ""
    """LLVM's name of the way functions are called, where the triple leaves it open."""
    systems: tuple[str, ...] = ()
    """Words for the system, one of which a spelling of the name has; none where there is no other
    target of the architecture."""
    words: tuple[str, ...] = ()
    """Words for the rest, which a spelling may have."""

    @property
    def word(self) -> str:
        """The integer of LLVM that has the size of a pointer, C's ``size_t``."""
        return f"i{8 * self.pointer_bytes}"

    @property
    def is_bare(self) -> bool:
        """Whether there is no system that loads programs: they are linked to addresses."""
        return not self.suffix

    def __str__(self) -> str:
        return self.name


X86_64_LINUX: Final = Target(
    name="x86_64-linux-gnu",
    triple="x86_64-unknown-linux-gnu",
    architecture="x86-64",
    systems=("linux",),
    words=("gnu", "musl"),
)
AARCH64_LINUX: Final = Target(
    name="aarch64-linux-gnu",
    triple="aarch64-unknown-linux-gnu",
    architecture="aarch64",
    systems=("linux",),
    words=("gnu", "musl"),
)
RISCV64_LINUX: Final = Target(
    name="riscv64-linux-gnu",
    triple="riscv64-unknown-linux-gnu",
    architecture="riscv64",
    abi="lp64d",
    systems=("linux",),
    words=("gnu", "musl"),
)
ARMV7_LINUX: Final = Target(
    name="armv7-linux-gnueabihf",
    triple="armv7-unknown-linux-gnueabihf",
    architecture="arm",
    pointer_bytes=4,
    systems=("linux",),
    words=("gnueabihf", "musleabihf"),
)
X86_64_WINDOWS: Final = Target(
    name="x86_64-windows-gnu",
    triple="x86_64-w64-windows-gnu",
    architecture="x86-64",
    format="coff",
    suffix="dll",
    systems=("windows", "win", "mingw"),
    words=("gnu", "msvc"),
)
AARCH64_MACOS: Final = Target(
    name="aarch64-macos",
    triple="arm64-apple-macosx11.0.0",
    architecture="aarch64",
    format="macho",
    suffix="dylib",
    systems=("macos", "macosx", "darwin"),
    words=("none",),
)
X86_64_MACOS: Final = Target(
    name="x86_64-macos",
    triple="x86_64-apple-macosx10.15.0",
    architecture="x86-64",
    format="macho",
    suffix="dylib",
    systems=("macos", "macosx", "darwin"),
    words=("none",),
)
WASM32: Final = Target(
    name="wasm32",
    triple="wasm32-unknown-unknown",
    architecture="wasm32",
    format="wasm",
    suffix="wasm",
    pointer_bytes=4,
    words=("wasi", "wasip", "emscripten", "none"),
)
CORTEX_M4: Final = Target(
    name="thumbv7em-none-eabihf",
    triple="thumbv7em-none-unknown-eabihf",
    architecture="thumb",
    suffix="",
    pointer_bytes=4,
    systems=("none",),
    words=("elf", "eabihf"),
)
CORTEX_M0: Final = Target(
    name="thumbv6m-none-eabi",
    triple="thumbv6m-none-unknown-eabi",
    architecture="thumb",
    suffix="",
    pointer_bytes=4,
    systems=("none",),
    words=("elf", "eabi"),
)

TARGETS: Final = (
    *(X86_64_LINUX, AARCH64_LINUX, RISCV64_LINUX, ARMV7_LINUX),
    *(X86_64_WINDOWS, X86_64_MACOS, AARCH64_MACOS),
    *(WASM32, CORTEX_M4, CORTEX_M0),
)

_OTHER_HEADS: Final = {
    "x86_64": ("x64", "amd64"),
    "aarch64": ("arm64", "armv8", "armv8a"),
    "riscv64": ("riscv64gc", "rv64gc"),
    "armv7": ("armv7a", "armv7l", "armv7hf", "arm"),
    "wasm32": (),
    "thumbv7em": ("armv7em",),
    "thumbv6m": ("armv6m",),
}
"""Other words for the first part of a target's name."""

_VENDORS: Final = frozenset(("unknown", "pc", "apple", "w64", "raspbian", "debian"))
"""What may stand in a triple and says nothing."""


def target_named(name: str) -> Target:
    """The target that a triple means, in any of its usual spellings.

    CompileError where nets does not know it.
    """
    first, *rest = name.strip().lower().replace("x86-64", "x86_64").split("-")
    # Without versions: macosx11.0, mingw32, wasip1.
    said = {re.sub(r"[0-9.]+$", "", word) for word in rest if word not in _VENDORS}
    for target in TARGETS:
        head = target.name.partition("-")[0]
        if (first == head or first in _OTHER_HEADS[head]) and _means(target, said):
            return target
    raise CompileError(
        f"nets does not make code for the target {name!r}; it does for "
        f"{', '.join(target.name for target in TARGETS)}"
    )


def native_target() -> Target:
    """That of this process. CompileError where nets does not know it."""
    return target_named(f"{platform.machine()}-{platform.system()}")


def _means(target: Target, said: set[str]) -> bool:
    is_its_system = not target.systems or bool(said & set(target.systems))
    return is_its_system and said <= {*target.systems, *target.words}
