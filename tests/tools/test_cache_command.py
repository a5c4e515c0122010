"""``python -m nets cache``, and the limit of the object cache."""

import os
from pathlib import Path

import numpy as np
import pytest

import nets
from nets.backend.process import cache, cache_size
from nets.tools.command_line import main


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path))
    return tmp_path


def fill(place: Path, count: int, size: int = 1000) -> list[Path]:
    """So many entries, the first the longest unused."""
    paths = [place / f"{number:064x}{cache_size.SUFFIX}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes(size))
        os.utime(path, (1e9 + number, 1e9 + number))
    return paths


def test_shows_what_there_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(place, 3, 10**6)
    (place / "notes.txt").write_text("not an entry")
    assert main(["cache"]) == 0
    out = capsys.readouterr().out
    assert str(place) in out
    assert "entries    3\n" in out
    assert "size       3.0 MB\n" in out


def test_trims_the_longest_unused_first(place: Path) -> None:
    paths = fill(place, 5)
    assert main(["cache", "--trim", "0.0025"]) == 0
    assert [path.exists() for path in paths] == [False, False, False, True, True]


def test_clears_entries_alone(place: Path) -> None:
    paths = fill(place, 2)
    (place / "notes.txt").write_text("not an entry")
    assert main(["cache", "--clear"]) == 0
    assert not any(path.exists() for path in paths)
    assert (place / "notes.txt").exists()


@pytest.mark.parametrize("size", ["much", "-1", "nan", "inf"])
def test_refuses_sizes(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", f"--trim={size}"]) == 2
    assert "megabytes" in capsys.readouterr().err


def test_of_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path / "missing"))
    assert main(["cache", "--clear"]) == 0


def test_a_hit_makes_an_entry_the_youngest(place: Path) -> None:
    double = lambda x: x * 2  # noqa: E731
    nets.trace(double)(np.ones(3))
    (entry,) = cache_size.entries(place)
    os.utime(entry.path, (1e9, 1e9))
    nets.trace(double)(np.ones(3))
    assert cache_size.entries(place)[0].used > 1e9


def test_new_entries_push_old_ones_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE_LIMIT", "1")
    old = fill(place, 20, 10**5)
    cache.store("00000010" + "0" * 56, {}, b"code")
    left = [path for path in old if path.exists()]
    assert left == old[-len(left) :]
    assert 0 < len(left) <= 7


def test_no_limit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CACHE_LIMIT", "0")
    old = fill(place, 20, 10**5)
    cache.store("00000010" + "0" * 56, {}, b"code")
    assert all(path.exists() for path in old)
