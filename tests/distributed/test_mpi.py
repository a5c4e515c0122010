"""Jobs of MPI: transfers between processes, and how a job ends when one of its ranks fails."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import time

import pytest

from tests.distributed.mpi import NAMES, SETTINGS, launchers, run


def transfers() -> None:
    """What every rank of the first job does; it is started as a program of its own."""
    import os
    import time

    import numpy as np
    import pytest

    import nets
    from nets import communicator
    from nets.communicator import Kind, Transfer
    from nets.distributed import mpi, steps
    from nets.errors import ArgumentError, DisagreementError, ForkError

    assert nets.distributed.size() == 1
    nets.distributed.init(timeout=2)
    nets.distributed.init()
    me, size = nets.distributed.rank(), nets.distributed.size()
    pairs = size // 2 * 2
    peer = me ^ 1 if me < pairs else me
    generator = np.random.default_rng(1)
    for steps.LONGEST, steps.LARGE in ((1 << 30, 1 << 16), (5000, 100)):
        for shape in ((), (0,), (7,), (1000,), (3, 4001)):
            all_values = generator.standard_normal((size, *shape))
            values = all_values[me]
            np.testing.assert_array_equal(communicator.gather(values), all_values, strict=True)
            np.testing.assert_array_equal(communicator.exchange(values, peer), all_values[peer])
            for root in range(size):
                found = communicator.broadcast(values, root)
                np.testing.assert_array_equal(found, all_values[root])

    mpi.AHEAD = 1000  # large ones get on by themselves
    world, pending = communicator.current(), []
    for i in range(24):
        sent = np.full((3, 200_000, 0, 50)[i % 4], i + me, np.uint8)
        received = np.zeros(sent.size * size, np.uint8)
        pending.append((world.begin(Transfer(Kind.GATHER, -1, sent, received)), sent, received))
    for i in np.random.default_rng(me).permutation(len(pending)):
        transfer, sent, received = pending[i]
        transfer.wait()
        expected = np.repeat(np.arange(size) + i, sent.size)
        np.testing.assert_array_equal(received, expected.astype(np.uint8))
    sent = np.full(100_000, me, np.uint8)
    received = np.zeros(sent.size, np.uint8)
    transfer = world.begin(Transfer(Kind.EXCHANGE, peer, sent, received))
    for _ in range(600):
        if received[-1] == peer or me >= pairs:
            break
        time.sleep(0.01)  # nobody waits for it
    else:
        raise AssertionError("a large transfer does not get on by itself")
    transfer.wait()

    communicator.agree("step", b"1", "shards = 4")
    communicator.agree("step", b"1", "shards = 4")
    with pytest.raises(DisagreementError, match=r"rank 1 differs (.*\n)*  rank 1: shards = 5"):
        communicator.agree("step", b"12"[me == 1 :], f"x: f32[3]\nshards = {4 + (me == 1)}")
    with pytest.raises(ArgumentError, match="no rank"):
        communicator.broadcast(1, root=size)
    child = os.fork()
    if child == 0:
        try:
            communicator.gather(1)
        except ForkError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    with nets.distributed.patience(60):
        time.sleep(4 if me == 1 else 0)  # the timeout is 2
    nets.distributed.barrier()
    os.write(1, f"rank {me} of {size} is done\n".encode())  # at once: ranks share the output


FAILING = """
import os, sys, time
import nets
nets.distributed.init(timeout=1)
nets.distributed.barrier()
if nets.distributed.rank() == 1:
    print("the last word of rank 1")
    {}
while True:
    nets.communicator.barrier()
    time.sleep(0.01)
"""


def job(name: str, ranks: int, program: str) -> tuple[int, str, list[str]]:
    """Exit code, standard output, and what nets says of a job, which ends in time."""
    start = time.monotonic()
    found = run(name, ranks, program)
    assert time.monotonic() - start < 60, found.stderr
    print(found.stdout, found.stderr)
    errors = found.stderr.replace("\0", "")  # which Open MPI ends its own words with
    return found.returncode, found.stdout, re.findall("^nets: .*$", errors, re.MULTILINE)


@pytest.mark.parametrize(("name", "ranks"), [("mpich", 3), ("openmpi", 4)])
def test_transfers_between_processes(name: str, ranks: int) -> None:
    program = f"{inspect.getsource(transfers)}\ntransfers()"
    found = run(name, ranks, program)
    print(found.stderr)
    assert found.returncode == 0
    done = sorted(line for line in found.stdout.splitlines() if "done" in line)
    assert done == [f"rank {rank} of {ranks} is done" for rank in range(ranks)]
    assert found.stderr == ""


WHO = r"nets: rank 1 of 2 \(host \S+, process \d+\) "


@pytest.mark.parametrize(
    ("name", "failure", "code", "sentence"),
    [
        (
            "openmpi",
            "nets.zeros(3) + nets.zeros(4)",
            1,
            r"raised ShapeError: .*\(<string>:8\); the job ends",
        ),
        ("mpich", "os.kill(os.getpid(), 9)", 9, r"died.*; the job ends"),
        (
            "mpich",
            "while True: pass",
            1,
            r"keeps others waiting for [12] seconds: it is at <string>:8, while rank 0 waits in "
            r"transfer \d+ \(gather of 0 bytes\) at <string>:10 .*; the job ends",
        ),
        pytest.param(
            "openmpi",
            "nets.communicator.exchange(1, 0)",
            1,
            r"makes another transfer than rank 0: rank 0 waits in transfer 1 \(gather of 0 bytes\) "
            r"at <string>:10, rank 1 waits in transfer 1 \(exchange of 8 bytes with rank 0\) at "
            r"<string>:8; the job ends",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "mpich",
            "sys.exit(3)",
            3,
            r"has ended by sys.exit\(3\) while rank 0 waits in transfer 1 .*; the job ends",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_job_ends_with_one_sentence(name: str, failure: str, code: int, sentence: str) -> None:
    found, output, said = job(name, 2, FAILING.format(failure))
    assert len(said) == 1, said
    assert re.fullmatch(WHO + sentence, said[0]), said
    assert found == code or (found != 0 and "died" in sentence)
    assert "kill" in failure or "the last word of rank 1" in output


def test_a_launcher_of_another_library_is_found() -> None:
    """Each rank would go on as if it were alone."""
    if set(launchers()) != set(NAMES):
        pytest.skip("needs both MPICH and Open MPI: make mpi")
    program = "import nets; nets.distributed.init()"
    found = run("mpich", 2, program, **launchers()["openmpi"][1])
    assert found.returncode != 0
    assert "MissingMPIError: 2 ranks were started by a launcher that is not of" in found.stderr


def test_without_a_launcher_a_process_is_alone() -> None:
    program = (
        "import sys, nets; nets.distributed.init(); nets.distributed.barrier()\n"
        "assert nets.distributed.is_initialized()\n"
        "assert (nets.distributed.rank(), nets.distributed.size()) == (0, 1)\n"
        "assert nets.communicator.gather([1]).tolist() == [[1]]\n"
        "nets.distributed.shutdown()\n"
        "assert not nets.distributed.is_initialized()\n"
        "assert not {'mpi4py', 'nets.distributed.mpi', 'nets.distributed.link'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "PYTHONPATH": SETTINGS["PYTHONPATH"]},
        check=True,
    )
