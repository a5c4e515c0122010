"""Ranks that are threads: what transfers give, and what is an error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nets import communicator
from nets.communicator import Kind, Transfer
from nets.distributed import simulated
from nets.errors import ArgumentError, DisagreementError, UnsupportedObjectError


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.float32, np.complex128])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 5)])
def test_transfers_give_the_values_of_other_ranks(
    ranks: int, dtype: Any, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    values = (rng.standard_normal((ranks, *shape)) * 100).astype(dtype)
    pairs = ranks // 2 * 2  # who is left over exchanges with nobody

    def of_rank(rank: int) -> tuple[Any, ...]:
        gathered = communicator.gather(values[rank])
        swapped = communicator.exchange(values[rank], rank ^ 1 if rank < pairs else rank)
        return gathered, swapped, communicator.broadcast(values[rank], ranks - 1)

    for rank, (gathered, swapped, root) in enumerate(simulated.run(of_rank, ranks)):
        assert gathered.dtype == swapped.dtype == root.dtype == dtype
        np.testing.assert_array_equal(gathered, values, strict=True)
        np.testing.assert_array_equal(swapped, values[rank ^ 1 if rank < pairs else rank])
        np.testing.assert_array_equal(root, values[-1])


def test_the_process_is_alone_outside() -> None:
    assert (communicator.current().rank, communicator.current().size) == (0, 1)
    assert communicator.gather([1, 2]).tolist() == [[1, 2]]
    assert communicator.broadcast(3.0).tolist() == 3.0
    communicator.agree("step", b"12345678", "shards = 4")

    def places(rank: int) -> tuple[int, int]:
        return communicator.current().rank, communicator.current().size

    assert simulated.run(places, 3) == [(0, 3), (1, 3), (2, 3)]


def test_values_that_are_not_contiguous_are_sent_as_they_are_indexed() -> None:
    values = np.arange(12.0).reshape(3, 4)
    strided = simulated.run(lambda rank: communicator.gather(values.T[::-1, rank:]), 1)
    np.testing.assert_array_equal(strided[0][0], values.T[::-1])


def test_objects_cannot_be_sent() -> None:
    with pytest.raises(UnsupportedObjectError, match="object"):
        communicator.gather(np.array([None]))


def test_several_transfers_may_be_under_way() -> None:
    def of_rank(rank: int) -> list[list[int]]:
        me = communicator.current()
        sent = [np.full(2, 10 * rank + i, np.uint8) for i in range(3)]
        received = [np.zeros(4, np.uint8) for _ in sent]
        pending = [
            me.begin(Transfer(Kind.GATHER, -1, x, y)) for x, y in zip(sent, received, strict=True)
        ]
        assert all((x == 0xFF).all() for x in received)
        for transfer in reversed(pending):
            transfer.wait()
        return [x.tolist() for x in received]

    assert simulated.run(of_rank, 2) == [[[0, 0, 10, 10], [1, 1, 11, 11], [2, 2, 12, 12]]] * 2


def changed_on_the_way(rank: int) -> None:
    sent, received = np.zeros(2, np.uint8), np.zeros(4, np.uint8)
    pending = communicator.current().begin(Transfer(Kind.GATHER, -1, sent, received))
    sent[0] = 1
    pending.wait()


def disagreed(rank: int) -> None:
    communicator.agree("step", bytes([rank > 2] * 8), f"x: f32[3]\nshards = {4 + (rank > 2)}")


def unlike_programs(rank: int) -> None:
    for name in "ab":
        communicator.agree(name, name.encode() * 8, "")
    communicator.agree("ab"[rank % 2], "ab"[rank % 2].encode() * 8, "")
    communicator.gather(1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rank: rank == 1 or communicator.gather(1), "waits for .*1.* in a gather of 8"),
        (lambda rank: communicator.gather(np.zeros(rank)), "different transfers: rank .* bytes"),
        (lambda rank: communicator.exchange(1, (rank + 1) % 4), "an exchange of 8 bytes with rank"),
        (
            lambda rank: communicator.exchange(1, 1) if rank == 0 else communicator.gather(1),
            "rank 0 an exchange of 8|rank 0 waits for .* in an exchange",
        ),
        (lambda rank: communicator.broadcast(1, root=rank // 2), "a broadcast .* from rank [01]"),
        (changed_on_the_way, "rank . changed what it sends before a gather"),
        (disagreed, r"; rank 3 differs .*\n  ranks 0, 1 and 2: shards = 4\n  rank 3: shards = 5"),
        (unlike_programs, "of 8 bytes in a.* of 8 bytes in b|of 8 bytes in b.* of 8 bytes in a"),
    ],
)
def test_ranks_that_do_not_do_the_same_are_found(
    function: Callable[[int], Any], message: str
) -> None:
    with pytest.raises(DisagreementError, match=message):
        simulated.run(function, 4)


def test_an_error_in_one_rank_ends_the_others() -> None:
    def failing(rank: int) -> None:
        if rank == 1:
            raise ZeroDivisionError("mine")
        communicator.gather(1)

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        simulated.run(failing, 3)
    assert caught.value.__notes__ == ["raised by rank 1 of 3"]
    with pytest.raises(SystemExit):
        simulated.run(lambda rank: sys.exit(3) if rank else communicator.gather(1), 2)


def test_ranks_that_do_not_exist() -> None:
    with pytest.raises(ArgumentError, match="at least, not 0"):
        simulated.run(lambda rank: rank, 0)
    with pytest.raises(ArgumentError, match="no rank 2 in a job of 2"):
        simulated.run(lambda rank: communicator.broadcast(1, root=2), 2)


def test_a_program_is_compared_once() -> None:
    def of_rank(rank: int) -> int:
        for _ in range(3):
            communicator.agree("step", b"12345678", "shards = 4")
        assert communicator.program() == ("step", b"12345678")
        communicator.gather(np.int8(rank))  # after one transfer, or else the ranks disagree
        return rank

    assert simulated.run(of_rank, 2) == [0, 1]
