"""Calls of compiled functions that talk to other ranks: by the plan in C and by Python."""

from __future__ import annotations

import gc
import subprocess
import sys
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

import nets
from nets import communicator
from nets.communicator import DONE, Transfer
from nets.distributed import simulated
from nets.errors import ArgumentError, CheckError, CompileError, DisagreementError
from nets.frontend.tensor.dispatch import apply
from nets.ir.builder import Builder
from nets.ir.core import Function
from nets.ir.types import TensorType, f32
from nets.ops.collective.ranks import ranks_of
from nets.ops.definition.registry import lookup

pytestmark = pytest.mark.both_roads

RANKS = 4


def gathered(x: Any, ranks: int = RANKS) -> Any:
    return apply("gather_ranks", x, ranks=ranks)


def swapped(x: Any, distance: int = 1) -> Any:
    return apply("exchange_ranks", x, ranks=RANKS, distance=distance)


def step(x: Any) -> Any:
    return gathered(x + 1).sum(axis=0) * 2 - swapped(x)


def x_of(rank: int) -> np.ndarray[Any, Any]:
    return np.arange(6, dtype=np.float32) * (rank + 1)


def wanted(rank: int) -> np.ndarray[Any, Any]:
    return sum(x_of(r) + 1 for r in range(RANKS)) * 2 - x_of(rank ^ 1)


class Failing:
    """A communicator that fails at one transfer: as that begins, or as it is waited for."""

    def __init__(self, error: BaseException, at: int, *, late: bool) -> None:
        self.rank, self.size = 0, RANKS
        self.error, self.at, self.late = error, at, late
        self.begun: list[Transfer] = []

    def begin(self, transfer: Transfer) -> Any:
        if len(self.begun) == self.at and not self.late:
            raise self.error
        self.begun.append(transfer)
        return self if len(self.begun) == self.at + 1 else DONE

    def wait(self) -> None:
        raise self.error


def test_calls_again_and_again() -> None:
    traced = nets.trace(step)

    def on_rank(rank: int) -> None:
        for _ in range(5):
            assert np.array_equal(traced(x_of(rank)), wanted(rank))

    for _ in range(2):
        simulated.run(on_rank, RANKS)
    assert traced.stats()["native_calls"] > 0


def test_another_number_of_ranks_is_refused() -> None:
    traced = nets.trace(step)
    for _ in range(3):
        with pytest.raises(ArgumentError, match="for 4 ranks, and the job has 1"):
            traced(x_of(0))
        with pytest.raises(ArgumentError, match="for 4 ranks, and the job has 2"):
            simulated.run(lambda rank: traced(x_of(rank)), 2)
        simulated.run(lambda rank: traced(x_of(rank)), RANKS)


def test_one_rank_is_a_job() -> None:
    alone = nets.trace(lambda x: (gathered(x * 2, 1), apply("rank")))
    for _ in range(3):
        rows, rank = alone(x_of(1))
        assert np.array_equal(rows, [x_of(1) * 2])
        assert rank == 0


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("at", [0, 1])
def test_the_error_of_a_communicator_is_raised_as_it_is(at: int, late: bool) -> None:
    traced = nets.trace(step)
    simulated.run(lambda rank: traced(x_of(rank)), RANKS)
    for error in (OSError("the net is down"), KeyboardInterrupt(), SystemExit(3)):
        by = Failing(error, at, late=late)
        with pytest.raises(type(error)) as found, communicator.within(by):
            traced(x_of(0))
        assert found.value is error
    simulated.run(lambda rank: traced(x_of(rank)), RANKS)


def test_what_is_under_way_as_a_call_ends_keeps_its_memory() -> None:
    traced = nets.trace(lambda x: gathered(nets.sqrt(x * x)).sum(axis=0))
    simulated.run(lambda rank: traced(x_of(rank)), RANKS)
    by = Failing(OSError("down"), 0, late=True)
    with pytest.raises(OSError, match="down"), communicator.within(by):
        traced(x_of(0))
    (transfer,) = by.begun
    gc.collect()
    transfer.receive[...] = 7
    for _ in range(3):
        found = simulated.run(lambda rank: np.asarray(traced(x_of(rank))), RANKS)
        assert np.array_equal(found[1], x_of(9))
    assert (transfer.receive == 7).all()


def test_arguments_are_as_they_were_where_a_transfer_fails() -> None:
    state = nets.Tensor(x_of(0))

    def update(x: Any) -> Any:
        state[...] = state * 2 + 1
        state[...] = state - swapped(state) * x
        return state.sum()

    traced = nets.trace(update)
    for late in (True, False):
        by = Failing(OSError("down"), 0, late=late)
        with pytest.raises(OSError, match="down"), communicator.within(by):
            traced(x_of(1))
        assert np.array_equal(state, x_of(0))


def test_what_communicates_may_call_compiled_code() -> None:
    inner = nets.trace(lambda x: x * 3)
    inner(x_of(1))

    class Calling(Failing):
        def begin(self, transfer: Transfer) -> Any:
            assert np.array_equal(inner(x_of(1)), x_of(1) * 3)
            times = transfer.receive.size // transfer.send.size
            transfer.receive[...] = np.tile(transfer.send, times)
            return DONE

    traced = nets.trace(step)
    for _ in range(3):
        with communicator.within(Calling(OSError(), 9, late=False)):
            assert np.array_equal(traced(x_of(0)), (x_of(0) + 1) * 8 - x_of(0))


def test_prints_and_transfers_come_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    class Telling(Failing):
        def begin(self, transfer: Transfer) -> Any:
            print(transfer.kind.name, transfer.peer, transfer.send.size)
            transfer.receive[...] = 0
            return DONE

    def told(x: Any) -> Any:
        nets.debug_print("first {}", x[0])
        y = swapped(x, 3)
        nets.debug_print("second {}", y.sum())
        z = apply("broadcast_ranks", x[:2] + y[:2], ranks=RANKS, root=2)
        nets.debug_print("third")
        return z

    traced = nets.trace(told)
    for _ in range(2):
        with communicator.within(Telling(OSError(), 9, late=False)):
            traced(x_of(0))
        lines = ["first 0.0", "EXCHANGE 3 24", "second 0.0", "BROADCAST 2 8", "third"]
        compared = [f"GATHER -1 {sha256().digest_size}"]  # the program, with those of others
        assert capsys.readouterr().out.splitlines() == compared + lines


def test_sizes_that_a_call_tells() -> None:
    compiled = nets.trace(step).lower(nets.spec("f32[n]", n=nets.dim(1, 9))).compile()
    for n in (1, 5, 6):
        found = simulated.run(lambda rank, n=n: np.asarray(compiled(x_of(rank)[:n])), RANKS)
        for rank in range(RANKS):
            assert np.array_equal(found[rank], wanted(rank)[:n])


def test_loops_with_transfers() -> None:
    def loop(x: Any) -> Any:
        return nets.fori_loop(0, 7, lambda i, y: swapped(nets.cos(y), 2) + x, x)

    def steps(rank: int) -> np.ndarray[Any, Any]:
        y, x = {r: nets.Tensor(x_of(r)) for r in (rank, rank ^ 2)}, x_of
        for _ in range(7):
            y = {r: nets.cos(y[r ^ 2]) + x(r) for r in y}
        return np.asarray(y[rank])

    traced = nets.trace(loop)
    for rank, found in enumerate(simulated.run(lambda r: np.asarray(traced(x_of(r))), RANKS)):
        np.testing.assert_allclose(found, steps(rank), rtol=1e-6)


@pytest.mark.one_road
@pytest.mark.parametrize("check", ["1", "nan"])
def test_checked_calls(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    monkeypatch.setenv("NETS_CHECK", check)
    traced = nets.trace(step)
    for rank, found in enumerate(simulated.run(lambda r: np.asarray(traced(x_of(r))), RANKS)):
        assert np.array_equal(found, wanted(rank))
    if check == "nan":
        inputs = [x_of(0), x_of(1), x_of(2) * np.nan, x_of(3)]
        swaps = nets.trace(lambda x: swapped(x * 2))
        with pytest.raises(CheckError, match="the first NaN comes from exchange_ranks"):
            simulated.run(lambda rank: swaps(inputs[rank]), RANKS)


@pytest.mark.one_road
def test_ranks_that_do_something_else_are_told() -> None:
    one, other = nets.trace(step), nets.trace(lambda x: swapped(x))
    with pytest.raises(DisagreementError):
        simulated.run(lambda rank: (other if rank == 2 else one)(x_of(rank)), RANKS)


@pytest.mark.one_road
def test_a_function_is_for_one_number_of_ranks() -> None:
    function = Function("f", [TensorType((3,), f32)])
    builder = Builder(function.body)
    rows = [
        builder.create(lookup("gather_ranks"), function.arguments, {"ranks": n}).result
        for n in (2, 4)
    ]
    builder.create(lookup("return"), rows)
    with pytest.raises(CompileError, match="f is for 2 and for 4 ranks"):
        ranks_of(function)


CTRL_C = """
import os, signal, threading, time
import numpy as np
import nets
from nets import communicator
from nets.frontend.tensor.dispatch import apply

class Endless:
    rank, size = 0, 2
    def begin(self, transfer):
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        return self
    def wait(self):
        while True:
            time.sleep(0.01)

signal.signal(signal.SIGINT, signal.default_int_handler)
traced = nets.trace(lambda x: apply("gather_ranks", x * 2, ranks=2).sum())
communicator.use(Endless())
for _ in range(3):
    try:
        traced(np.ones(1000))
    except KeyboardInterrupt:
        print("ended")
"""


@pytest.mark.one_road
def test_ctrl_c_ends_a_call_that_waits() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["ended"] * 3
