"""The object cache: what it keeps, what it refuses, and every way a folder can be unusable."""

from __future__ import annotations

import multiprocessing
import os
import resource
import stat
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nets.backend.process import cache
from nets.errors import CacheWarning

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

KEY = cache.key_of("a program")
MANIFEST = {"level": 3, "checks": [[1, "message", '"file.py":7']]}
CODE = bytes(range(40))


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for this test, with no warning given yet."""
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_warned", set())
    return tmp_path / "cache"


@pytest.fixture
def entry(place: Path) -> Path:
    """The file of a good entry."""
    cache.store(KEY, MANIFEST, CODE)
    (file,) = place.iterdir()
    return file


def refused(key: str = KEY) -> None:
    """Loading gives nothing and a warning, but no second warning."""
    with pytest.warns(CacheWarning):
        assert cache.load(key) is None
    assert cache.load(key) is None


# ---------------------------------------------------------------------------- good entries


def test_gives_back_what_it_keeps(entry: Path) -> None:
    assert cache.load(KEY) == (MANIFEST, CODE)
    assert cache.load(cache.key_of("another program")) is None


def test_replaces_an_entry(place: Path, entry: Path) -> None:
    cache.store(KEY, {}, b"new")
    assert cache.load(KEY) == ({}, b"new")
    assert list(place.iterdir()) == [entry]


def test_files_are_the_users_alone(place: Path, entry: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600


def test_keys_differ_by_where_texts_end() -> None:
    keys = {cache.key_of("ab", "c"), cache.key_of("a", "bc"), cache.key_of("abc"), cache.key_of()}
    assert len(keys) == 4


def test_narrates(entry: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NETS_LOG", "cache")
    cache.load(KEY)
    cache.store(KEY, MANIFEST, CODE)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"nets cache: hit: {KEY[:16]}", f"nets cache: stored: {KEY[:16]}"]


def test_the_compiler_version_follows_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "passes" / "cse.py"
    source.parent.mkdir()
    monkeypatch.setattr(cache, "_PACKAGE", tmp_path)

    def version() -> str:
        cache.compiler_version.cache_clear()
        return cache.compiler_version()

    try:
        found = [version()]
        source.write_text("one")
        found.append(version())
        source.write_text("other")
        found.append(version())
        (tmp_path / "passes" / "__pycache__").mkdir()
        (tmp_path / "passes" / "__pycache__" / "cse.pyc").write_text("")
        assert version() == found[-1]
        assert len(set(found)) == 3
    finally:
        cache.compiler_version.cache_clear()


def test_the_sources_of_the_compiler_are_found() -> None:
    sources = {name: list(cache._files(str(cache._PACKAGE / name))) for name in cache._COMPILER}
    assert all(sources.values())
    assert "llvm/emit.py" in {path for path, _ in sources["backend"]}


# ------------------------------------------------------------------------- damaged entries


def test_truncated_at_every_length(entry: Path) -> None:
    data = entry.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        for length in range(len(data)):
            entry.write_bytes(data[:length])
            assert cache.load(KEY) is None, length


def test_every_byte_with_a_bit_flipped(entry: Path) -> None:
    data = bytearray(entry.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        for position in range(len(data)):
            bit = 1 << position % 8
            data[position] ^= bit
            entry.write_bytes(data)
            assert cache.load(KEY) is None, (position, bit)
            data[position] ^= bit


def test_bytes_behind_the_end(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes() + b"\0")
    refused()


def test_an_entry_under_the_name_of_another(entry: Path) -> None:
    other = cache.key_of("another program")
    entry.rename(entry.with_name(entry.name.replace(KEY, other)))
    refused(other)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 1 << 62),
        struct.pack("<Q", 1) + b"{",
        struct.pack("<Q", 2) + b"\xff\xff",
        struct.pack("<Q", 200_000) + b"[" * 200_000,
    ],
    ids=["empty", "short", "huge", "no JSON", "no text", "deep"],
)
def test_a_right_checksum_over_nonsense(entry: Path, body: bytes) -> None:
    entry.write_bytes(cache._MAGIC + cache._checksum(KEY, body) + body)
    refused()


# ------------------------------------------------------------------- entries of others


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_what_others_may_write_is_not_read(entry: Path, mode: int) -> None:
    entry.chmod(mode)
    refused()


def test_what_others_own_is_not_read(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if entry.stat().st_uid == 0:
        os.chown(entry, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    refused()


def as_nobody(function: Any) -> None:
    """Run the function in a child without the rights of root; it must not raise."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            function()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unreadable_entry(entry: Path, place: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    place.chmod(0o755)
    entry.chmod(0)
    as_nobody(refused)


def test_a_read_only_folder(entry: Path, place: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    place.chmod(0o555)

    def use() -> None:
        with pytest.warns(CacheWarning, match="cannot be written: Permission denied"):
            cache.store(KEY, {}, b"new")
        cache.store(cache.key_of("another"), {}, b"new")  # says nothing again

    as_nobody(use)
    assert list(place.iterdir()) == [entry]


# ---------------------------------------------------------------------- unusable folders


def unusable() -> None:
    """Storing warns once, whatever the key, and loading gives nothing."""
    with pytest.warns(CacheWarning, match="cannot be written"):
        cache.store(KEY, MANIFEST, CODE)
    cache.store(cache.key_of("another program"), MANIFEST, CODE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CacheWarning)
        assert cache.load(KEY) is None


def test_the_folder_is_a_file(place: Path) -> None:
    place.write_text("")
    unusable()


def test_a_folder_above_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path / "file" / "deep" / "cache"))
    unusable()


def test_an_entry_is_a_folder(entry: Path) -> None:
    entry.unlink()
    entry.mkdir()
    refused()
    unusable()


def test_a_full_disk_leaves_nothing_behind(place: Path) -> None:
    place.mkdir(mode=0o700)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))
    try:
        unusable()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(place.iterdir()) == []


def test_a_missing_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path / "a" / "b" / "c"))
    assert cache.load(KEY) is None
    cache.store(KEY, MANIFEST, CODE)
    assert cache.load(KEY) == (MANIFEST, CODE)


# ----------------------------------------------------------------------- which folder


def test_which_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("NETS_CACHE_DIR")
    assert cache.folder() == Path("/xdg/nets")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.folder() == tmp_path / ".cache" / "nets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == tmp_path / ".cache" / "nets"


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    monkeypatch.delenv("NETS_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder() is None
    assert not cache.is_on()
    assert cache.load(KEY) is None
    cache.store(KEY, MANIFEST, CODE)


def test_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.is_on()
    monkeypatch.setenv("NETS_CACHE", "0")
    assert not cache.is_on()


# ----------------------------------------------------------------------- many processes


def write_and_read(number: int) -> None:
    warnings.simplefilter("error")
    for i in range(100):
        cache.store(KEY, {"number": number}, bytes([number]) * 1000 * (1 + (i + number) % 9))
        found = cache.load(KEY)
        assert found is not None
        manifest, code = found
        assert set(code) == {manifest["number"]}


@pytest.fixture
def workers() -> Iterator[Sequence[multiprocessing.process.BaseProcess]]:
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=write_and_read, args=(number,)) for number in range(6)]
    for process in started:
        process.start()
    yield started
    for process in started:
        process.kill()


@pytest.mark.long
def test_many_processes_on_one_key(place: Path, workers: Any) -> None:
    for process in workers:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert len(list(place.iterdir())) == 1
