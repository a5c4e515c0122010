"""Functions of ``nets.nn.functional`` beside PyTorch's: values and gradients, eager and traced.

PyTorch's own samples of them are run by ``tests/acceptance/opinfo.py``; here is a case or two of
each, and traced, several in one program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, IndexOutOfBoundsError, NetsError, ShapeError

torch = pytest.importorskip("torch")
OURS, THEIRS = nets.nn.functional, torch.nn.functional

RNG = np.random.default_rng(5)
LINE = RNG.normal(size=(2, 4, 9))
IMAGE = RNG.normal(size=(2, 4, 6, 5))
VOLUME = RNG.normal(size=(2, 2, 4, 5, 3))
ROWS, OTHER, THIRD = (RNG.normal(size=(5, 3)) for _ in range(3))
SIGNS = np.where(RNG.random(5) < 0.5, -1, 1)
CLASSES = RNG.integers(0, 3, 5)
GRID = RNG.uniform(-1.2, 1.2, (2, 3, 4, 2))
LOGS = np.log(RNG.dirichlet(np.ones(5), (7, 3)))

Case = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of (functional, *tensors), and the tensors."""

K1, K2, K3 = (RNG.normal(size=(6, 2, *(2, 3, 2)[:n])) for n in (1, 2, 3))
T1, T2, T3 = (RNG.normal(size=(n, 3, *(2, 3, 2)[:rank])) for rank, n in ((1, 4), (2, 4), (3, 2)))

CASES: dict[str, Case] = {
    "conv3d": (lambda F, x, w: F.conv3d(x, w, None, (1, 2, 1), 1, (2, 1, 1)), (VOLUME, K3)),
    "conv1d": (lambda F, x, w: F.conv1d(x, w, stride=2, padding=1, groups=2), (LINE, K1)),
    "transpose1": (lambda F, x, w: F.conv_transpose1d(x, w, None, 2, 1, 1), (LINE, T1)),
    "transpose3": (lambda F, x, w: F.conv_transpose3d(x, w, None, 2, 1, 1), (VOLUME, T3)),
    "max_pool3d": (lambda F, x: F.max_pool3d(x, (2, 3, 2), 2, 1), (VOLUME,)),
    "indices": (
        lambda F, x: F.max_pool2d(x, 3, 2, 1, 1, True, return_indices=True),
        (IMAGE,),
    ),
    "indices3": (lambda F, x: F.max_pool3d(x, 2, return_indices=True), (VOLUME,)),
    "unpool": (
        lambda F, x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, None, 0, (6, 5)),
        (IMAGE,),
    ),
    "avg_pool3d": (lambda F, x: F.avg_pool3d(x, 2, 1, 1, True, False), (VOLUME,)),
    "divisor": (lambda F, x: F.avg_pool2d(x, 2, divisor_override=3), (IMAGE,)),
    "lp_pool": (lambda F, x: F.lp_pool2d(x * x, 3.0, 2, 1) + F.lp_pool2d(x, 2.0, 2, 1), (IMAGE,)),
    "adaptive": (
        lambda F, x: (
            F.adaptive_avg_pool2d(x, (4, 3)),
            F.adaptive_avg_pool2d(x, (3, None)),
            *F.adaptive_max_pool2d(x, 4, return_indices=True),
        ),
        (IMAGE,),
    ),
    "adaptive3": (lambda F, x: F.adaptive_avg_pool3d(x, (3, 2, 2)), (VOLUME,)),
    "unfold": (lambda F, x: F.unfold(x, (2, 3), 1, 1, 2), (IMAGE,)),
    "fold": (
        lambda F, x: F.fold(F.unfold(x, 2, (2, 1), 1, 2), (6, 5), 2, (2, 1), 1, 2),
        (IMAGE,),
    ),
    "pads": (
        lambda F, x: (
            F.pad(x, (1, 2, -1, 3), "reflect"),
            F.pad(x[0], (5, 4), "circular"),
            F.pad(x, (7, -2, 1, 0), "replicate"),
            F.pad(x, (1, -1, 0, 2, 1, 1), value=3.0),
        ),
        (IMAGE,),
    ),
    "nearest": (
        lambda F, x: (
            F.interpolate(x, (4, 9)),
            F.interpolate(x, scale_factor=1.7, mode="nearest-exact"),
        ),
        (IMAGE,),
    ),
    "linear": (
        lambda F, x: (
            F.interpolate(x, 14, mode="linear"),
            F.interpolate(x, scale_factor=0.6, mode="linear", align_corners=True),
        ),
        (LINE,),
    ),
    "bilinear": (
        lambda F, x: (
            F.interpolate(x, (9, 3), mode="bilinear", align_corners=True),
            F.interpolate(x, (3, 7), mode="bilinear", antialias=True),
        ),
        (IMAGE,),
    ),
    "bicubic": (
        lambda F, x: (
            F.interpolate(x, (9, 3), mode="bicubic"),
            F.interpolate(x, (3, 7), mode="bicubic", antialias=True),
        ),
        (IMAGE,),
    ),
    "trilinear": (lambda F, x: F.interpolate(x, (6, 4, 3), mode="trilinear"), (VOLUME,)),
    "area": (lambda F, x: F.interpolate(x, (4, 3), mode="area"), (IMAGE,)),
    "shuffles": (
        lambda F, x: F.pixel_unshuffle(F.pixel_shuffle(F.channel_shuffle(x, 2), 2), 2),
        (IMAGE,),
    ),
    "grid_sample": (
        lambda F, x, g: (
            F.grid_sample(x, g, align_corners=False),
            F.grid_sample(x, g, "bicubic", "border", True),
            F.grid_sample(x, g, "bilinear", "reflection", False),
            F.grid_sample(x, g, "nearest", "zeros", True),
        ),
        (IMAGE, GRID),
    ),
    "affine_grid": (
        lambda F, t: (
            F.affine_grid(t, (2, 3, 4, 5), False),
            F.affine_grid(t, (2, 1, 2, 3), True),
        ),
        (RNG.normal(size=(2, 2, 3)),),
    ),
    "instance_norm": (lambda F, x: F.instance_norm(x, eps=1e-3), (IMAGE,)),
    "response": (lambda F, x: F.local_response_norm(x, 3, 0.1), (IMAGE,)),
    "normalize": (lambda F, x: (F.normalize(x), F.normalize(x, 1.0, 0)), (ROWS,)),
    "distances": (
        lambda F, x, y: (
            F.cosine_similarity(x, y),
            F.pairwise_distance(x, y),
            F.pairwise_distance(x, y, 3.0, keepdim=True),
        ),
        (ROWS, OTHER),
    ),
    "bilinear map": (
        lambda F, x, y, w: F.bilinear(x, y, w),
        (ROWS, OTHER, RNG.normal(size=(4, 3, 3))),
    ),
    "bags": (
        lambda F, w, i, o: (
            F.embedding_bag(i, w, o),
            F.embedding_bag(i, w, o, mode="max", padding_idx=1),
            F.embedding_bag(i.reshape(2, 3), w, mode="sum"),
            F.embedding(i, w, scale_grad_by_freq=True),
        ),
        (OTHER, np.array([0, 1, 1, 4, 2, 0]), np.array([0, 2, 2, 5])),
    ),
    "shrinks": (
        lambda F, x: (
            F.softshrink(x) + F.hardshrink(x, 0.3) + F.tanhshrink(x),
            F.threshold(x, 0.1, 2.0) + F.softmin(x, 1) + F.rrelu(x),
        ),
        (ROWS,),
    ),
    "prelu": (lambda F, x, w: F.prelu(x, w), (IMAGE, RNG.normal(size=4))),
    "hinges": (
        lambda F, x, y, s: (
            F.hinge_embedding_loss(x[:, 0], s),
            F.margin_ranking_loss(x[:, 0], y[:, 0], s, 0.3),
            F.soft_margin_loss(x[:, 0], s),
            F.cosine_embedding_loss(x, y, s, 0.1),
        ),
        (ROWS, OTHER, SIGNS),
    ),
    "margins": (
        lambda F, x, c, m: (
            F.multi_margin_loss(x, c, 2, 0.7),
            F.multilabel_margin_loss(x, m),
            F.multilabel_soft_margin_loss(x, m * 0.5 + 0.5, reduction="sum"),
        ),
        (ROWS, CLASSES, np.array([[0, 2, -1], [1, -1, 0], [-1, 0, 0], [2, 1, 0], [0, -1, 1]])),
    ),
    "triplets": (
        lambda F, a, p, n: (
            F.triplet_margin_loss(a, p, n, swap=True),
            F.triplet_margin_with_distance_loss(a, p, n, margin=0.5),
        ),
        (ROWS, OTHER, THIRD),
    ),
    "likelihoods": (
        lambda F, x, y, v: (
            F.poisson_nll_loss(x, y * y, full=True),
            F.poisson_nll_loss(x * x, y * y, log_input=False),
            F.gaussian_nll_loss(x, y, v * v, full=True),
        ),
        (ROWS, OTHER, THIRD),
    ),
    "ctc": (
        lambda F, x, t: F.ctc_loss(F.log_softmax(x, -1), t, (7, 6, 4), (3, 2, 0)),
        (LOGS, np.array([[1, 1, 2], [3, 4, 0], [0, 0, 0]])),
    ),
    "ctc of one line": (
        lambda F, x, t: F.ctc_loss(
            F.log_softmax(x, -1), t, (7, 2, 7), (2, 3, 1), 4, "sum", zero_infinity=True
        ),
        (LOGS, np.array([1, 1, 2, 3, 3, 0])),
    ),
    "grouped queries": (
        lambda F, q, k: F.scaled_dot_product_attention(q, k, k, scale=0.3, enable_gqa=True),
        (RNG.normal(size=(2, 6, 3, 4)), RNG.normal(size=(2, 2, 5, 4))),
    ),
}


PARTS = 7


def flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def tensors(arrays: tuple[Any, ...], make: Callable[[Any], Any]) -> list[Any]:
    found = [make(a.copy()) for a in arrays]
    for x, a in zip(found, arrays, strict=True):
        x.requires_grad = a.dtype.kind == "f"
    return found


def loss_of(results: list[Any]) -> Any:
    return sum((x * x).sum() for x in results if "int" not in str(x.dtype))


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_pytorch(name: str) -> None:
    case, arrays = CASES[name]
    ours, theirs = tensors(arrays, nets.Tensor), tensors(arrays, torch.from_numpy)
    found, expected = flat(case(OURS, *ours)), flat(case(THEIRS, *theirs))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-7, atol=1e-10)
        assert str(a.dtype) == str(b.dtype).removeprefix("torch.")
    loss_of(found).backward()
    loss_of(expected).backward()
    for x, y in zip(ours, theirs, strict=True):
        if y.requires_grad:
            wanted = np.zeros(x.shape) if y.grad is None else y.grad.numpy()
            np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.sampled(PARTS)
def test_all_of_them_traced(part: int) -> None:
    """A program of the values and gradients of several."""
    every = list(CASES.values())[part::PARTS]

    def run(nest: Any) -> Any:
        return [flat(case(OURS, *x)) for (case, _), x in zip(every, nest, strict=True)]

    def total(nest: Any) -> Any:
        results = run(nest)
        return sum(loss_of(found) for found in results), results

    floats = [[i for i, a in enumerate(arrays) if a.dtype.kind == "f"] for _, arrays in every]

    def of_floats(nest: Any) -> Any:
        whole = [
            [x.pop(0) if i in at else nets.as_tensor(a) for i, a in enumerate(arrays)]
            for (_, arrays), at, x in zip(every, floats, [list(x) for x in nest], strict=True)
        ]
        return total(whole)

    given = [[arrays[i] for i in at] for (_, arrays), at in zip(every, floats, strict=True)]
    (_, results), gradients = nets.trace(nets.value_and_grad(of_floats, has_aux=True))(given)
    for (case, arrays), found, grads, at in zip(every, results, gradients, floats, strict=True):
        own = tensors(arrays, nets.Tensor)
        expected = flat(case(OURS, *own))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-11)
        loss_of(expected).backward()
        for i, grad in zip(at, grads, strict=True):
            np.testing.assert_allclose(grad.numpy(), own[i].grad.numpy(), rtol=1e-7, atol=1e-9)


def test_what_is_drawn_keeps_its_mean() -> None:
    nets.manual_seed(0)
    x = nets.ones((50, 40, 3, 2))
    for drop in (OURS.dropout2d, OURS.dropout3d, OURS.dropout):
        found = drop(x.reshape(50, 40, 3, 2, 1) if drop is OURS.dropout3d else x, 0.3).numpy()
        assert abs(found.mean() - 1) < 0.06
    channels = OURS.dropout2d(x, 0.5).numpy()
    assert set(np.unique(channels.sum((2, 3)))) == {0, 12}
    normal = nets.random.normal((400, 50))
    for drop in (OURS.alpha_dropout, OURS.feature_alpha_dropout):
        found = drop(normal, 0.2, training=True).numpy()
        assert abs(found.mean()) < 0.05
        assert abs(found.std() - 1) < 0.05
        assert drop(normal, 0.2).tolist() == normal.tolist()
    scores = nets.Tensor([[0.0, 1.0, 2.0]] * 3000, requires_grad=True)
    hard = OURS.gumbel_softmax(scores, 0.7, hard=True)
    np.testing.assert_allclose(hard.numpy().mean(0), [0.09, 0.245, 0.665], atol=0.04)
    hard[0].sum().backward()
    assert np.isfinite(scores.grad.numpy()).all()  # type: ignore[union-attr]
    slopes = OURS.rrelu(-nets.ones(1000), 0.1, 0.3, training=True).numpy()
    assert -0.3 <= slopes.min() < -0.25
    assert -0.15 < slopes.max() <= -0.1


def test_rows_are_shortened_in_the_table_itself() -> None:
    table = nets.Tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    assert OURS.embedding([0, 1], table, max_norm=1.0).shape == (2, 2)
    np.testing.assert_allclose(table.numpy(), [[0.6, 0.8], [0.3, 0.4], [6, 8]], rtol=1e-6)


REFUSED: list[tuple[Callable[[], Any], type[NetsError], str]] = [
    (lambda: OURS.pad(IMAGE, (9, 0), "reflect"), ShapeError, "fewer than"),
    (lambda: OURS.pad(IMAGE, (1,)), ArgumentError, "pairs"),
    (lambda: OURS.pad(IMAGE, (1, 1), "mirror"), ArgumentError, "mode"),
    (lambda: OURS.interpolate(IMAGE), ArgumentError, "scale_factor"),
    (lambda: OURS.interpolate(IMAGE, 3, mode="linear"), ShapeError, "linear"),
    (lambda: OURS.interpolate(IMAGE, 3, align_corners=True), ArgumentError, "align_corners"),
    (lambda: OURS.unfold(IMAGE, 9), ShapeError, "fit"),
    (lambda: OURS.fold(LINE, 3, 2), ShapeError, "columns"),
    (lambda: OURS.adaptive_avg_pool2d(ROWS, 2), ShapeError, "space"),
    (lambda: OURS.max_unpool2d(IMAGE, IMAGE.astype(int), 2, None, 0, (99, 99)), ArgumentError, "a"),
    (lambda: OURS.grid_sample(IMAGE, ROWS), ShapeError, "grid_sample"),
    (lambda: OURS.ctc_loss(LOGS, [[9]] * 3, (7,) * 3, (1,) * 3), IndexOutOfBoundsError, "class"),
    (lambda: OURS.ctc_loss(LOGS, [[1]] * 3, (8,) * 3, (1,) * 3), IndexOutOfBoundsError, "lengths"),
    (lambda: OURS.gaussian_nll_loss(ROWS, ROWS, -1.0), ArgumentError, "variance"),
    (lambda: OURS.multi_margin_loss(ROWS, CLASSES, 3), ArgumentError, "p = 1 or 2"),
    (lambda: OURS.bilinear(ROWS, OTHER, ROWS), ShapeError, "bilinear"),
    (lambda: OURS.embedding_bag([1, 2], ROWS), ShapeError, "offsets"),
    (lambda: OURS.conv3d(VOLUME, K2), ShapeError, "conv3d"),
    (lambda: OURS.avg_pool2d(IMAGE, 2, divisor_override=0), ArgumentError, "divisor"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_bad_input_is_refused(call: Callable[[], Any], error: type[NetsError], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call()
    assert "test_more_functional.py" in str(caught.value)
