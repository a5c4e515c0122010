"""What the watch over a job decides, with a clock of the test's own."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from nets.distributed import launch, link, watcher
from nets.distributed.watcher import GIVE_UP, Line, Watch
from nets.errors import ArgumentError, LinkError, MissingMPIError, NetsError


class Job:
    """A watch, what it said and what it sent."""

    def __init__(self, size: int = 3, timeout: float = 8.0) -> None:
        self.said: list[str] = []
        self.sent: list[tuple[int, dict[str, Any]]] = []
        self.watch = Watch(
            size,
            timeout,
            lambda rank, message: self.sent.append((rank, message)),
            self.said.append,
            lambda rank: "died of boredom",
        )
        self.now = 0.0
        for rank in range(size):
            self.watch.hello(rank, f"node{rank}", 100 + rank, is_here=False)

    def tell(self, rank: int, **message: Any) -> None:
        self.watch.told(rank, message, self.now)

    def wait(
        self,
        rank: int,
        number: int,
        mark: int = 5,
        seconds: float = 1.0,
        pair: tuple[int, ...] = (),
    ) -> None:
        found = {"number": number, "mark": mark, "text": f"transfer {number}", "line": "a.py:1"}
        self.tell(rank, waiting={**found, "pair": pair, "for": seconds})

    def until(self, now: float) -> None:
        while self.now < now:
            self.now = round(self.now + 0.1, 1)
            self.watch.tick(self.now)

    def asked(self) -> list[int]:
        return [rank for rank, message in self.sent if "ask" in message]

    def ends(self) -> list[tuple[int, int, bool]]:
        return [(i, x["end"], x["abort"]) for i, x in self.sent if "end" in x]


def test_a_rank_that_raises_ends_the_job_and_is_the_only_one_that_is_named() -> None:
    job = Job()
    job.tell(1, error="ValueError: bad (a.py:3)", secondary=False)
    job.tell(2, error="ValueError: bad (a.py:3)", secondary=False)
    job.watch.closed(1, job.now)
    assert job.said == [
        "nets: rank 1 of 3 (host node1, process 101) raised ValueError: bad (a.py:3); the job ends"
    ]
    assert job.ends() == [(0, 1, True)]
    job.until(1.5)
    assert job.ends()[1:] == [(0, 1, False), (2, 1, False)]
    for rank in (0, 2):
        job.watch.closed(rank, job.now)
    job.until(1.7)
    assert job.watch.is_over
    assert len(job.said) == 1


def test_an_error_of_mpi_waits_for_what_it_comes_of() -> None:
    job = Job()
    job.tell(0, error="Exception: MPI_ERR_OTHER", secondary=True)
    assert job.said == []
    job.watch.closed(2, job.now)
    assert job.said == ["nets: rank 2 of 3 (host node2, process 102) died of boredom; the job ends"]
    job = Job()
    job.tell(0, error="Exception: MPI_ERR_OTHER", secondary=True)
    job.until(1.0)
    assert "rank 0 of 3" in job.said[0]


def test_the_job_ends_together() -> None:
    job = Job()
    for rank in (2, 0, 1):
        assert not job.watch.is_over
        job.tell(rank, bye=0, count=9)
    assert job.watch.is_over
    assert job.sent == [(rank, {"over": True}) for rank in range(3)]
    job.watch.closed(0, job.now)
    assert job.said == []


def test_interrupts_are_quiet() -> None:
    job = Job()
    job.tell(2, interrupted=True)
    assert job.said == []
    assert job.ends() == [(0, 130, True)]


def test_a_rank_that_keeps_others_waiting_is_asked_and_named() -> None:
    job = Job()
    job.until(1.0)
    job.wait(0, 4)
    job.wait(2, 4)
    job.until(7.9)
    assert (job.asked(), job.said) == ([], [])
    job.until(8.0)
    assert job.asked() == [1]
    job.tell(1, at="b.py:7", left=0.0, rested=100.0)
    job.until(8.1)
    assert job.said == [
        "nets: rank 1 of 3 (host node1, process 101) keeps others waiting for 8 seconds: it is at "
        "b.py:7, while rank 0 waits in transfer 4 at a.py:1 (what is known to take long goes into "
        "nets.distributed.patience(seconds)); the job ends"
    ]
    assert job.ends() == [(0, 1, True)]


def test_a_rank_that_does_not_answer_is_named_within_ten_seconds() -> None:
    job = Job()
    job.wait(0, 4, seconds=0.0)
    job.wait(1, 4, seconds=0.0)
    job.until(9.2)
    assert "rank 2 of 3" in job.said[0]
    assert "it does not answer" in job.said[0]


def test_of_two_that_are_silent_both_are_told_of_together() -> None:
    job = Job()
    job.wait(0, 4, seconds=0.0)
    job.until(8.1)
    assert job.asked() == [1, 2]
    job.tell(1, at="b.py:7", left=0.0, rested=100.0)
    job.until(8.5)
    assert job.said == []
    job.until(9.3)
    assert "it is at b.py:7, rank 2 does not answer" in job.said[0]


def test_what_takes_long_has_time_and_then_the_timeout_again() -> None:
    job = Job()
    job.wait(0, 4, seconds=0.0)
    job.wait(2, 4, seconds=0.0)
    job.until(8.1)
    job.tell(1, at="b.py:7", left=20.0, rested=100.0)
    job.until(36.0)
    assert (job.asked(), job.said) == ([1], [])
    job.until(36.2)
    assert job.asked() == [1, 1]
    job.tell(1, at="b.py:9", left=0.0, rested=3.0)  # it was busy once more, until 3 seconds ago
    job.until(41.0)
    assert (job.asked(), job.said) == ([1, 1], [])
    job.until(41.4)
    job.tell(1, at="b.py:9", left=0.0, rested=8.2)
    job.until(41.5)
    assert "rank 1 of 3" in job.said[0]


def test_who_waited_itself_has_all_of_the_timeout() -> None:
    job = Job()
    job.wait(0, 4, seconds=0.0)
    job.wait(1, 3, seconds=0.0)
    job.until(6.0)
    job.tell(1, waiting=None)
    job.until(8.5)
    assert job.asked() == [2]
    job.tell(2, waiting=None)
    job.until(13.9)
    assert (job.asked(), job.said) == ([2], [])
    job.until(14.1)
    assert job.asked() == [2, 1]


def test_a_rank_that_has_ended_while_others_wait_for_it() -> None:
    job = Job()
    job.tell(1, bye=0, count=4)
    job.wait(0, 3)
    job.until(1.0)
    assert job.said == []
    job.wait(2, 4)
    job.until(2.0)
    assert job.said[0].endswith(
        "has ended its program while rank 2 waits in transfer 4 at a.py:1; the job ends"
    )
    assert job.ends()[0] == (0, 1, True)
    job = Job()
    job.tell(1, bye=3, count=4)
    job.wait(0, 4)
    job.until(1.0)
    assert "rank 1 of 3 (host node1, process 101) has ended by sys.exit(3) while" in job.said[0]
    assert job.ends()[0][1] == 3


def test_ranks_in_different_transfers() -> None:
    job = Job()
    job.wait(0, 4, mark=1)
    job.wait(2, 5, mark=2)
    job.until(3.0)
    assert job.said == []  # a rank may be ahead of others
    job.wait(1, 4, mark=3)
    job.until(3.1)
    assert job.said == [
        "nets: rank 1 of 3 (host node1, process 101) makes another transfer than rank 0: rank 0 "
        "waits in transfer 4 at a.py:1, rank 1 waits in transfer 4 at a.py:1; the job ends"
    ]


def test_exchanges_of_different_pairs_may_differ() -> None:
    job = Job(size=5)
    job.wait(0, 4, mark=1, pair=(0, 1))
    job.wait(2, 4, mark=2, pair=(2, 3))
    job.until(2.0)
    assert job.said == []
    job.wait(3, 4, mark=1, pair=(2, 3))
    job.until(2.1)
    assert "rank 3 of 5 (host node3, process 103) makes another transfer than rank 2" in job.said[0]
    job = Job()
    job.wait(0, 4, mark=1, pair=(0, 1))
    job.wait(2, 4, mark=3)
    job.until(2.0)
    assert "rank 2 of 3" in job.said[0]


def test_a_job_in_which_all_wait() -> None:
    job = Job()
    for rank in range(3):
        job.wait(rank, 4 + rank, seconds=0.0)
    job.until(7.9)
    assert job.said == []
    job.until(8.1)
    assert job.said[0].startswith("nets: none of the ranks gets on: rank 0 waits in transfer 4")


def test_who_has_just_been_waited_for_is_given_time_to_be_heard() -> None:
    job = Job()
    job.wait(0, 4, seconds=0.0)
    job.wait(2, 4, seconds=0.0)
    job.until(7.5)
    job.tell(1, bye=0, count=5)  # it made transfer 4 a moment ago
    job.until(15.4)
    assert job.said == []
    job.until(15.6)
    assert "none of the ranks gets on" in job.said[0]


def test_who_does_not_end_is_left_after_some_seconds() -> None:
    job = Job()
    job.watch.closed(0, job.now)
    job.until(GIVE_UP)
    assert not job.watch.is_over
    job.until(GIVE_UP + 1)
    assert job.watch.is_over


def test_messages_come_in_parts_and_strangers_are_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        line = Line(listener.accept()[0])
    theirs.send(b'{"at": ')
    assert line.read() == ([], False)
    theirs.send(b'1}\n{"b": 2}\n{')
    assert line.read() == ([{"at": 1}, {"b": 2}], False)
    theirs.close()
    assert line.read() == ([], True)
    line.socket.close()
    server = watcher.Server(2, 8.0, "secret", "127.0.0.1")
    for hello in (
        {"token": "guess", "hello": 0},
        {"token": "secret", "hello": -1},
        {"token": "secret", "hello": 2},
        ["no message"],
    ):
        with pytest.raises((ValueError, TypeError, KeyError)):
            server._take(line, json.loads(json.dumps(hello)))
    server.close()


def test_a_watch_that_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    watch = {"hosts": ["127.0.0.1"], "port": port, "token": ""}
    with pytest.raises(LinkError, match=f"rank 3 cannot reach .* 127.0.0.1, port {port}"):
        link.connect(watch, {"hello": 3})


def test_this_host_has_addresses() -> None:
    assert "127.0.0.1" in link.addresses()
    assert watcher.home() == watcher.home() != ""


def test_how_a_process_ended() -> None:
    rank = watcher.Rank(0, "here", process=2**30, is_here=True)
    assert "could not say why" in watcher.how_it_ended(rank)


def test_errors_are_told_with_the_line_of_the_user() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        told = link.described(error, error.__traceback__)
    assert told.startswith("JSONDecodeError: Expecting property name")
    assert f"({__file__}:" in told
    assert link.described(NetsError("one\ntwo"), None) == "NetsError: one (an unknown place)"
    assert link.main_line() != ""
    assert link.users_line([(json.__file__, 1)]) == f"{json.__file__}:1"


@pytest.mark.parametrize(
    ("environment", "ranks"),
    [
        ({}, 1),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 4),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, 2),
        ({"PMI_SIZE": "much"}, 1),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, 1),  # of a batch script, which is one process
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "16", "PMIX_RANK": "0"}, 8),
        ({"PMIX_RANK": "0"}, 1),
    ],
)
def test_what_launchers_leave_in_the_environment(environment: dict[str, str], ranks: int) -> None:
    assert launch.started(environment) == ranks


def test_several_ranks_need_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(MissingMPIError, match=r"4 ranks .* pip install nets-compiler\[mpi\]"):
        launch.world()


def test_a_timeout_is_positive() -> None:
    from nets.distributed import init

    with pytest.raises(ArgumentError, match="positive number of seconds, not 0"):
        init(timeout=0)
