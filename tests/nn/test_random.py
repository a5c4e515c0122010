"""Random numbers: the generator's published answers, distributions, keys, and traces."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import nets
from nets import random


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers_of_threefry(
    counter: tuple[int, int], key: tuple[int, int], expected: tuple[int, int]
) -> None:
    """The vectors that come with Salmon et al.'s Random123."""
    number = nets.Tensor(counter[0] << 32 | counter[1], dtype="uint64")
    folded = random.fold_in(nets.Tensor(key, dtype="uint32"), number)
    assert tuple(folded.tolist()) == expected


def test_traces_draw_the_same_numbers() -> None:
    key = random.key(5)

    def draw(key: nets.Tensor) -> tuple[nets.Tensor, ...]:
        return (
            random.bits((7,), key),
            random.uniform((3, 2), -1.0, 2.0, key=key),
            random.uniform((5,), dtype="float64", key=key),
            random.bernoulli(0.3, (9,), key),
            random.randint(-2, 3, (9,), key=key),
            random.split(key, 3),
        )

    for eager, traced in zip(draw(key), nets.trace(draw)(key), strict=True):
        assert eager.dtype == traced.dtype
        np.testing.assert_array_equal(eager.data, traced.data)
    normal = nets.trace(lambda key: random.normal((9,), key=key))(key)
    np.testing.assert_allclose(normal.data, random.normal((9,), key=key).data, rtol=1e-5)


def test_distributions() -> None:
    n = 40_000
    key = random.key(1)
    x = random.uniform((n,), 2.0, 4.0, key=key).data
    assert x.dtype == np.float32
    assert 2 <= x.min() < 2.01 < 3.99 < x.max() < 4
    assert abs(x.mean() - 3) < 0.02
    assert abs(x.var() - 1 / 3) < 0.01
    g = random.normal((n,), 1.0, 3.0, "float64", key).data
    assert abs(g.mean() - 1) < 0.06
    assert abs(g.std() - 3) < 0.05
    assert abs((np.abs(g - 1) < 3).mean() - 0.6827) < 0.01
    assert abs(random.bernoulli(0.3, (n,), key).data.mean() - 0.3) < 0.01
    counts = np.bincount(random.randint(0, 5, (n,), key=key).data)
    assert np.abs(counts / n - 0.2).max() < 0.01
    logits = np.broadcast_to(np.log([0.1, 0.2, 0.7]), (n, 3))
    picks = np.bincount(random.categorical(logits, key=key).data) / n
    assert np.abs(picks - [0.1, 0.2, 0.7]).max() < 0.01


@pytest.mark.long
def test_permutations() -> None:
    key = random.key(3)
    order = random.permutation(50, key)
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() != list(range(50))
    rows = random.permutation(np.arange(100).reshape(50, 2), key)
    assert rows[:, 0].tolist() == [2 * i for i in order.tolist()]
    for count in (0, 1, 2, 7, 50):
        traced = nets.trace(lambda key, count=count: random.permutation(count, key))(key)
        assert traced.tolist() == random.permutation(count, key).tolist(), count
    firsts = [random.permutation(5, random.key(seed))[0].item() for seed in range(500)]
    assert np.abs(np.bincount(firsts) - 100).max() < 40  # four deviations


def test_seeds_and_keys() -> None:
    random.manual_seed(7)
    first, second = random.uniform((3,)), random.uniform((3,))
    assert first.tolist() != second.tolist()
    nets.manual_seed(7)
    assert random.uniform((3,)).tolist() == first.tolist()
    state = random.default_generator.state_dict()
    third = random.uniform((3,)).tolist()
    random.default_generator.load_state_dict(state)
    assert random.uniform((3,)).tolist() == third
    one, other = random.split(random.key(7))
    assert random.bits((2,), one).tolist() != random.bits((2,), other).tolist()
    assert random.bits((0, 3)).shape == (0, 3)
    with pytest.raises(nets.errors.ArgumentError):
        random.randint(3, 3)
    for key in (7, random.split(random.key(7))):
        with pytest.raises(nets.errors.ArgumentError, match="a key is what"):
            random.uniform((3,), key=key)  # type: ignore[arg-type]
    with pytest.raises(nets.errors.DTypeError):
        random.normal((3,), dtype="int64")


def test_a_traced_function_draws_other_numbers_at_every_call() -> None:
    nets.manual_seed(2)
    draw = nets.trace(lambda x: x + random.uniform((4,)))
    x = nets.zeros((4,), "float32")
    traced = [draw(x).tolist() for _ in range(3)]
    nets.manual_seed(2)
    assert traced == [random.uniform((4,)).tolist() for _ in range(3)]


def test_seeds_may_be_tensors_and_arguments_of_a_trace() -> None:
    key = nets.trace(random.key)
    for seed in (0, 5, -3, 2**40 + 7, -(2**40)):
        expected = random.key(seed).tolist()
        assert key(seed).tolist() == random.key(nets.Tensor(seed)).tolist() == expected
    assert random.key(nets.Tensor(-2, dtype="int8")).tolist() == random.key(-2).tolist()
    large = nets.Tensor(2**63 + 9, dtype="uint64")
    assert random.key(large).tolist() == random.key(2**63 + 9).tolist()


def test_a_traced_function_seeds_the_generator_at_every_call() -> None:
    def seeded(seed: int) -> nets.Tensor:
        nets.manual_seed(seed)
        return random.uniform((3,))

    traced = nets.trace(seeded)
    for seed in (3, 4, 3):
        expected = seeded(seed).tolist(), random.uniform((2,)).tolist()
        assert (traced(seed).tolist(), random.uniform((2,)).tolist()) == expected


def test_a_generator_made_inside_a_trace_starts_anew_at_every_call() -> None:
    def draw() -> tuple[nets.Tensor, nets.Tensor]:
        made = random.Generator(4)
        return random.bits((2,), made.next_key()), random.bits((2,), made.next_key())

    traced = nets.trace(draw)
    for _ in range(3):
        assert [x.tolist() for x in traced()] == [x.tolist() for x in draw()]


FIRST_USE = """
import os
import subprocess
import sys

import numpy as np
import nets
{first}
nets.manual_seed(0)
nets.nn.Linear(2, 2)
"""


@pytest.mark.parametrize(
    "first",
    [
        "f = nets.trace(lambda x: nets.nn.functional.dropout(x, 0.5))\n"
        "assert f(np.ones(64)).tolist() != f(np.ones(64)).tolist()",
        "nets.grad(lambda x: nets.nn.functional.dropout(x, 0.5).sum())(np.ones(3))",
        "nets.vjp(lambda x: x * nets.random.uniform((3,)), np.ones(3))",
        "def f(x):\n    import nets.random as r\n    return x + r.uniform(())\nnets.trace(f)(1.0)",
    ],
    ids=["trace", "grad", "vjp", "import"],
)
@pytest.mark.sampled(4)
def test_the_first_use_may_be_inside_a_trace(first: str) -> None:
    """In a process of its own, for the module is imported once."""
    program = FIRST_USE.format(first=first)
    environment = {**os.environ, "NETS_BACKEND": "numpy"}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=environment)
