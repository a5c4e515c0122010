"""A step over shards has one result for any number of ranks: that of one rank."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
import nets.distributed as dist
from nets import nn
from nets.distributed import simulated
from nets.errors import (
    ArgumentError,
    ControlFlowError,
    DisagreementError,
    MutatedArgumentError,
    ShapeError,
)
from nets.passes.distribution import transfers

F = nn.functional
_RNG = np.random.default_rng(5)
X = _RNG.standard_normal((24, 6)).astype(np.float32)
Y = _RNG.integers(0, 3, 24)
WEIGHTS = {
    "w": _RNG.standard_normal((6, 3)).astype(np.float32),
    "b": np.zeros(3, np.float32),
}
_ALONE = threading.Lock()


def bits(result: Any) -> list[bytes]:
    """The elements of a nest of dicts, tuples and arrays."""
    if isinstance(result, dict):
        return [part for key in sorted(result) for part in bits(result[key])]
    if isinstance(result, tuple | list):
        return [part for item in result for part in bits(item)]
    return [np.asarray(result).tobytes()]


def on_all(run: Callable[[], Any], ranks: tuple[int, ...]) -> Any:
    """The result of ``run`` on one rank, which every rank of larger jobs must have."""
    alone = run()
    for count in ranks:
        found = simulated.run(lambda rank: bits(run()), count)
        assert found == [bits(alone)] * count, count
    return alone


def loss_of(p: dict[str, Any], x: Any, y: Any) -> nets.Tensor:
    return F.cross_entropy(nets.tanh(x) @ p["w"] + p["b"], y)


def sgd(p: dict[str, Any], x: Any, y: Any) -> Any:
    loss, gradients = nets.value_and_grad(loss_of)(p, x, y)
    return {key: p[key] - 0.1 * gradients[key] for key in p}, loss


def trained(shards: int, **options: Any) -> Any:
    step, p = dist.parallel(sgd, shards=shards, **options), WEIGHTS
    for _ in range(3):
        p, loss = step(p, X, Y)
    return p, loss


@pytest.mark.parametrize("limit", [transfers.GATHERED_BYTES, 0], ids=["gathered", "halved"])
@pytest.mark.parametrize(("shards", "ranks"), [(8, (2, 4, 8)), (12, (2, 3, 4, 6)), (3, (3,))])
def test_functional_step(
    shards: int, ranks: tuple[int, ...], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "GATHERED_BYTES", limit)
    p, loss = on_all(lambda: trained(shards), ranks)
    whole = WEIGHTS
    for _ in range(3):
        whole, of_whole = sgd(whole, X, Y)
    assert np.allclose(loss, of_whole, rtol=1e-5)
    assert all(np.allclose(p[key], whole[key], rtol=1e-4, atol=1e-6) for key in p)


def test_one_shard_is_the_plain_step() -> None:
    plain, p = nets.trace(sgd), WEIGHTS
    for _ in range(3):
        p, loss = plain(p, X, Y)
    assert bits(trained(1)) == bits((p, loss))


def model_of() -> nn.Module:
    # What a seed gives is drawn by one rank after the other: simulated ranks share the generator.
    with _ALONE:
        nets.manual_seed(3)
        return nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3)
        )


def imperative(shards: int) -> Any:
    model = model_of()
    optimizer = nets.optim.Adam(model.parameters(), lr=1e-2)
    schedule = nets.optim.lr_scheduler.StepLR(optimizer, 2)

    @dist.parallel(shards=shards)
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        scores = model(x)
        loss = F.cross_entropy(scores, y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss, (nets.argmax(scores, 1) == y).sum(), scores

    for _ in range(4):
        loss, right, scores = step(X, Y)
        schedule.step()
    state = {key: np.asarray(value) for key, value in model.state_dict().items()}
    return state, loss, right, scores


def test_imperative_step() -> None:
    state, loss, right, scores = on_all(lambda: imperative(4), (2, 4))
    assert scores.shape == (24, 3)
    assert loss.shape == ()
    assert 0 <= int(right) <= 24
    assert int(state["1.num_batches_tracked"]) == 4


def test_accumulated_gradients_are_those_of_one_batch() -> None:
    def accumulated() -> Any:
        model = model_of()

        @dist.parallel(shards=4)
        def step(first: Any, second: Any, y: Any) -> Any:
            for x in (first, second):
                F.cross_entropy(model(x), y).backward()

        step(X, X[::-1].copy(), Y)
        return [p.grad for p in model.parameters()]

    on_all(accumulated, (2, 4))


def test_random_numbers_belong_to_the_shard() -> None:
    def drawn() -> Any:
        generator = nets.random.Generator(7)

        @dist.parallel(shards=4)
        def step(x: Any) -> Any:
            return x * 0 + nets.random.uniform((x.shape[0],), key=generator.next_key())

        first, second = step(X[:, 0]), step(X[:, 0])
        return first, second, generator.counter

    first, second, count = on_all(drawn, (2, 4))
    assert len({*first.numpy(), *second.numpy()}) == 48
    assert int(count) == 2


def test_collectives_inside_a_step() -> None:
    def joined() -> Any:
        @dist.parallel(shards=4)
        def step(x: Any) -> Any:
            own = dist.shard_index()
            total = dist.all_reduce(x, "sum")
            low, high = dist.all_reduce((x, x), "min")[0], dist.all_reduce(x, "max")
            rows = dist.all_gather(x)
            part = dist.reduce_scatter(nets.concatenate([x, x + 1]))
            second = dist.broadcast(x + own.astype("float32"), root=1)
            again = dist.all_reduce(total, "sum")  # of what all have in common
            return total, low, high, rows, part, second, again, x * 0 + own

        return step(X)

    total, low, high, rows, part, second, again, own = on_all(joined, (2, 4))
    parts = X.reshape(4, 6, 6)
    summed = (parts[0] + parts[1]) + (parts[2] + parts[3])
    assert np.array_equal(total, summed)
    assert np.array_equal(again, 4 * summed)
    assert np.array_equal(low, parts.min(0))
    assert np.array_equal(high, parts.max(0))
    assert rows.shape == (4, 6, 6)
    assert np.array_equal(rows, parts)
    wanted = np.concatenate([parts, parts + 1], 1)
    assert np.array_equal(part, (wanted[0] + wanted[1]) + (wanted[2] + wanted[3]))
    assert np.array_equal(second, parts[1] + 1)
    assert np.array_equal(own[:, 0], np.repeat(np.arange(4), 6))


def test_collectives_join_ranks_outside_of_a_step() -> None:
    def of_rank(rank: int) -> Any:
        def total(x: Any) -> Any:
            return (dist.all_reduce(x, "mean") * dist.shard_index()).sum()

        x = nets.Tensor(X[rank])
        eager, traced = total(x), nets.trace(total)(x)
        by_rank = nets.grad(total)(x), nets.trace(nets.grad(total))(x)
        batched = nets.vmap(lambda row: dist.all_reduce(row, "max"))(
            nets.Tensor(X[rank : rank + 2])
        )
        dist.barrier()
        return eager, traced, by_rank, batched

    found = simulated.run(of_rank, 4)
    tree = (X[0] + X[1]) + (X[2] + X[3])
    for rank, (eager, traced, gradients, batched) in enumerate(found):
        assert bits(eager) == bits(traced)
        assert np.allclose(eager, rank * (tree / 4).sum())
        # The derivative of what all ranks together give: (0 + 1 + 2 + 3) / 4 each.
        assert all(np.allclose(g, 1.5) for g in gradients)
        assert np.array_equal(batched, np.stack([X[:4].max(0), X[1:5].max(0)]))


@pytest.mark.parametrize("op", ["max", "min"])
def test_extremes_of_zeros_have_the_sign_that_they_have_on_one_rank(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "GATHERED_BYTES", 0)
    zeros = _RNG.choice(np.array([0.0, -0.0], np.float32), (8, 9))
    on_all(lambda: dist.parallel(lambda x: dist.all_reduce(x[0], op), shards=8)(zeros), (4, 8))


@pytest.mark.parametrize("op", ["sum", "mean", "max", "min"])
def test_derivatives_of_all_reduce(op: str) -> None:
    """Against differences of the sum of what all ranks give."""
    points, weights = _RNG.standard_normal((2, 4, 3))
    points[2, 1] = points[0, 1]  # two have the largest, or neither

    def of(points: Any) -> list[float]:
        def rank_loss(rank: int) -> float:
            x = nets.Tensor(points[rank])
            return float((nets.sin(dist.all_reduce(x, op)) * weights[rank]).sum())

        return simulated.run(rank_loss, 4)

    def slopes(rank: int) -> Any:
        loss = nets.trace(lambda x: (nets.sin(dist.all_reduce(x, op)) * weights[rank]).sum())
        return nets.grad(loss)(nets.Tensor(points[rank])), nets.jvp(
            loss, (nets.Tensor(points[rank]),), (nets.Tensor(weights[rank]),)
        )[1]

    found = simulated.run(slopes, 4)
    step = 1e-6
    for i in range(4):
        for j in (0, 2):
            moved = points.copy()
            moved[i, j] += step
            difference = (sum(of(moved)) - sum(of(points))) / step
            assert np.isclose(difference, found[i][0][j], rtol=1e-4, atol=1e-5)
    # Forward and reverse mode are transposes of each other.
    forward = sum(float(tangent) for _, tangent in found)
    backward = sum(
        float((gradient.numpy() * w).sum()) for (gradient, _), w in zip(found, weights, strict=True)
    )
    assert np.isclose(forward, backward)


def test_arguments_are_cut_as_they_say() -> None:
    def step(w: Any, batch: Any, x: Any) -> Any:
        return (x @ w).sum() + batch["y"].sum(), batch["y"].shape[0] + 0 * x[0, 0]

    batch = {"y": Y.astype(np.float32)}
    value, rows = dist.parallel(step, shards=4)(WEIGHTS["w"], batch, X)
    assert int(rows) == 6
    assert np.isclose(value, ((X @ WEIGHTS["w"]).sum() + batch["y"].sum()) / 4, rtol=1e-5)
    shared = dist.parallel(step, shards=4, in_axes=(None, None, 0))
    assert int(shared(WEIGHTS["w"], batch, X)[1]) == 24
    square = dist.parallel(step, shards=6, in_axes=(None, {"y": 0}, 0))
    assert int(square(WEIGHTS["w"], batch, X)[1]) == 4


def test_own_rows() -> None:
    def run(rank: int) -> Any:
        step, p = dist.parallel(sgd, shards=8, rows="own"), WEIGHTS
        own = slice(6 * rank, 6 * rank + 6)
        for _ in range(3):
            p, loss = step(p, X[own], Y[own])
        return bits((p, loss))

    assert simulated.run(run, 4) == [bits(trained(8))] * 4


def test_an_exported_step_is_that_of_a_rank(tmp_path: Any) -> None:
    step = dist.parallel(sgd, shards=4, ranks=1)
    nets.export(tmp_path / "step", step=step.lower(WEIGHTS, X, Y))
    loaded = nets.load(tmp_path / "step.so")
    assert bits(loaded.step(WEIGHTS, X, Y)) == bits(step(WEIGHTS, X, Y))


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="start 1, 2, 4 or 8"):
        simulated.run(lambda rank: trained(8), 3)
    with pytest.raises(ShapeError, match="drop_last"):
        dist.parallel(sgd, shards=8)(WEIGHTS, X[:23], Y[:23])
    with pytest.raises(ArgumentError, match="whole number"):
        dist.parallel(sgd, shards=0)
    with pytest.raises(ArgumentError, match="'all' or 'own'"):
        dist.parallel(sgd, shards=2, rows="mine")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="a bool"):
        dist.parallel(lambda x: x.sum() > 0, shards=2)(X)
    with pytest.raises(ArgumentError, match="'product'"):
        dist.all_reduce(X, "product")

    weight = nets.Tensor(WEIGHTS["w"], requires_grad=True)

    def changed(x: Any) -> Any:
        weight.data = weight - x.sum()

    with pytest.raises(MutatedArgumentError, match="parameter"):
        dist.parallel(changed, shards=2)(X)

    def looped(x: Any) -> Any:
        return nets.scan(lambda c, row: (dist.all_reduce(c + row), None), x[0] * 0, x)[0]

    with pytest.raises(ControlFlowError, match="behind the loop"):
        dist.parallel(looped, shards=2)(X)


def test_ranks_that_differ_are_told_so() -> None:
    def sizes(rank: int) -> Any:
        rows = 24 if rank != 2 else 16
        return dist.parallel(sgd, shards=4)(WEIGHTS, X[:rows], Y[:rows])

    with pytest.raises(DisagreementError, match=r"rank 2 differs from the others:\n(.*\n)*.*16x6"):
        simulated.run(sizes, 4)

    def shards(rank: int) -> Any:
        return dist.parallel(sgd, shards=4 if rank else 8)(WEIGHTS, X, Y)

    with pytest.raises(DisagreementError, match="rank 0 differs"):
        simulated.run(shards, 4)

    def otherwise_rounded(rank: int) -> Any:
        options = {"numerics": "strict" if rank else "strict-nofma"}
        total = nets.trace(lambda x: dist.all_reduce(x), **options)
        return total(X)

    with pytest.raises(DisagreementError, match=r"rank 0 differs(.*\n)*.*numerics strict"):
        simulated.run(otherwise_rounded, 4)

    def late(rank: int) -> Any:
        step = dist.parallel(sgd, shards=4)
        for size in (24, 16 if rank == 2 else 24):
            step(WEIGHTS, X[:size], Y[:size])

    with pytest.raises(DisagreementError, match="rank 2"):
        simulated.run(late, 4)
