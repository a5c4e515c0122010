"""Libraries for other systems, called there: every result has the bits it has here.

Programs in C are compiled by the compilers for these systems and run by emulators; WebAssembly is
run by its engines. Where one of them is missing, its tests are skipped.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.library.manifest import Library
from nets.errors import ArgumentError
from tests.targets.callers import expected, manifest, program
from tests.targets.engines import Node, Wasmtime
from tests.targets.machines import MACHINES, Emulated
from tests.targets.programs import FEW, KINDS, OPTIMIZERS, POINTS, PROGRAMS, STEPS, Training

ARRAYS = {name: entry.arrays for name, entry in PROGRAMS.items()}
ARRAYS |= dict.fromkeys(OPTIMIZERS, (POINTS, KINDS))

LONG = pytest.mark.long


@functools.cache
def line(name: str) -> str:
    """What a program prints where the results are those that Python has here."""
    return expected(name, PROGRAMS[name].results())


@functools.cache
def training_lines(name: str) -> list[str]:
    return [expected(name, [loss]) for loss in Training(name).losses()]


def lowered(names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: PROGRAMS[name].lowered() for name in names}
    return found | {name: Training(name).lowered() for name in OPTIMIZERS}


def lines(names: tuple[str, ...]) -> list[str]:
    steps = [step for name in OPTIMIZERS for step in training_lines(name)]
    return [*map(line, names), *steps]


@pytest.mark.parametrize(
    "machine",
    [pytest.param(it, marks=LONG if len(it.programs) > 2 else ()) for it in MACHINES.values()],
    ids=MACHINES,
)
def test_bits_are_those_of_this_machine(machine: Emulated, tmp_path: Path) -> None:
    machine.skip_unless_there()
    nets.export(
        tmp_path / "corpus",
        target=machine.target,
        cpu=machine.cpu,
        formats=("a", "h", "o"),
        **lowered(machine.programs),
    )
    library = manifest((tmp_path / "corpus.o").read_bytes())
    caller = program(tmp_path, library, ARRAYS, STEPS)
    assert machine.run(tmp_path, caller, tmp_path / "corpus.a") == lines(machine.programs)


SHARED = [name for name, machine in MACHINES.items() if machine.shared or name == "Windows"]


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.sampled(5)
def test_shared_libraries_run_as_well(name: str, tmp_path: Path) -> None:
    machine = MACHINES[name]
    machine.skip_unless_there()
    few = ("casts", "network")
    files = nets.export(tmp_path / "few", target=machine.target, **lowered(few)).files
    caller = program(tmp_path, manifest(files[0].read_bytes()), ARRAYS, STEPS)
    assert machine.run(tmp_path, caller, files[0]) == lines(few)


PARTS = 3
WIDE = np.linspace(-3, 3, 60_001, dtype="float32")


@pytest.mark.long
@pytest.mark.parametrize("name", [*MACHINES][:3])
def test_parallel_twins_run_as_well(name: str, tmp_path: Path) -> None:
    """Also where a division of 64 bits would need the compiler's library."""
    machine = MACHINES[name]
    machine.skip_unless_there()
    curve = nets.trace(lambda x: nets.tanh(x) * nets.exp(x))
    low, formats = curve.lower(WIDE), ("a", "h", "o")
    for base, threads in (("one", None), ("wide", PARTS)):
        nets.export(
            tmp_path / base, target=machine.target, threads=threads, formats=formats, curve=low
        )
    one, wide = ((tmp_path / f"{base}.o").read_bytes() for base in ("one", "wide"))
    assert called(wide) <= called(one)
    caller = program(tmp_path, manifest(wide), {"curve": [WIDE]}, 1)
    wanted = [expected("curve", [curve(WIDE).numpy()])]
    assert machine.run(tmp_path, caller, tmp_path / "wide.a") == wanted


def called(code: bytes) -> set[bytes]:
    """Functions of the compiler's library that an object may call."""
    return set(re.findall(rb"__aeabi_\w+|__\w+[dt]i3", code))


@pytest.mark.parametrize("target", ["wasm32", "thumbv7em-none-eabihf", "thumbv6m-none-eabi"])
def test_systems_without_threads_have_no_twins(target: str, tmp_path: Path) -> None:
    low = nets.trace(nets.exp).lower(WIDE)
    with pytest.raises(ArgumentError, match=f"code for {target} runs on one"):
        nets.export(tmp_path / "no", target=target, threads=2, f=low)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module", params=[pytest.param(None, id="plain", marks=LONG), "simd128"])
def module(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A library as WebAssembly, and what it says of itself."""
    cpu, folder = request.param, tmp_path_factory.mktemp("wasm")
    names = FEW if cpu else tuple(PROGRAMS)
    try:
        files = nets.export(
            folder / "corpus", target="wasm32", cpu=cpu, formats="wasm", **lowered(names)
        )
    except nets.errors.ExportError as error:
        pytest.skip(error.message)
    return files.files[0], manifest(files.files[0].read_bytes()), names


@pytest.mark.parametrize("engine", [Node, Wasmtime])
def test_bits_of_webassembly(
    engine: type[Node | Wasmtime], module: tuple[Path, Library, tuple[str, ...]]
) -> None:
    file, library, names = module
    found = engine().results(file, library, ARRAYS, STEPS)
    assert [expected(name, results, status) for name, status, results in found] == lines(names)


PLAIN = ("curves", "products64", "reductions", "network")


@functools.cache
def plain_lines() -> list[str]:
    return [expected(name, PROGRAMS[name].results("strict-nofma")) for name in PLAIN]


@pytest.mark.parametrize("name", ["aarch64 Linux", "Cortex-M0+"])
@pytest.mark.long
def test_bits_of_the_other_profile(name: str, tmp_path: Path) -> None:
    machine = MACHINES[name]
    machine.skip_unless_there()
    programs = {word: PROGRAMS[word].lowered() for word in PLAIN}
    options = {"target": machine.target, "cpu": machine.cpu, "numerics": "strict-nofma"}
    nets.export(tmp_path / "plain", formats=("a", "h", "o"), **options, **programs)
    library = manifest((tmp_path / "plain.o").read_bytes())
    caller = program(tmp_path, library, ARRAYS, STEPS)
    assert machine.run(tmp_path, caller, tmp_path / "plain.a") == plain_lines()
