"""Targets: their names in every spelling, and the machines of each."""

from __future__ import annotations

import struct
from dataclasses import fields

import pytest

from nets.backend.llvm.target import assembly, object_code
from nets.errors import CompileError
from nets.ir.types import f32, f64, i8
from nets.machine.families import FAMILIES, processors
from nets.machine.machine import Machine
from nets.machine.table import V3, V4, machine_for
from nets.machine.targets import TARGETS, X86_64_LINUX, X86_64_WINDOWS, Target, target_named

SPELLINGS = {
    "x86_64-linux-gnu": ("x86_64-unknown-linux-gnu", "x86-64-linux", "amd64-linux-musl"),
    "aarch64-linux-gnu": ("aarch64-unknown-linux-gnu", "arm64-linux", "aarch64-linux-musl"),
    "riscv64-linux-gnu": ("riscv64gc-unknown-linux-gnu", "riscv64-linux"),
    "armv7-linux-gnueabihf": (
        "arm-linux-gnueabihf",
        "armv7-unknown-linux-gnueabihf",
        "armv7-linux",
    ),
    "x86_64-windows-gnu": ("x86_64-pc-windows-msvc", "x86_64-w64-mingw32", "x86_64-windows"),
    "x86_64-macos": ("x86_64-apple-darwin", "x86_64-apple-darwin20.1", "x86_64-macos-none"),
    "aarch64-macos": ("arm64-apple-macosx11.0", "aarch64-apple-darwin", "ARM64-macos"),
    "wasm32": ("wasm32-unknown-unknown", "wasm32-wasip1", "wasm32-unknown-emscripten"),
    "thumbv7em-none-eabihf": ("thumbv7em-none-unknown-eabihf", "thumbv7em-unknown-none-eabihf"),
    "thumbv6m-none-eabi": ("thumbv6m-none-unknown-eabi", "armv6m-none-eabi"),
}

UNKNOWN = (
    *("", "linux", "aarch64", "x86_64", "mips-linux-gnu", "aarch64_be-linux-gnu", "wasm64"),
    *("arm-linux-gnueabi", "thumbv7em-none-eabi", "x86_64-linux-gnux32", "aarch64-windows"),
    *("thumbv6m-none-eabihf", "riscv32-linux", "x86_64-freebsd", "i686-linux-gnu"),
)

HEADS = {"elf": (b"\x7fELF",), "macho": (b"\xcf\xfa\xed\xfe",), "wasm": (b"\0asm",)}


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_every_usual_spelling_names_the_target(target: Target) -> None:
    assert SPELLINGS.keys() == {target.name for target in TARGETS}
    for name in (target.name, target.triple, *SPELLINGS[target.name]):
        assert target_named(name) is target, name


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_names_are_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(CompileError, match=r"for the target .* aarch64-linux-gnu, .* wasm32"):
        target_named(name)


MACHINES = {
    f"{target}, {cpu}": machine_for(target, cpu)
    for target in TARGETS
    for cpu in (processors(target) or ("x86-64-v2", "x86-64-v4"))
}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_llvm_makes_code_for_each_processor(machine: Machine) -> None:
    """It ends the process over a processor that it does not know, and says so of a feature."""
    text = "define i32 @seven() { ret i32 7 }"
    code, target = object_code(text, machine), machine.target
    if target.format == "coff":
        assert struct.unpack_from("<H", code) == (0x8664,)
    else:
        assert code.startswith(HEADS[target.format])
    assert "7" in assembly(text, machine)


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.family)
def test_rows_are_sound(row: Machine) -> None:
    assert row in {machine_for(row.target, cpu) for cpu in processors(row.target)}
    assert (row.level, row.masked_sizes, row.passes_caches) == (0, (), False)
    assert {row.vector_bytes, 16} in ({0, 16}, {16})
    assert row.lanes(f32) == max(1, row.vector_bytes // 4)
    assert (row.alignment(f64), row.alignment(i8)) == (1 if row.unaligned else 8, 1)
    for field in fields(row):
        value = getattr(row, field.name)
        is_size = isinstance(value, int) and not isinstance(value, bool)
        assert not is_size or value > 0 or field.name in ("level", "vector_bytes"), field.name


def test_families_have_names_of_their_own() -> None:
    assert len({row.family for row in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_other_processors_are_refused_with_those_there_are(target: Target) -> None:
    with pytest.raises(CompileError, match="does not compile for the CPU 'z80'"):
        machine_for(target, "z80")


def test_x86_is_the_same_in_every_system() -> None:
    windows = machine_for(X86_64_WINDOWS, "x86-64-v4")
    assert (windows.cpu, windows.vector_bytes) == (V4.cpu, V4.vector_bytes)
    assert windows.stack_bytes < 4096 < V4.stack_bytes  # of a page of a thread's stack
    assert machine_for(X86_64_LINUX, "x86-64-v3") == V3
