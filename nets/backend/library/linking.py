"""Linking: the shared library of an object, by a C compiler or a linker for the target."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nets.backend.library.binary import is_native
from nets.backend.library.interface import global_symbols
from nets.backend.library.library_file import sealed
from nets.backend.library.manifest import Library
from nets.errors import CompileError, ExportError
from nets.machine.targets import (
    AARCH64_LINUX,
    AARCH64_MACOS,
    ARMV7_LINUX,
    RISCV64_LINUX,
    WASM32,
    X86_64_LINUX,
    X86_64_MACOS,
    X86_64_WINDOWS,
    Target,
    target_named,
)

_OTHER_FORMATS: Final = 'or export with formats=("a", "o", "h"), which need none'

_GCC: Final = {
    X86_64_LINUX: ("x86_64-linux-gnu-gcc",),
    AARCH64_LINUX: ("aarch64-linux-gnu-gcc",),
    RISCV64_LINUX: ("riscv64-linux-gnu-gcc",),
    ARMV7_LINUX: ("arm-linux-gnueabihf-gcc", "armv7-linux-gnueabihf-gcc"),
    X86_64_WINDOWS: ("x86_64-w64-mingw32-gcc",),
}
"""What the C compilers for a target are called."""

_LLD: Final = {
    **dict.fromkeys((X86_64_LINUX, AARCH64_LINUX, RISCV64_LINUX), "ld.lld"),
    **dict.fromkeys((AARCH64_MACOS, X86_64_MACOS), "ld64.lld"),
    WASM32: "wasm-ld",
}
"""Linkers of LLVM that need nothing beside them. The code for ARMv7 needs functions of a compiler,
that for Windows a list of what the system has."""

_ZIG: Final = {
    X86_64_LINUX: "x86_64-linux-gnu",
    AARCH64_LINUX: "aarch64-linux-gnu",
    RISCV64_LINUX: "riscv64-linux-gnu",
    ARMV7_LINUX: "arm-linux-gnueabihf",
    AARCH64_MACOS: "aarch64-macos",
    X86_64_MACOS: "x86_64-macos",
}
"""Zig's names of the targets it links for in seconds: for Windows it would build a C library first.
For WebAssembly it brings LLVM's linker."""


@dataclass(frozen=True, slots=True)
class Linker:
    """A command that links for a target, and where it comes from."""

    command: tuple[str, ...]
    target: Target
    options: Callable[[Path, Path, str, Sequence[str]], list[str]]
    """What stands behind the command: for an object, a result, the name of the library's file and
    its symbols."""
    origin: str = ""

    def linked(self, code: bytes, library: Library, file: str, aside: Path) -> bytes:
        """The shared library of an object, with its manifest where ``nets.load`` finds it."""
        source, result = aside / "linked.o", aside / f"linked.{self.target.suffix}"
        source.write_bytes(code)
        symbols = global_symbols(library)
        self._run([*self.command, *self.options(source, result, Path(file).name, symbols)], file)
        found = result.read_bytes() if result.is_file() else b""
        try:
            return sealed(found, library.to_json().encode(), self.target)
        except ValueError:
            raise ExportError(
                f"{self} ended without an error, but not with the library {file}; "
                f"set CC to a C compiler, {_OTHER_FORMATS}"
            ) from None

    def _run(self, command: Sequence[str], file: str) -> None:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except OSError as error:
            raise ExportError(
                f"{self} cannot be run to link {file}: {error.strerror}; set CC to a C "
                f"compiler, {_OTHER_FORMATS}"
            ) from None
        if done.returncode != 0:
            said = (
                done.stderr.decode(errors="replace").strip() or f"it exited with {done.returncode}"
            )
            raise ExportError(
                f"{self} could not link {file}; set CC to a C compiler that links shared "
                f"libraries, {_OTHER_FORMATS}. It said:\n{said}"
            )

    def __str__(self) -> str:
        return f"{self.origin}{shlex.join(self.command)}"


def linker_for(target: Target, base: Path) -> Linker:
    """What links ``base`` with the suffix of the target. ExportError where there is nothing."""
    if target.is_bare:
        raise ExportError(f"{target} has no shared libraries; link {base}.a with your program")
    file = f"{base}.{target.suffix}"
    if is_native(target):
        origin, command = _system_compiler(file)
        return Linker(tuple(command), target, _compiler_options(target), origin)
    found = next(_cross_linkers(target), None)
    if found is None:
        names = [*_GCC.get(target, ()), *([_LLD[target]] if target in _LLD else [])]
        by_zig = target in _ZIG or target is WASM32
        names += ["the package ziglang (the extra cross of nets)"] * by_zig
        raise ExportError(
            f"there is nothing to link {file} with; install one of {', '.join(names)}, or export "
            'with formats=("a", "o", "h")'
        )
    return found


# --------------------------------------------------------------------- this system's compiler


def _system_compiler(file: str) -> tuple[str, list[str]]:
    """The command of a C compiler, CC, or what the system calls cc, gcc or clang; where from."""
    given = _given()
    if not given:
        found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if found is None:
            raise ExportError(
                f"no C compiler to link {file} with; install one, set CC to it, {_OTHER_FORMATS}"
            )
        return "", [found]
    words = _words(given)
    if shutil.which(words[0]) is None:
        raise ExportError(
            f"there is no program {words[0]!r} to link {file} with, which CC names; set CC to a C "
            f"compiler, unset it to take cc, {_OTHER_FORMATS}"
        )
    return "CC=", words


def _given() -> str:
    return os.environ.get("CC", "").strip()


def _words(command: str) -> list[str]:
    try:
        return [command] if shutil.which(command) else shlex.split(command)
    except ValueError:  # a quotation mark alone
        return [command]


# ------------------------------------------------------------------- linkers for other systems


def _cross_linkers(target: Target) -> Iterator[Linker]:
    """What links for another system here: CC where it compiles for that, a compiler that is called
    so, LLVM's linker, zig."""
    given = _words(_given()) if _given() else []
    if given and _compiles_for(given, target):
        yield Linker(tuple(given), target, _compiler_options(target), "CC=")
    for name in filter(shutil.which, _GCC.get(target, ())):
        yield Linker((name,), target, _compiler_options(target))
    lld = _lld(target)
    if lld:
        yield Linker((lld,), target, _linker_options(target))
    zig = _zig()
    if zig and target in _ZIG:
        yield Linker((*zig, "cc", "-target", _ZIG[target]), target, _compiler_options(target))
    elif zig and target is WASM32:
        yield Linker((*zig, "wasm-ld"), target, _linker_options(target))


def _lld(target: Target) -> str:
    """LLVM's linker for the target, which systems may have under the number of its version."""
    word = _LLD.get(target)
    names = (word, *(f"{word}-{version}" for version in range(30, 12, -1))) if word else ()
    return next(filter(shutil.which, names), "")


def _compiles_for(command: Sequence[str], target: Target) -> bool:
    """Whether a C compiler says that it is one for the target."""
    try:
        said = subprocess.run(
            [*command, "-dumpmachine"], stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
        return target_named(said.stdout.decode()) == target
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError, CompileError):
        return False


def _zig() -> tuple[str, ...]:
    """The command of zig: that of the package ``ziglang``, or an installed one."""
    if importlib.util.find_spec("ziglang") is not None:
        return sys.executable, "-m", "ziglang"
    found = shutil.which("zig")
    return (found,) if found else ()


# ----------------------------------------------------------------------------------- options

_ELF: Final = ("-z", "noexecstack", "-z", "relro", "-z", "now", "--build-id=none", "-s")


def _compiler_options(
    target: Target,
) -> Callable[[Path, Path, str, Sequence[str]], list[str]]:
    """The options of a C compiler that links for the target."""

    def options(source: Path, result: Path, name: str, symbols: Sequence[str]) -> list[str]:
        command = ["-shared", "-nostdlib", "-o", str(result), str(source)]
        match target.format:
            case "coff":
                exports = source.with_suffix(".def")
                head = f'LIBRARY "{name}"'  # what programs that are linked with it ask for
                exports.write_text("\n".join([head, "EXPORTS", *symbols, ""]))
                return [*command, str(exports), "-lmsvcrt", "-s"]
            case "macho":
                return [*command, "-lSystem", "-Xlinker", "-install_name", f"-Wl,@rpath/{name}"]
            case _:
                # Compilers for other systems may come without the C library, which any program has.
                command += ["-lc"] if is_native(target) else []
                command += ["-lgcc"] if target is ARMV7_LINUX else []
                for option in [*_ELF, "-soname", name]:
                    command += ["-Xlinker", option]
                return command

    return options


def _linker_options(
    target: Target,
) -> Callable[[Path, Path, str, Sequence[str]], list[str]]:
    """The options of LLVM's linker for the target."""

    def options(source: Path, result: Path, name: str, symbols: Sequence[str]) -> list[str]:
        command = ["-o", str(result), str(source)]
        match target.format:
            case "wasm":
                exports = [f"--export={symbol}" for symbol in (*symbols, "__heap_base")]
                if any(symbol.endswith("_set_print") for symbol in symbols):
                    exports += ["--export-table", "--growable-table"]  # of functions that print
                return [*command, "--no-entry", "--strip-all", "--stack-first", *exports]
            case "macho":
                system = source.with_suffix(".tbd")
                system.write_text(_SYSTEM.format(word=_MACOS[target][0]))
                return [
                    *command,
                    *_MACOS[target][1],
                    "-install_name",
                    f"@rpath/{name}",
                    str(system),
                ]
            case _:
                return [*command, "-shared", *_ELF, "-soname", name]

    return options


_MACOS: Final = {
    AARCH64_MACOS: (
        "arm64-macos",
        ("-dylib", "-arch", "arm64", "-platform_version", "macos", "11.0", "11.0"),
    ),
    X86_64_MACOS: (
        "x86_64-macos",
        ("-dylib", "-arch", "x86_64", "-platform_version", "macos", "10.15", "10.15"),
    ),
}
"""What the system is called in lists of what it has, and for its linker."""

_SYSTEM: Final = """\
--- !tapi-tbd
tbd-version: 4
targets: [ {word} ]
install-name: '/usr/lib/libSystem.B.dylib'
exports:
  - targets: [ {word} ]
    symbols: [ _memcpy, _memmove, _memset, _bzero, dyld_stub_binder ]
...
"""
"""The C library of macOS, as far as code calls it."""
