"""A loaded library is the code of its file when it was loaded, whatever else is open or written."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.library import loader, private_copy
from nets.backend.process import callable as process
from nets.errors import LoadError, MissingKeyError


def times(path: Path, factor: float, size: int = 3) -> Path:
    """A library with a function ``f`` that multiplies ``size`` numbers."""
    x = np.ones(size)
    lowered = nets.trace(lambda x: x * factor).lower(x)
    return nets.export(path, f=lowered, formats=("so",), cpu="x86-64-v3").files[0]


def counting(path: Path, start: int = 0) -> Path:
    """A library with a function ``step`` that counts in its state."""
    count = nets.Tensor(np.array([start]))

    def step() -> Any:
        count.data = count + 1
        return count * 1

    return nets.export(path, step=nets.trace(step).lower(), formats=("so",)).files[0]


def gives(library: Any, factor: float, size: int = 3) -> bool:
    found: list[float] = library.f(np.ones(size)).tolist()
    return found == [factor] * size


AGAIN: dict[str, Callable[[Path], Path]] = {
    "the same": lambda path: times(path, 2),
    "another constant": lambda path: times(path, 5),
    "larger": lambda path: times(path, 5, 4000),
    "smaller": lambda path: times(path, 5, 1),
    "with a state": counting,
    "with a workspace": lambda path: nets.export(
        path, f=nets.trace(lambda x: nets.softmax(x @ x.T)).lower(np.ones((90, 90)))
    ).files[0],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a library of each kind, all exported to one path."""
    base = tmp_path_factory.mktemp("again") / "model"
    return {name: make(base).read_bytes() for name, make in AGAIN.items()}


@pytest.mark.parametrize("change", AGAIN)
@pytest.mark.parametrize("before", AGAIN)
@pytest.mark.sampled(5)
def test_an_export_to_the_path_of_an_open_library(
    before: str, change: str, exported: dict[str, bytes], tmp_path: Path
) -> None:
    path, libraries = tmp_path / "model.so", []
    for name in (before, change):
        (tmp_path / "aside").write_bytes(exported[name])
        os.replace(tmp_path / "aside", path)  # as an export does
        libraries.append((name, nets.load(path)))
    for name, library in libraries:
        if name == "with a state":
            assert library.step().tolist() == [1]
        elif name == "with a workspace":
            assert np.abs(library.f(np.ones((90, 90))) - 1 / 90).max() < 1e-12
        else:
            (argument,) = library.description.functions[0].arguments
            assert gives(library, 2 if name == "the same" else 5, *argument.shape)


def test_links_copies_and_libraries_of_one_name_are_apart(tmp_path: Path) -> None:
    path = counting(tmp_path / "model")
    os.link(path, tmp_path / "hard.so")
    (tmp_path / "soft.so").symlink_to(path)
    shutil.copy(path, tmp_path / "copy.so")
    (tmp_path / "folder").mkdir()
    other = counting(tmp_path / "folder" / "model", 10)  # of the same soname
    names = ("model", "hard", "soft", "copy", "model")
    libraries = [nets.load(tmp_path / f"{name}.so") for name in names] + [nets.load(other)]
    assert libraries[3].step().tolist() == [1]
    assert [library.step().item() for library in libraries] == [1, 1, 1, 2, 1, 11]


def test_a_library_that_holds_another_one(tmp_path: Path) -> None:
    inner = np.frombuffer(times(tmp_path / "model", 2).read_bytes(), np.uint8)
    outer = nets.trace(lambda x: (x * 3, nets.Tensor(inner))).lower(np.ones(3))
    found, data = nets.load(nets.export(tmp_path / "outer", f=outer).files[0]).f(np.ones(3))
    assert found.tolist() == [3] * 3
    (tmp_path / "unpacked.so").write_bytes(data.tobytes())
    assert gives(nets.load(tmp_path / "unpacked.so"), 2)


def test_a_file_changed_in_place_or_deleted(tmp_path: Path) -> None:
    path = times(tmp_path / "model", 2)
    library = nets.load(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert gives(library, 2)
    path.write_bytes(b"")
    assert gives(library, 2)
    path.unlink()
    assert gives(library, 2)


def test_a_file_replaced_between_reading_and_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = times(tmp_path / "model", 2)

    def late(ffi: Any, data: bytes, name: str, beside: Path) -> Any:
        times(tmp_path / "model", 5, 4000)
        return private_copy.open_copy(ffi, data, name, beside)

    monkeypatch.setattr(loader, "open_copy", late)
    assert gives(nets.load(path), 2)


def test_loads_while_others_are_written(tmp_path: Path) -> None:
    files = [times(tmp_path / f"lib{size}", size, size).read_bytes() for size in (1, 7, 50)]
    path, done = tmp_path / "model.so", threading.Event()
    path.write_bytes(files[0])

    def write() -> None:
        while not done.is_set():
            for data in files:
                (tmp_path / "aside").write_bytes(data)
                os.replace(tmp_path / "aside", path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(40):
            library = nets.load(path)
            (size,) = library.description.functions[0].arguments[0].shape
            assert gives(library, size, size)
    finally:
        done.set()
        writer.join()


@pytest.mark.long
def test_loading_and_dropping_keeps_nothing(tmp_path: Path) -> None:
    path = times(tmp_path / "model", 2)

    def held() -> tuple[int, int]:
        maps = Path("/proc/self/maps").read_text().count("model.so")
        return len(os.listdir("/proc/self/fd")), maps

    before = held()
    kept = nets.load(path)
    assert held() > before
    for _ in range(120):
        assert gives(nets.load(path), 2)
    assert held()[0] == before[0] + 1  # of what would be pickled
    function = kept.f
    del kept
    assert function(np.ones(3)).tolist() == [2, 2, 2]
    del function
    gc.collect()
    assert held() == before


@pytest.mark.parametrize("missing", ["memfd_create", "sendfile", "proc", "temporary folder"])
def test_where_there_are_no_files_in_memory(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any) -> Any:
        raise PermissionError(1, "not here")

    if missing == "proc":  # as in a chroot
        monkeypatch.setattr(private_copy, "_spelling", lambda number: f"nowhere/{number}/")
    else:
        monkeypatch.setattr(os, missing if missing == "sendfile" else "memfd_create", refused)
    (tmp_path / "temporary").mkdir()
    folder = "missing" if missing == "temporary folder" else "temporary"
    monkeypatch.setattr(private_copy.tempfile, "tempdir", str(tmp_path / folder))
    first = nets.load(times(tmp_path / "model", 2))
    second = nets.load(times(tmp_path / "model", 5))
    assert gives(first, 2)
    assert gives(second, 5)
    left = [path.name for path in tmp_path.rglob("*")]
    assert sorted(left) == ["model.so", "temporary"]


def test_pickled_it_is_the_same_library_in_the_same_state(tmp_path: Path) -> None:
    library = nets.load(counting(tmp_path / "model"))
    for _ in range(3):
        library.step()
    for twin in (pickle.loads(pickle.dumps(library)), copy.deepcopy(library)):
        assert twin.step().tolist() == [4]
    assert pickle.loads(pickle.dumps(library.step))().tolist() == [4]
    assert library.step().tolist() == [4]
    first, second = pickle.loads(pickle.dumps((library.step, library)))
    first()
    assert second.state["count"] == 5


@pytest.mark.parametrize("protocol", [0, 4, 5])
def test_pickled_it_needs_no_file(tmp_path: Path, protocol: int) -> None:
    library = nets.load(counting(tmp_path / "model"))
    library.step()
    data = pickle.dumps(library, protocol)
    counting(tmp_path / "model", 10)
    del library
    gc.collect()
    for path in tmp_path.iterdir():
        path.unlink()
    opened = len(os.listdir("/proc/self/fd"))
    twins = [pickle.loads(data) for _ in range(20)]
    assert [twin.step().tolist() for twin in twins] == [[2]] * 20
    assert twins[0].step().tolist() == [3]
    assert len(os.listdir("/proc/self/fd")) <= opened + 1


def test_pickled_for_another_machine_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = nets.load(counting(tmp_path / "model"))
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(library, 5, buffer_callback=buffers.append)
    (whole,) = (bytes(buffer) for buffer in buffers)
    assert whole == (tmp_path / "model.so").read_bytes()
    path = library.path
    del library, buffers
    loader._alive.clear()
    broken, foreign = bytearray(whole), bytearray(whole)
    broken[-1000] ^= 1
    foreign[18] ^= 1  # the machine, in the header of ELF
    for wrong in (broken, foreign, whole[: len(whole) // 2], b"", b"no library"):
        with pytest.raises(LoadError, match=re.escape(str(path))):
            pickle.loads(data, buffers=[wrong])
    monkeypatch.setattr(process, "cpu_level", lambda: 0)
    with pytest.raises(LoadError, match="which this CPU is not"):
        pickle.loads(data, buffers=[whole])


def test_names_that_the_state_lacks(tmp_path: Path) -> None:
    library = nets.load(counting(tmp_path / "model"))
    with pytest.raises(MissingKeyError, match="the state has no 'weight'; it has count"):
        library.state["weight"]


def test_a_child_process_goes_on_with_a_state_of_its_own(tmp_path: Path) -> None:
    path = counting(tmp_path / "model")
    program = f"""
import os, nets
library = nets.load({str(path)!r})
library.step()
child = os.fork()
assert library.step().tolist() == [2]
assert nets.load({str(path)!r}).step().tolist() == [1]
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True)
