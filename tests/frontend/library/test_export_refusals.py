"""What stands in the way of an export or a load: an error that names it, and no file left."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, ExportError, LoadError, NetsError

X = np.ones(3)
LOWERED = nets.trace(lambda x: x * 2).lower(X)

PATHS: dict[str, tuple[type[NetsError], tuple[Any, ...], str]] = {
    "nothing": (ArgumentError, (), "takes the path of the library"),
    "None": (ArgumentError, (None,), "takes the path of the library"),
    "a number": (ArgumentError, (3,), r"not \(int\)"),
    "bytes": (ArgumentError, (b"lib",), r"not \(bytes\)"),
    "a function": (ArgumentError, (LOWERED,), r"not \(Lowered\)"),
    "a function too much": (ArgumentError, ("lib", LOWERED), r"not \(str, Lowered\)"),
    "as in other libraries": (ArgumentError, (len, 3), r"not \(builtin_function_or_method, int\)"),
    "NUL": (ArgumentError, ("a\0b",), "cannot be a path"),
    "half a character": (ArgumentError, ("\ud83d",), "cannot be a path"),
    "empty": (ExportError, ("",), "does not name a library"),
    "this folder": (ExportError, (".",), "does not name a library"),
    "the folder above": (ExportError, ("..",), "does not name a library"),
    "a folder": (ExportError, ("build/",), "does not name a library"),
    "the root": (ExportError, ("/",), "does not name a library"),
    "too long": (ExportError, ("x" * 300,), "cannot be written: File name too long"),
    "in a device": (ExportError, ("/dev/null/lib",), "/dev/null/lib cannot be written"),
    "in the kernel": (ExportError, ("/proc/lib",), "/proc/lib cannot be written"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to write to, the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("error", "args", "match"), PATHS.values(), ids=PATHS)
def test_paths(error: type[NetsError], args: tuple[Any, ...], match: str, folder: Path) -> None:
    with pytest.raises(error, match=match) as caught:
        nets.export(*args, f=LOWERED)
    assert type(caught.value) is error
    assert list(folder.iterdir()) == []


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no formats": ({"formats": ()}, "formats are some of so, a, o, h"),
    "formats 3": ({"formats": 3}, "formats are some of"),
    "formats of numbers": ({"formats": [3]}, "formats are some of"),
    "formats in a list": ({"formats": [["so"]]}, "formats are some of"),
    "formats bytes": ({"formats": b"so"}, "formats are some of"),
    "formats function": ({"formats": LOWERED}, "formats are some of"),
    "a format unknown": ({"formats": "dll"}, "not 'dll'"),
    "format": ({"format": "so"}, "formats is what chooses the files"),
    "cpu 3": ({"cpu": 3}, "cpu is a name such as x86-64-v3, not int"),
    "cpu function": ({"cpu": LOWERED}, "not Lowered"),
    "path function": ({"path": LOWERED}, "'path' cannot name a function"),
    "a Python function": ({"g": len}, r"what f.lower\(...\) gives"),
    "a number": ({"g": 3}, "g is int"),
}


@pytest.mark.parametrize(("options", "match"), OPTIONS.values(), ids=OPTIONS)
def test_options(options: dict[str, Any], match: str, folder: Path) -> None:
    with pytest.raises(ArgumentError, match=match) as caught:
        nets.export("lib", **{"f": LOWERED} | options)
    assert __file__ in str(caught.value)
    assert list(folder.iterdir()) == []


def test_what_may_be_given(folder: Path) -> None:
    assert nets.export(path="by_name", f=LOWERED, formats="h").files == (Path("by_name.h"),)
    exported = nets.export(folder / "twice", f=LOWERED, formats=iter(["h", "a", "h"]))
    assert [path.suffix for path in exported.files] == [".h", ".a"]


# ---------------------------------------------------------------------------- compilers


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


COMPILERS = {
    "missing": ("no-such-compiler", "no program 'no-such-compiler' to link out/lib.so with"),
    "a missing path": ("/nowhere/cc -m64", "no program '/nowhere/cc'"),
    "a folder": ("/tmp", "no program '/tmp'"),
    "a quotation mark": ('"cc', "no program '\"cc'"),
    "does nothing": ("true", "CC=true ended without an error, but not with the library out/lib.so"),
    "fails": ("false", "CC=false could not link out/lib.so"),
    "fails with words": ("{}/talk -x", r"/talk -x could not link out/lib.so.*\n.*no space \ufffd"),
    "writes something else": ("{}/write", "/write ended without an error"),
    "writes a program": ("{}/program", "/program ended without an error"),
    "not for this machine": (
        "{}/text",
        "/text cannot be run to link out/lib.so: Exec format error",
    ),
}
SCRIPTS = {
    "talk": "#!/bin/sh\nprintf 'no space \\377' >&2\nexit 1\n",
    "write": '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho hello > "$2"\n',
    "program": '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ncp /bin/sh "$2"\n',
    "text": "no program",
}


@pytest.mark.parametrize(("command", "match"), COMPILERS.values(), ids=COMPILERS)
@pytest.mark.sampled(4)
def test_compilers(command: str, match: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = folder / "tools"
    tools.mkdir()
    for name, text in SCRIPTS.items():
        script(tools / name, text)
    monkeypatch.setenv("CC", command.format(tools))
    with pytest.raises(ExportError, match=f"(?s){match}") as caught:
        nets.export("out/lib", f=LOWERED)
    assert "CC" in str(caught.value)
    assert 'formats=("a", "o", "h")' in str(caught.value)
    assert list(folder.glob("out/*")) == []
    assert len(nets.export("out/lib", f=LOWERED, formats=("a", "o", "h")).files) == 3


@pytest.mark.parametrize("command", ["", "  ", "cc -O1", "'{}' -g", "{}"])
def test_ways_to_name_a_compiler(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = folder / "a b" / "my cc"
    compiler.parent.mkdir()
    script(compiler, f'#!/bin/sh\nexec {shutil.which("cc")} "$@"\n')
    monkeypatch.setenv("CC", command.format(compiler))
    path = nets.export("my-lib, 2", f=LOWERED).files[0]
    assert nets.load(path).f(X).tolist() == [2, 2, 2]
    dynamic = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True)
    assert "[my-lib, 2.so]" in dynamic.stdout  # the file's name is what a program looks for


# ------------------------------------------------------------------------------- places


@pytest.mark.long
def test_a_full_disk(folder: Path) -> None:
    nets.export("lib", f=LOWERED, formats=("so", "a", "o", "h"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    program = """
import resource, numpy as np, nets
lowered = nets.trace(lambda x: x + 3).lower(np.ones(7))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for formats in (("so",), ("a", "h"), ("h", "o")):
    try:
        nets.export("lib", f=lowered, formats=formats)
    except nets.errors.ExportError as error:
        assert "lib" in str(error), error
    else:
        raise AssertionError("it was written")
"""
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "NETS_CACHE": "0"}
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(folder: Path) -> None:
    (folder / "locked").mkdir(0o500)
    with pytest.raises(ExportError, match="locked/lib cannot be written: Permission denied"):
        nets.export("locked/lib", f=LOWERED)


def test_no_right_to_rename(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*paths: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(ExportError, match="lib cannot be written: Permission denied"):
        nets.export("lib", f=LOWERED, formats=("a", "h"))
    assert list(folder.iterdir()) == []


# -------------------------------------------------------------------------------- loads

NO_PATHS = [None, 3, b"lib.so", ["lib.so"], LOWERED]


@pytest.mark.parametrize("path", NO_PATHS, ids=lambda path: type(path).__name__)
def test_loads_of_what_is_no_path(path: Any) -> None:
    with pytest.raises(ArgumentError, match="takes the path of a library, not"):
        nets.load(path)


def test_loads_of_what_is_no_file(folder: Path) -> None:
    os.mkfifo("fifo")
    (folder / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        before = os.listdir("/proc/self/fd")
        for path in ("", "a\0b", "\ud83d", ".", "fifo", "socket", "loop", "/dev/zero", "x" * 5000):
            with pytest.raises(LoadError):
                nets.load(path)
        assert os.listdir("/proc/self/fd") == before


def test_loads_of_files_that_tools_have_changed(folder: Path) -> None:
    path = nets.export("lib", f=LOWERED).files[0]
    assert nets.load(path).f(X).tolist() == [2, 2, 2]
    changed = "is not as it was exported.*strip, patchelf, another linker.*export it again"
    if shutil.which("strip"):
        subprocess.run(["strip", "-o", "stripped.so", path], check=True)
        with pytest.raises(LoadError, match=changed):
            nets.load("stripped.so")
    subprocess.run(["cc", "-shared", "-nostdlib", "-o", "linked.so", "lib.o"], check=True)
    with pytest.raises(LoadError, match=changed):
        nets.load("linked.so")
