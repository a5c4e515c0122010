"""Files: what is no regular file is refused at once, and who is killed leaves all or nothing.

A child is killed at each call of C in the course of a write, by its own hand, so the same steps
are met every time.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import files
from nets.backend.library import aot
from nets.backend.process import cache
from nets.data import load, save
from nets.errors import CacheWarning, LoadError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

X = np.linspace(0, 1, 7)


# --------------------------------------------------------------------------- special files


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


SPECIAL: dict[str, Callable[[Path], Any]] = {
    "pipe": fifo,
    "socket": bound_socket,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "link to itself": lambda path: path.symlink_to(path),
    "folder": lambda path: path.mkdir(),
    "huge": huge,
}

EACH = pytest.mark.parametrize("name", SPECIAL)


@EACH
@pytest.mark.filterwarnings("ignore::nets.errors.CacheWarning")
def test_in_place_of_a_cache_entry(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("NETS_CACHE", "1")
    monkeypatch.setattr(cache, "_warned", set())
    program = nets.trace(lambda x: x * 4.5)
    program(X)
    (entry,) = tmp_path.iterdir()
    entry.unlink()
    SPECIAL[name](entry)
    np.testing.assert_array_equal(nets.trace(lambda x: x * 4.5)(X), X * 4.5)
    if name == "folder":
        return
    assert entry.is_file()
    assert not entry.is_symlink()
    assert entry.stat().st_size < 1 << 20
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nets.compiler.compile.Compilation, "_compile", None)
        np.testing.assert_array_equal(nets.trace(lambda x: x * 4.5)(X), X * 4.5)


def test_a_special_file_in_the_cache_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_warned", set())
    fifo(tmp_path / f"key{cache.SUFFIX}")
    with pytest.warns(CacheWarning, match="a pipe, a socket or a device"):
        assert cache.load("key") is None


@EACH
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".so"])
def test_in_place_of_a_file_to_load(name: str, suffix: str, tmp_path: Path) -> None:
    if name == "huge" and suffix == ".so":
        pytest.skip("a library is read whole")
    path = tmp_path / f"file{suffix}"
    SPECIAL[name](path)
    with pytest.raises(LoadError):
        (nets.load if suffix == ".so" else load)(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_every_beginning_of_a_state_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"state{suffix}"
    save(path, {"a": X, "b": [1, "two"]})
    whole = path.read_bytes()
    for size in {*range(0, len(whole), 13), len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(LoadError):
            load(path)
    path.write_bytes(whole + b"\0")
    if suffix == ".safetensors":
        with pytest.raises(LoadError, match="not as long as it says"):
            load(path)


# ------------------------------------------------------------------------ who is killed


def killed_at(step: int, write: Callable[[], Any]) -> bool:
    """Run ``write`` in a child that is killed at its call of C of that number; was it?"""
    child = os.fork()
    if child == 0:
        calls = [0]

        def count(frame: Any, event: str, argument: Any) -> None:
            if event == "c_call":
                calls[0] += 1
                if calls[0] > step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        write()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def steps(write: Callable[[], Any], stride: int) -> Any:
    """Kill a child at one step after the other, until one comes to the end."""
    step = 0
    while killed_at(step, write):
        yield step
        step += stride


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("unnamed", [True, False])
@pytest.mark.sampled(4)
def test_a_state_is_the_old_one_or_the_new_one(
    suffix: str, unnamed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / f"state{suffix}"
    old, new = {"a": X}, {"a": X + 1, "b": [X, X]}
    save(path, old)
    seen = set()
    for _ in steps(lambda: save(path, new), 23 if suffix == ".npz" else 9):
        found = load(path)
        seen.add(len(found))
        np.testing.assert_array_equal(found["a"], X if len(found) == 1 else X + 1)
        left = [other for other in tmp_path.iterdir() if other != path]
        assert len(left) <= 1
        if unnamed:  # what has a name is complete
            assert all(len(load(other)) == 2 for other in left)
        save(path, old)
        assert list(tmp_path.iterdir()) == [path]
    assert 1 in seen
    np.testing.assert_array_equal(load(path)["a"], X + 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_at_work_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    target = tmp_path / "state.npz"
    with files.replacing(target) as slow:
        slow.write(b"slow")
        with files.replacing(target) as fast:
            fast.write(b"fast")
        assert target.read_bytes() == b"fast"
        assert len(list(tmp_path.iterdir())) == 2
    assert target.read_bytes() == b"slow"
    with pytest.raises(ZeroDivisionError), files.replacing(target):
        raise ZeroDivisionError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"slow"]


@pytest.mark.long
def test_a_cache_entry_is_there_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path))
    key = "0" * 64  # of those that have the folder cleaned
    entry = tmp_path / f"{key}{cache.SUFFIX}"
    for _ in steps(lambda: cache.store(key, {"level": 3}, b"code" * 1000), 5):
        if entry.exists():
            assert cache.load(key) == ({"level": 3}, b"code" * 1000)
            entry.unlink()
    cache.store(key, {"level": 3}, b"code")
    assert list(tmp_path.iterdir()) == [entry]


@pytest.mark.long
def test_a_library_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    old, new = b"old" * 1000, b"new" * 1000
    paths = [tmp_path / "scaled.so", tmp_path / "scaled.h"]

    def write(content: bytes) -> None:
        with files.folder_aside(tmp_path) as aside:
            aot._put(tmp_path, {path.name: content for path in paths}, aside)

    write(old)
    seen = set()
    for _ in steps(lambda: write(new), 11):
        assert all(path.read_bytes() in (old, new) for path in paths)
        seen |= {path.read_bytes() for path in paths}
        write(old)
        assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert old in seen


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    with files.folder_aside(tmp_path) as busy, files.folder_aside(tmp_path) as other:
        assert busy.is_dir()
        assert other != busy
    assert not list(tmp_path.iterdir())
