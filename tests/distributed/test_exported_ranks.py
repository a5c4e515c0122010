"""Exported functions that talk to other ranks: in C, with threads and with MPI, and in Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import communicator
from nets.communicator import DONE, Kind, Pending, Transfer
from nets.distributed import simulated
from nets.errors import ArgumentError, DisagreementError, LoadError
from nets.frontend.tensor.dispatch import apply

MAIN = Path(__file__).parent / "ranked_main.c"
RANKS = 2
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}
"""It runs neither as root, as in containers, nor more ranks than cores, unless it is told to."""


def step(x: Any) -> dict[str, Any]:
    """What ranks have is added, swapped, and told; some of it while other things are computed."""
    y = nets.sqrt(x * x + 1)
    rows = apply("gather_ranks", y, ranks=RANKS)
    z = y * 3 - x
    swapped = apply("exchange_ranks", z, ranks=RANKS, distance=1)
    total = rows.sum(axis=0)
    first = apply("broadcast_ranks", z[:3], ranks=RANKS, root=1)
    loss = (total * swapped).sum() + first.sum()
    return {"total": total, "swapped": swapped, "loss": loss, "rank": apply("rank")}


def x_of(rank: int) -> np.ndarray[Any, Any]:
    return ((np.arange(40) % 7 - 3) * (rank + 1) * 0.25).astype(np.float32)


def lines_of(call: Any) -> list[str]:
    """What the program in C prints for these results."""

    def line(rank: int) -> str:
        found = call(x_of(rank))
        total = 0
        for part in (found["total"], found["swapped"]):
            for bits in np.asarray(part).view(np.uint32).tolist():
                total = (31 * total + bits) % (1 << 32)
        (loss,) = np.asarray(found["loss"]).reshape(1).view(np.uint32).tolist()
        return f"{int(found['rank'])} {total:08x} {loss:08x}"

    return simulated.run(line, RANKS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("ranks") / "ranked"
    nets.export(base, cpu="x86-64-v3", threads=2, step=nets.trace(step).lower(x_of(0)))
    return base


def tool(name: str) -> str:
    """A program of MPI, in this environment or the system's."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"no {name}")
    return found


def build(compiler: str, library: Path, program: Path, flags: Sequence[str]) -> None:
    command = [compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{library.parent}"]
    command += [*flags, str(MAIN), f"{library}.a", "-pthread", "-o", str(program)]
    subprocess.run(command, check=True)


def test_threads_of_c_are_ranks(library: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    program = library.parent / "threads"
    build("cc", library, program, ["-pedantic", "-g"])
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    *ranks, other, failed, null = done.stdout.splitlines()
    assert ranks == lines_of(nets.trace(step))
    assert other == "the function is for another number of ranks than the communicator has"
    assert failed == "a transfer between ranks failed"
    assert null == "a pointer is null"


def test_processes_of_mpi_are_ranks(library: Path) -> None:
    compiler, launcher = tool("mpicc"), tool("mpiexec")
    program = library.parent / "processes"
    build(compiler, library, program, ["-DWITH_MPI"])
    command = [launcher, "-n", str(RANKS), str(program)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=os.environ | OPEN_MPI
    )
    assert done.stdout.splitlines() == lines_of(nets.trace(step))


@pytest.mark.parametrize("threads", [1, 2])
def test_loaded_libraries_use_the_communicator_of_the_thread(library: Path, threads: int) -> None:
    loaded = nets.load(f"{library}.so", threads=threads)
    assert lines_of(loaded.step) == lines_of(nets.trace(step))
    with pytest.raises(ArgumentError, match="for 2 ranks, and the job has 1"):
        loaded.step(x_of(0))


def test_an_error_in_a_loaded_library_is_that_of_the_communicator(library: Path) -> None:
    loaded = nets.load(f"{library}.so")

    def only_one(rank: int) -> None:
        if rank == 1:
            raise KeyError("gone")
        loaded.step(x_of(0))

    with pytest.raises(KeyError, match="gone"):
        simulated.run(only_one, RANKS)
    assert lines_of(loaded.step) == lines_of(nets.trace(step))


def test_ranks_with_other_libraries_are_told(library: Path, tmp_path: Path) -> None:
    def other(x: Any) -> Any:
        return {**step(x), "more": x}

    nets.export(tmp_path / "other", cpu="x86-64-v3", step=nets.trace(other).lower(x_of(0)))
    loaded = [nets.load(f"{library}.so"), nets.load(tmp_path / "other.so")]
    with pytest.raises(DisagreementError, match="run different programs"):
        simulated.run(lambda rank: loaded[rank].step(x_of(rank)), RANKS)


def test_the_manifest_says_how_many_ranks(library: Path) -> None:
    (function,) = nets.load(f"{library}.so").description.functions
    assert function.ranks == (RANKS,)
    header = library.with_suffix(".h").read_text(encoding="utf-8")
    assert "const ranked_communicator *communicator,\n    void *workspace" in header


@pytest.mark.parametrize("word", ["hpp", "rs", "py", "go", "js"])
def test_wrappers_without_communicators_are_refused(tmp_path: Path, word: str) -> None:
    lowered = nets.trace(step).lower(x_of(0))
    with pytest.raises(ArgumentError, match=f"step talks to other ranks, which {word} has no"):
        nets.export(tmp_path / "ranked", formats=("so", "h", word), step=lowered)
    assert not list(tmp_path.iterdir())


def test_web_pages_have_no_ranks(tmp_path: Path) -> None:
    lowered = nets.trace(step).lower(x_of(0))
    with pytest.raises(ArgumentError, match="talks to other ranks, which WebAssembly has none of"):
        nets.export(tmp_path / "ranked", target="wasm32-unknown-unknown", step=lowered)


class Refusing:
    """A communicator that takes gathers, and no exchange."""

    rank, size = 0, RANKS

    def begin(self, transfer: Transfer) -> Pending:
        if transfer.kind is Kind.EXCHANGE:
            raise OSError("the net is down")
        transfer.receive[...] = 0
        return DONE


def test_a_state_beside_sizes_and_ranks(tmp_path: Path) -> None:
    """It is updated after all transfers, and not where one of them fails."""
    w = nets.Tensor(np.ones(3, np.float32))

    def update(x: Any) -> Any:
        w[...] = w * 2 + apply("gather_ranks", x.sum(axis=0), ranks=RANKS).sum(axis=0)
        return apply("exchange_ranks", x * w, ranks=RANKS, distance=1)

    lowered = nets.trace(update).lower(nets.spec("f32[n, 3]", n=nets.dim(0, 9)))
    nets.export(tmp_path / "state", cpu="x86-64-v2", formats="so", update=lowered)
    loaded = [nets.load(tmp_path / "state.so") for _ in range(RANKS)]
    expected = np.ones(3, np.float32)
    for n in (4, 0, 7):
        x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
        expected = expected * 2 + 3 * x.sum(axis=0)
        found = simulated.run(lambda rank, x=x: loaded[rank].update(x * (rank + 1)), RANKS)
        for rank in range(RANKS):
            assert np.array_equal(found[rank], x * (2 - rank) * expected)
            assert np.array_equal(loaded[rank].state["w"], expected)
    with pytest.raises(OSError, match="the net is down"), communicator.within(Refusing()):
        loaded[0].update(x)
    assert np.array_equal(loaded[0].state["w"], expected)


def test_names_of_the_header_are_kept_free(tmp_path: Path) -> None:
    def f(communicator: Any) -> Any:
        return apply("gather_ranks", communicator, ranks=RANKS)

    lowered = nets.trace(f).lower(x_of(0))
    with pytest.raises(ArgumentError, match="transfer"):
        nets.export(tmp_path / "ranked", transfer=lowered)
    nets.export(tmp_path / "ranked", cpu="x86-64-v2", formats=("so", "h"), f=lowered)
    assert "*communicator_,\n" in (tmp_path / "ranked.h").read_text(encoding="utf-8")
    loaded = nets.load(tmp_path / "ranked.so")
    found = simulated.run(lambda rank: loaded.f(communicator=x_of(rank)), RANKS)
    assert all(np.array_equal(x, [x_of(0), x_of(1)]) for x in found)


def test_a_damaged_manifest_is_refused(library: Path, tmp_path: Path) -> None:
    data = Path(f"{library}.so").read_bytes()
    damaged = tmp_path / "ranked.so"
    damaged.write_bytes(data.replace(b'"ranks":[2]', b'"ranks":[x]'))
    with pytest.raises(LoadError):
        nets.load(damaged)
