"""The table of machines: its rows, and which row a processor is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import pytest

from nets.backend.llvm import target
from nets.backend.llvm.target import host, machine_of
from nets.errors import CompileError
from nets.ir.types import f32, f64
from nets.machine.machine import Machine
from nets.machine.table import (
    ROWS,
    SAPPHIRE_RAPIDS,
    SKYLAKE_X,
    V2,
    V3,
    V4,
    ZEN_3,
    ZEN_4,
    machine_named,
    machine_with,
)
from nets.machine.targets import AARCH64_LINUX, AARCH64_MACOS, X86_64_WINDOWS, Target, native_target

SSE42 = {"sse4.2": True, "popcnt": True}
AVX2 = {**SSE42, "avx2": True, "fma": True, "avx512f": False}
AVX512 = AVX2 | dict.fromkeys(("avx512f", "avx512bw", "avx512dq", "avx512vl"), True)
FEATURES = {2: SSE42, 3: AVX2, 4: AVX512}

KNOWN = {
    "x86-64-v2": V2,
    "nehalem": V2,
    "ivybridge": V2,
    "x86-64-v3": V3,
    "haswell": V3,
    "skylake": V3,
    "alderlake": V3,
    "sierraforest": V3,
    "znver2": V3,
    "znver3": ZEN_3,
    "x86-64-v4": V4,
    "skylake-avx512": SKYLAKE_X,
    "cascadelake": SKYLAKE_X,
    "icelake-server": SKYLAKE_X,
    "sapphirerapids": SAPPHIRE_RAPIDS,
    "emeraldrapids": SAPPHIRE_RAPIDS,
    "znver4": ZEN_4,
    "znver5": ZEN_4,
}


def numbers(machine: Machine) -> Machine:
    """The machine without the names of the processor."""
    return replace(machine, cpu="", features="")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rows_are_sound(row: Machine) -> None:
    assert machine_named(row.cpu) == row
    assert row.level == {"generic": 2, "avx2": 3, "avx512": 4}[row.instruction_set]
    assert bool(row.fma_sizes) == (row.level > 2)
    assert row.lanes(f32) == 2 * row.lanes(f64) == row.vector_bytes // 4
    assert row.vector_bytes.bit_count() == 1
    for field in fields(row):
        value = getattr(row, field.name)
        is_size = isinstance(value, int) and not isinstance(value, bool)
        assert not is_size or value > 0, field.name


def test_rows_have_names_of_their_own() -> None:
    assert len({row.family for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("cpu", "row"), KNOWN.items())
def test_known_names(cpu: str, row: Machine) -> None:
    found = machine_named(cpu)
    assert (found.cpu, found.features) == (cpu, "")
    assert numbers(found) == numbers(row)
    assert numbers(machine_with(cpu, FEATURES[row.level])) == numbers(row)


@pytest.mark.parametrize("cpu", ["", "core2", "x86-64", "x86-64-v1", "znver9", "generic"])
def test_names_that_are_not_there(cpu: str) -> None:
    with pytest.raises(CompileError, match=r"does not compile for the CPU .* SSE4.2 .* znver3"):
        machine_named(cpu)


@pytest.mark.parametrize("cpu", ["generic", "diamondrapids", "znver9"])
@pytest.mark.parametrize(("features", "row"), [(SSE42, V2), (AVX2, V3), (AVX512, V4)])
def test_unknown_processors_are_machines_of_their_level(
    cpu: str, features: Mapping[str, bool], row: Machine
) -> None:
    found = machine_with(cpu, features)
    assert found.cpu == cpu
    assert numbers(found) == numbers(row)


@pytest.mark.parametrize("lost", ["avx512f", "avx512bw", "avx512dq", "avx512vl"])
def test_features_that_are_hidden_are_not_used(lost: str) -> None:
    """As under a hypervisor that hides AVX-512 from its guests, whatever the processor's name."""
    found = machine_with("icelake-server", AVX512 | {lost: False})
    assert numbers(found) == numbers(V3)
    assert f"-{lost}" in found.features.split(",")


def test_a_name_says_no_more_than_the_features() -> None:
    assert machine_with("znver3", AVX512).instruction_set == "avx512"


@pytest.mark.parametrize("lost", ["avx2", "fma"])
def test_processors_before_avx2_multiply_and_then_add(lost: str) -> None:
    found = machine_with("ivybridge", AVX2 | {lost: False})
    assert numbers(found) == numbers(V2)
    assert not found.fma_sizes
    assert not found.masked_sizes


@pytest.mark.parametrize("lost", ["sse4.2", "popcnt"])
def test_what_no_machine_does_without(lost: str) -> None:
    with pytest.raises(CompileError, match=f"this one lacks {lost}"):
        machine_with("penryn", SSE42 | {lost: False})


def test_features_are_listed_in_one_order() -> None:
    found = machine_with("znver3", AVX2).features
    assert found == "+avx2,-avx512f,+fma,+popcnt,+sse4.2"


def test_the_empty_name_is_this_processor() -> None:
    assert machine_of("") == host()
    assert machine_of("znver3") == ZEN_3


@pytest.mark.parametrize(
    ("machine", "system", "expected"),
    [
        ("aarch64", "Linux", AARCH64_LINUX),
        ("arm64", "Darwin", AARCH64_MACOS),
        ("AMD64", "Windows", X86_64_WINDOWS),
    ],
)
def test_the_target_of_a_process(
    machine: str, system: str, expected: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert native_target() == host().target
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.system", lambda: system)
    assert native_target() == expected
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(CompileError, match="vax"):
        native_target()


def test_names_of_processors_on_aarch64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "native_target", lambda: AARCH64_LINUX)
    here = host.__wrapped__()
    assert (here.cpu, here.target, here.level, here.vector_bytes) == (
        "generic",
        AARCH64_LINUX,
        0,
        16,
    )
    assert machine_of("cortex-a72") == replace(here, cpu="cortex-a72")
    assert machine_of("haswell") == replace(V3, cpu="haswell")
    with pytest.raises(CompileError, match=r"'z80'.*cortex-a72"):
        machine_of("z80")
