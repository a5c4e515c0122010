"""The files of libraries for other systems: their formats, and what is said where one cannot be."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, CompileError, ExportError, LinkWarning, LoadError
from nets.machine.targets import TARGETS, target_named
from tests.targets.callers import manifest

F = nets.trace(lambda x: nets.tanh(x) * 2).lower(np.ones(5, "float32"))
HEADS = {"elf": b"\x7fELF", "macho": b"\xcf\xfa\xed\xfe", "wasm": b"\0asm", "coff": b"\x64\x86"}


@pytest.mark.parametrize("name", [target.name for target in TARGETS])
def test_objects_and_archives_need_no_tools(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    files = nets.export(tmp_path / "lib", target=name, formats=("o", "a", "h"), f=F).files
    code, archive, header = (file.read_bytes() for file in files)
    assert code.startswith(HEADS[target_named(name).format])
    assert archive.startswith(b"!<arch>\n")
    assert code in archive
    assert b"lib_f" in header
    assert [function.name for function in manifest(code).functions] == ["f"]


def test_archives_of_macos_list_their_symbols(tmp_path: Path) -> None:
    files = nets.export(tmp_path / "lib", target="aarch64-macos", formats=("a", "o"), f=F).files
    archive, code = (file.read_bytes() for file in files)
    start = 8 + 60 + int(archive[8:24].decode().removeprefix("#1/"))
    (size,) = struct.unpack_from("<I", archive, start)
    names = archive[start + 8 + size :]
    found = {}
    for i in range(0, size, 8):
        place, member = struct.unpack_from("<II", archive, start + 4 + i)
        found[names[place : names.index(b"\0", place)].decode()] = member
    assert {"_lib_f", "_lib_describe", "_lib_f_workspace_bytes"} <= found.keys()
    (member,) = set(found.values())
    name_bytes = int(archive[member : member + 16].decode().removeprefix("#1/"))
    place = member + 60 + name_bytes
    assert place % 8 == 0
    assert archive[place : place + len(code)] == code


@pytest.fixture
def no_linker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)


@pytest.mark.usefixtures("no_linker")
@pytest.mark.parametrize("name", ["riscv64-linux", "x86_64-windows", "aarch64-macos", "wasm32"])
def test_without_a_linker_the_other_files_are_written(name: str, tmp_path: Path) -> None:
    suffix = target_named(name).suffix
    with pytest.warns(LinkWarning, match=rf"nothing to link .*lib\.{suffix} with; install one of"):
        files = nets.export(tmp_path / "lib", target=name, f=F).files
    assert [file.suffix for file in files] == [".a", ".o", ".h"]
    for formats in ("so", suffix):
        with pytest.raises(ExportError, match="nothing to link"):
            nets.export(tmp_path / "none" / "lib", target=name, formats=formats, f=F)
    assert not (tmp_path / "none").exists()


def test_microcontrollers_have_no_shared_libraries(tmp_path: Path) -> None:
    files = nets.export(tmp_path / "lib", target="thumbv6m-none-eabi", f=F).files
    assert [file.suffix for file in files] == [".a", ".o", ".h"]
    with pytest.raises(ExportError, match=r"no shared libraries; link .*lib\.a"):
        nets.export(tmp_path / "lib", target="thumbv6m-none-eabi", formats="so", f=F)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"target": "mips-linux"}, ArgumentError, "for the target 'mips-linux'; it does for x86_64"),
    ({"target": 3}, ArgumentError, "target is a triple such as aarch64-linux-gnu, not int"),
    ({"target": F}, ArgumentError, "target is a triple"),
    ({"target": "aarch64-linux", "cpu": "znver3"}, CompileError, "CPU 'znver3' of aarch64-linux"),
    (
        {"target": "wasm32", "cpu": "native"},
        ArgumentError,
        'native" is this machine, which is none',
    ),
    ({"target": "aarch64-linux", "formats": "dll"}, ArgumentError, "formats are some of"),
]


@pytest.mark.parametrize(("options", "error", "match"), REFUSED)
def test_refusals(
    options: dict[str, Any], error: type[Exception], match: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=match):
        nets.export(tmp_path / "lib", **options, f=F)
    assert list(tmp_path.iterdir()) == []


OTHERS = {"windows": b"MZ\x90\0", "macos": HEADS["macho"], "wasm": b"\0asm\1\0\0\0"}


@pytest.mark.parametrize("start", OTHERS.values(), ids=OTHERS)
def test_files_of_other_systems_are_not_loaded(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(start + bytes(200))
    with pytest.raises(LoadError, match="it is a library for another machine, with"):
        nets.load(path)


def test_elf_of_another_processor_is_not_loaded(tmp_path: Path) -> None:
    try:
        (file,) = nets.export(tmp_path / "lib", target="riscv64-linux", formats="so", f=F).files
    except ExportError as error:
        pytest.skip(error.message)
    with pytest.raises(LoadError, match=r"another machine, riscv64; this one is "):
        nets.load(file)


@pytest.mark.parametrize("name", ["aarch64-macos", "x86_64-macos"])
def test_libraries_of_macos(name: str, tmp_path: Path) -> None:
    """Nothing runs them here; the linker has found all that they need."""
    try:
        (file,) = nets.export(tmp_path / "lib", target=name, formats="dylib", f=F).files
    except ExportError as error:
        pytest.skip(error.message)
    data = file.read_bytes()
    magic, processor, _, kind = struct.unpack_from("<4I", data)
    assert (magic, kind) == (0xFEEDFACF, 6)
    assert processor == {"aarch64-macos": 0x0100000C, "x86_64-macos": 0x01000007}[name]
    assert b"@rpath/lib.dylib" in data
    assert os.access(file, os.X_OK)
