"""Compilation: the stages, what the object cache saves, and what makes it compile again."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.process import cache
from nets.compiler.compile import Compilation, CompileOptions
from nets.errors import CacheWarning, CompileError, IndexOutOfBoundsError
from nets.ir.core import Function

REVERSE = (
    *("activity", "checkpoint_gradients", "checkpointed_loops", "closures", "control_gradients"),
    *("control_rules", "custom_rules", "kept_states", "schedule", "vjp"),
)
DERIVATIVES = [
    "nets.passes.derivatives",
    *(f"nets.passes.derivatives.{name}" for name in REVERSE),
    "nets.passes.forms",
    "nets.passes.simplify",
    *(f"nets.passes.simplify.{name}" for name in ("effects", "patterns", "sources")),
]
"""The modules of the one pass that tracing a gradient needs."""

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_warned", set())
    return tmp_path / "cache"


def program(scale: float = 2.0) -> Function:
    return nets.trace(lambda x: nets.tanh(x) * scale).lower(X).function


def run(function: Function, **options: Any) -> bytes:
    (result,) = Compilation(function, CompileOptions(**options)).native([X])
    return result.tobytes()


class Compiled(Exception):
    """Raised where nothing was to be compiled."""


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def object_code(self: Compilation, symbol: str) -> bytes:
        raise Compiled

    monkeypatch.setattr(Compilation, "object_code", object_code)


# --------------------------------------------------------------------- from the cache


def test_the_second_compilation_compiles_nothing(request: pytest.FixtureRequest) -> None:
    first = run(program())
    request.getfixturevalue("no_compiler")
    assert run(program()) == first
    with pytest.raises(Compiled):
        run(program(3.0))


def test_without_a_cache_every_compilation_compiles(
    place: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    run(program())
    before = list(place.iterdir())
    monkeypatch.setenv("NETS_CACHE", "0")
    run(program(3.0))
    assert list(place.iterdir()) == before
    request.getfixturevalue("no_compiler")
    with pytest.raises(Compiled):
        run(program())


JUNK: dict[str, tuple[Any, bytes | None]] = {
    "no object": ({"level": 0, "workspace_bytes": 0, "checks": []}, b"no object file"),
    "empty object": ({"level": 0, "workspace_bytes": 0, "checks": []}, b""),
    "another CPU": ({"level": 9, "workspace_bytes": 0, "checks": []}, None),
    "no manifest": (None, None),
    "a list": ([1, 2], None),
    "no level": ({"workspace_bytes": 0, "checks": []}, None),
    "no checks": ({"level": 0, "workspace_bytes": 0}, None),
    "size of text": ({"level": 0, "workspace_bytes": "many", "checks": []}, None),
    "negative size": ({"level": 0, "workspace_bytes": -8, "checks": []}, None),
    "short check": ({"level": 0, "workspace_bytes": 0, "checks": [[1, "message"]]}, None),
    "odd check": ({"level": 0, "workspace_bytes": 0, "checks": [["1", "message", ""]]}, None),
}
"""Manifest, and code; None for the right code."""


@pytest.mark.parametrize("name", JUNK)
def test_entries_that_do_not_fit_are_replaced(name: str, request: pytest.FixtureRequest) -> None:
    expected, key = run(program()), Compilation(program()).key
    entry = cache.load(key)
    assert entry is not None
    manifest, code = JUNK[name]
    cache.store(key, manifest, entry[1] if code is None else code)
    with pytest.warns(CacheWarning, match="compiling again"):
        assert run(program()) == expected
    assert cache.load(key) == entry
    request.getfixturevalue("no_compiler")
    assert run(program()) == expected


def test_an_object_without_the_entry_point() -> None:
    expected, key = run(program()), Compilation(program()).key
    entry = cache.load(key)
    assert entry is not None
    cache.store(key, entry[0], Compilation(program()).object_code("another_name"))
    with pytest.warns(CacheWarning, match="lacks the entry point"):
        assert run(program()) == expected


def test_a_folder_that_cannot_be_used_is_said_once(place: Path) -> None:
    place.write_text("")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(program())
        run(program(3.0))
    assert [str(warning.message) for warning in caught] == [
        f"the object cache in {place} cannot be read: Not a directory",
        f"the object cache in {place} cannot be written: File exists",
    ]


# ------------------------------------------------------------------------------ the key


def key(function: Function, **options: Any) -> str:
    return Compilation(function, CompileOptions(**options)).key


def test_the_key_holds_everything_that_decides_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> Sequence[str]:
        return (
            key(program(), threads=1),
            key(program(), threads=2),
            key(program(3.0), threads=1),
            key(program(), threads=1, pipeline="none"),
            key(program(), threads=1, cpu="x86-64-v3"),
            key(program(), threads=1, numerics="strict-nofma"),
            key(nets.trace(lambda x: nets.tanh(x) * 2.0).lower(X[1:]).function, threads=1),
            key(nets.trace(lambda y: nets.tanh(y) * 2.0).lower(X.astype("f8")).function, threads=1),
        )

    found = [*keys()]
    assert keys() == tuple(found)
    monkeypatch.setattr("nets.backend.process.callable.cpu_identity", lambda: "another CPU")
    found += [k for k in keys() if k not in found]  # all but that of a named CPU
    monkeypatch.setattr("nets.compiler.compile.__version__", "another version")
    found += keys()
    monkeypatch.setattr(cache, "compiler_version", lambda: "another compiler")
    found += keys()
    assert len(found) == len(set(found)) == 8 + 7 + 8 + 8


def test_where_a_program_stands_is_no_part_of_the_key() -> None:
    functions = [
        nets.trace(lambda x: x + 1).lower(X).function,
        nets.trace(lambda x: x + 1).lower(X).function,
    ]
    assert len({key(f) for f in functions}) == 1


def pick_here(x: Any, i: Any) -> Any:
    return x[i]


def pick_there(x: Any, i: Any) -> Any:
    return x[i]


def test_checked_operations_keep_their_own_line() -> None:
    pick_there.__name__ = pick_here.__name__
    for _ in range(2):  # compiled, then from the cache
        for pick in (pick_here, pick_there):
            with pytest.raises(IndexOutOfBoundsError) as caught:
                nets.trace(pick)(X, np.array([99]))
            line = pick.__code__.co_firstlineno + 1
            assert f"test_compile.py:{line}" in str(caught.value)


# --------------------------------------------------------------------------- processes

SECOND = """
import sys
import numpy as np, nets
@nets.trace
def step(p, x, y):
    def loss(p):
        z = nets.relu(x @ p["w"] + p["b"])
        return -(nets.log_softmax(z, axis=1) * y).sum()
    value, grads = nets.value_and_grad(loss)(p)
    return value, {name: p[name] - 0.1 * grads[name] for name in p}
p = {"w": np.ones((6, 3), "f"), "b": np.zeros(3, "f")}
value, p = step(p, np.ones((4, 6), "f"), np.eye(4, 3, dtype="f"))
print(float(value))
late = ("llvmlite.", "nets.backend.llvm", "nets.passes.", "nets.ir.parser", "nets.ir.verifier")
print(sorted(name for name in sys.modules if name.startswith(late)))
"""


def python(code: str, **environment: str) -> list[str]:
    """The lines a fresh process prints; it must succeed without a warning."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_second_process_loads_neither_llvm_nor_the_passes() -> None:
    first, loaded = python(SECOND)
    assert "llvmlite.binding" in loaded
    second, loaded = python(SECOND)
    assert second == first
    # Of the passes only vjp is needed: it is part of tracing.
    assert loaded == str(["llvmlite._version", *DERIVATIVES])


def test_the_reference_backend_needs_neither_llvm_nor_the_runtime() -> None:
    blocked = """
import sys
for name in ("llvmlite", "cffi", "_cffi_backend", "nets._runtime"):
    sys.modules[name] = None
"""
    value, loaded = python(blocked + SECOND, NETS_BACKEND="numpy")
    assert float(value) == pytest.approx(3 * np.log(3))
    assert loaded == str(DERIVATIVES)


# ------------------------------------------------------------------------------- stages


def test_dumps_every_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_DUMP_DIR", str(tmp_path / "stages"))
    run(program())
    names = [path.name for path in sorted((tmp_path / "stages").iterdir())]
    assert [name[:2] for name in names] == [f"{i:02}" for i in range(len(names))]
    kinds = [name[3:].removeprefix("lambda-").removeprefix("lambda") for name in names]
    assert kinds[0] == "traced.nets"
    assert kinds[-2:] == [".ll", ".s"]
    assert "fuse.nets" in kinds
    assert "plan_memory.nets" in kinds
    text = (tmp_path / "stages" / names[-2]).read_text()
    assert "define i32 @nets_entry(" in text
    assert "nets_entry:" in (tmp_path / "stages" / names[-1]).read_text()


def test_narrates(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("NETS_LOG", "cache,llvm,fuse")
    run(program())
    run(program())
    text = capsys.readouterr().err
    stored, hit = (text.index(f"nets cache: {word}: ") for word in ("stored", "hit"))
    assert 0 < text.index("nets llvm: lambda: ") < stored < hit
    assert "nets fuse: lambda: 4 operations became 1" in text


def test_stats_name_every_pass_and_stage() -> None:
    stats = nets.trace(lambda x: x + 1).lower(X).stats()
    assert {"canonicalize", "fuse", "lower_to_loops", "plan_memory", "emit", "llvm"} <= set(stats)
    assert all(0 <= milliseconds < 60_000 for milliseconds in stats.values())


def test_refuses_what_it_does_not_know() -> None:
    compilation = Compilation(program())
    with pytest.raises(CompileError, match="a stage is one of"):
        compilation.ir("raw")
    with pytest.raises(CompileError, match="does not compile for the CPU 'z80'"):
        Compilation(program(), CompileOptions(cpu="z80")).native([X])


def test_code_for_another_cpu_is_not_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nets.backend.process.callable.cpu_level", lambda: 3)
    with pytest.raises(CompileError, match="cannot run code for the CPU x86-64-v4"):
        Compilation(program(), CompileOptions(cpu="x86-64-v4")).native([X])


def test_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CompileOptions(threads=3).thread_count() == 3
    assert CompileOptions(threads=10**12).thread_count() == 1024
    assert CompileOptions().thread_count() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("NETS_NUM_THREADS", "5")
    assert CompileOptions().thread_count() == 5
    assert CompileOptions(threads=3).thread_count() == 3


def test_the_function_is_left_alone() -> None:
    function = program()
    before = str(Compilation(function).ir("traced"))
    compilation = Compilation(function)
    compilation.native([X])
    compilation.llvm()
    assert compilation.ir("traced") == before


@pytest.mark.parametrize("is_on", [True, False])
def test_the_garbage_collector_is_left_as_it_was(is_on: bool) -> None:
    was_on = gc.isenabled()
    (gc.enable if is_on else gc.disable)()
    try:
        nets.trace(lambda x: x * 3)(np.ones(2))
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if was_on else gc.disable)()
