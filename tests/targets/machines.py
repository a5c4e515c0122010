"""Machines that the tests run programs on: what compiles for them, and what emulates them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.targets.programs import FEW, PROGRAMS

_LINUX = """
static long call(long number, long a, long b, long c) {
%s
}
void put(char letter) { call(%d, 1, (long)&letter, 1); }
void _start(void) { run(); call(%d, 0, 0, 0); }
"""

_AARCH64 = _LINUX % (
    """    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;""",
    64,
    93,
)
_RISCV64 = _LINUX % (
    """    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;""",
    64,
    93,
)
_ARMV7 = _LINUX % (
    """    register long r7 __asm__("r7") = number;
    register long r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
    return r0;""",
    4,
    1,
)
_WINDOWS = """
#include <stdio.h>
void put(char letter) { putchar(letter); }
int main(void) { run(); return 0; }
"""
_CORTEX = """
/* Semihosting: the debugger, here the emulator, writes and ends the program. */
static int host(int number, const void *argument) {
    register int r0 __asm__("r0") = number;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
void put(char letter) { host(3, &letter); }
static void start(void) {
#ifdef __ARM_FP
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20; /* the floating-point unit is on */
#endif
    *(volatile uint32_t *)0xe000ed14 |= 8; /* what is not aligned traps */
    run();
    host(0x18, (void *)0x20026);
    for (;;) {}
}
extern char stack_top;
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    &stack_top, (void *)start, (void *)start, (void *)start};
"""
_CORTEX_LAYOUT = """
SECTIONS {
    . = 0x0;
    .text : { KEEP(*(.vectors)) *(.text* .rodata*) }
    .ARM.exidx : { *(.ARM.exidx*) }
    . = 0x20000000;
    .data : { *(.data*) }
    .bss : { *(.bss* COMMON) }
    . = ALIGN(8) + 0x1800;
    stack_top = .;
}
"""

_MEMORY = """
void *memcpy(void *to, const void *from, size_t size) {
    char *t = to; const char *f = from;
    while (size--) *t++ = *f++;
    return to;
}
void *memmove(void *to, const void *from, size_t size) {
    char *t = to; const char *f = from;
    if (t < f) while (size--) *t++ = *f++;
    else while (size--) t[size] = f[size];
    return to;
}
void *memset(void *to, int byte, size_t size) {
    char *t = to;
    while (size--) *t++ = byte;
    return to;
}
"""
"""The part of the C library that a library may need."""

_ARM_MEMORY = """
int raise(int signal) { return signal; }
void __aeabi_memcpy(void *to, const void *from, size_t size) { memcpy(to, from, size); }
void __aeabi_memmove(void *to, const void *from, size_t size) { memmove(to, from, size); }
void __aeabi_memset(void *to, size_t size, int byte) { memset(to, byte, size); }
void __aeabi_memclr(void *to, size_t size) { memset(to, 0, size); }
"""


@dataclass(frozen=True)
class Emulated:
    """A machine of a target: its compiler, what runs programs, and how these begin and end."""

    target: str
    compiler: str
    emulator: tuple[str, ...]
    start: str
    cpu: str | None = None
    options: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    """How programs that are linked to shared libraries are run."""
    programs: tuple[str, ...] = ()

    def skip_unless_there(self) -> None:
        """Skips the test that asks, where the compiler or the emulator is missing."""
        for program in (self.compiler, self.emulator[0]):
            if shutil.which(program) is None:
                pytest.skip(f"no {program}")

    def run(self, folder: Path, caller: Path, library: Path) -> list[str]:
        """The lines that a program prints that is linked to a library."""
        is_shared = library.suffix not in (".a", ".o")
        has_libc = "stdio.h" in self.start
        main = folder / "main.c"
        parts = [f'#include "{caller.name}"', self.start, "" if has_libc else _MEMORY]
        main.write_text("\n".join([*parts, _ARM_MEMORY if "arm" in self.compiler else ""]))
        for name, text in self.files.items():
            (folder / name).write_text(text)
        command = [self.compiler, "-std=gnu11", "-O1", "-fno-builtin", *self.options]
        command += [] if has_libc else ["-ffreestanding", "-nostdlib"]
        if not has_libc:
            command += ["-Wl,-rpath,$ORIGIN", "-rdynamic"] if is_shared else ["-static"]
        _done([*command, "-o", "program.exe", main.name, library.name, "-lgcc"], folder)
        emulator = [*self.emulator, *self.shared * is_shared]
        return _done([*emulator, "./program.exe"], folder).splitlines()


def _done(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stderr[-3000:], done.stdout[-1000:])
    return done.stdout


_WINE = shutil.which("wine64") or "/usr/lib/wine/wine64"
ENVIRONMENT = {
    "WINEPREFIX": str(Path(tempfile.gettempdir()) / "nets-wine"),  # made once, which takes long
    "WINEDEBUG": "-all",
    "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=d",
    **os.environ,
}


_CONSOLE = (
    *("-display", "none", "-monitor", "none", "-serial", "none", "-chardev", "stdio,id=console"),
    *("-semihosting-config", "enable=on,target=native,chardev=console"),
)


def _linux(architecture: str, start: str, programs: tuple[str, ...], *options: str) -> Emulated:
    triple = "arm-linux-gnueabihf" if architecture == "arm" else f"{architecture}-linux-gnu"
    return Emulated(
        "armv7-linux-gnueabihf" if architecture == "arm" else triple,
        f"{triple}-gcc",
        (f"qemu-{architecture}",),
        start,
        options=options,
        shared=("-L", f"/usr/{triple}"),
        programs=programs,
    )


def _cortex(
    target: str, cpu: str, board: str, programs: tuple[str, ...], *options: str
) -> Emulated:
    return Emulated(
        target,
        "arm-none-eabi-gcc",
        ("qemu-system-arm", "-M", board, *_CONSOLE, "-kernel"),
        _CORTEX,
        cpu,
        (f"-mcpu={cpu}", "-mthumb", "-T", "layout.ld", *options),
        {"layout.ld": _CORTEX_LAYOUT},
        programs=programs,
    )


_ALL = tuple(PROGRAMS)
_MOST = (
    *("casts", "casts64", "int64s", "chosen", "curves", "curves64", "roundings", "roundings64"),
    *("products", "recurrence64", "network"),
)
_NO_CURVES = tuple(name for name in _MOST if name != "curves64")
"""GCC's addition of doubles on ARMv7-M is wrong in the last bit where a number that is 2^33 times
smaller, or smaller still, is taken from a power of two; tanh does so."""

MACHINES = {
    "aarch64 Linux": _linux("aarch64", _AARCH64, _ALL),
    "riscv64 Linux": _linux("riscv64", _RISCV64, _MOST, "-Wl,--no-relax"),  # nobody sets gp
    "ARMv7 Linux": _linux("arm", _ARMV7, _MOST),
    "Windows": Emulated(
        "x86_64-windows-gnu", "x86_64-w64-mingw32-gcc", (_WINE,), _WINDOWS, programs=FEW
    ),
    "Cortex-M4": _cortex(
        "thumbv7em-none-eabihf",
        "cortex-m4",
        "mps2-an386",
        _NO_CURVES,
        *("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    ),
    "Cortex-M7": _cortex(
        "thumbv7em-none-eabihf",
        "cortex-m7",
        "mps2-an500",
        FEW,
        *("-mfloat-abi=hard", "-mfpu=fpv5-d16"),
    ),
    # A larger board than any with such a processor, which runs the code of those.
    "Cortex-M0+": _cortex("thumbv6m-none-eabi", "cortex-m0plus", "mps2-an385", _ALL),
    "micro:bit": _cortex("thumbv6m-none-eabi", "cortex-m0", "microbit", ("recurrence", "int8s")),
}
"""By what they are called."""
