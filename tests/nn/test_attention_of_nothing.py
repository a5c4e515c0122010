"""Queries that see no key, and sums of no exponentials: 0 and −inf, with gradients of 0."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn

F = nets.nn.functional
RNG = np.random.default_rng(5)
Q, K, V = (RNG.normal(size=(2, 3, n, 4)) for n in (5, 6, 6))
SEEN = RNG.random((2, 1, 5, 6)) < 0.5
SEEN[0, 0, 1] = SEEN[1, 0, 4] = False
FLOATS = np.where(SEEN, RNG.normal(size=SEEN.shape), -math.inf)


def attention(q: Any, k: Any, v: Any, added: Any) -> Any:
    """The same in NumPy, query by query."""
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1]) + added
    result = np.zeros((*scores.shape[:-1], v.shape[-1]))
    for place in np.ndindex(*scores.shape[:-1]):
        seen = scores[place] > -math.inf
        if seen.any():
            powers = np.exp(scores[place][seen])
            result[place] = powers / powers.sum() @ v[place[:-1]][seen]
    return result


MASKS = (SEEN, FLOATS, FLOATS[:1], np.zeros((5, 6), bool))


@pytest.mark.parametrize(
    ("mask", "backend"),
    [
        *((mask, backend) for mask in MASKS[:2] for backend in ("llvm", "numpy")),
        *((mask, "eager") for mask in MASKS),
        (MASKS[3], "llvm"),
    ],
)
@pytest.mark.sampled(4)
def test_queries_without_keys(mask: Any, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    added = np.where(mask, 0.0, -math.inf) if mask.dtype == bool else mask
    call: Callable[..., Any] = nets.value_and_grad(
        lambda q, k, v: (F.scaled_dot_product_attention(q, k, v, mask) ** 2).sum(), (0, 1, 2)
    )
    if backend != "eager":
        monkeypatch.setenv("NETS_BACKEND", backend)
        call = nets.trace(call)
    value, gradients = call(Q, K, V)
    assert value.item() == pytest.approx((attention(Q, K, V, added) ** 2).sum(), rel=1e-12)
    for number, gradient in enumerate(gradients):
        assert np.isfinite(gradient.numpy()).all()
        inputs = [Q, K, V]
        direction = RNG.normal(size=inputs[number].shape)
        moved = []
        for step in (1e-6, -1e-6):
            inputs[number] = (Q, K, V)[number] + step * direction
            moved.append((attention(*inputs, added) ** 2).sum())
        slope = (moved[0] - moved[1]) / 2e-6
        assert (gradient.numpy() * direction).sum() == pytest.approx(slope, rel=1e-6, abs=1e-6)
    unseen = np.broadcast_to((added == -math.inf).all(-1), Q.shape[:-1])
    assert not gradients[0].numpy()[unseen].any()


@pytest.mark.parametrize("traced", [False, True])
def test_masks_get_gradients(traced: bool) -> None:
    slope = nets.grad(lambda m: F.scaled_dot_product_attention(Q, K, V, m).sum())
    found = (nets.trace(slope) if traced else slope)(FLOATS).numpy()
    assert np.isfinite(found).all()
    assert not found[~SEEN].any()


@pytest.mark.parametrize(("queries", "keys"), [(5, 0), (0, 3), (0, 0), (7, 2), (1, 4)])
@pytest.mark.parametrize(("causal", "traced"), [(False, True), (True, True), (True, False)])
@pytest.mark.sampled(4)
def test_any_number_of_queries_and_keys(
    queries: int, keys: int, causal: bool, traced: bool
) -> None:
    q, k, v = Q[:, :, :1].repeat(queries, 2), K[:, :, :keys], V[:, :, :keys]
    slopes = nets.value_and_grad(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal).sum(), (0, 1, 2)
    )
    value, gradients = (nets.trace(slopes) if traced else slopes)(q, k, v)
    added = np.where(np.tri(queries, keys, dtype=bool) | (not causal), 0, -math.inf)
    assert value.item() == pytest.approx(attention(q, k, v, added).sum())
    assert all(np.isfinite(g.numpy()).all() for g in gradients)


def test_one_seen_key_gets_everything() -> None:
    mask = np.eye(5, 6, dtype=bool)
    slope = nets.grad(lambda v: (F.scaled_dot_product_attention(Q, K, v, mask) ** 2).sum())(V)
    assert np.allclose(slope.numpy()[:, :, :5], 2 * V[:, :, :5])


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.long
def test_layers_of_attention(traced: bool) -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True, dtype="float64")
    x, padding = Q[0], np.array([[False] * 5, [True] * 5, [True] * 4 + [False]])
    for mask in (None, np.zeros((5, 5), bool), np.eye(5, dtype=bool)):

        def slopes(x: Any, mask: Any = mask) -> Any:
            def total(x: Any) -> Any:
                output, weights = layer(x, x, x, key_padding_mask=padding, attn_mask=mask)
                return output.sum(), weights

            return nets.value_and_grad(total, has_aux=True)(x)

        (_, weights), slope = (nets.trace(slopes) if traced else slopes)(x)
        assert np.isfinite(slope.numpy()).all()
        assert not weights.numpy()[1].any()
        assert np.allclose(weights.numpy()[0].sum(-1), 1)


# ---------------------------------------------------------------------------- exponentials


NOTHING = -math.inf
ROWS = np.array([[NOTHING, NOTHING, NOTHING], [1.0, NOTHING, 2.0], [math.nan, NOTHING, 0.0]])


def logsumexp(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.exp(x).sum(axes, keepdims=keepdims))


@pytest.mark.parametrize(("dtype", "traced"), [("float32", True), ("float64", False)])
@pytest.mark.long
def test_logsumexp_of_nothing(dtype: str, traced: bool) -> None:
    shapes = [(), (0,), (2, 0), (3, 0, 2)]
    for x in [ROWS.astype(dtype), *(np.full(s, NOTHING, dtype) for s in shapes)]:
        axes = [s for n in range(x.ndim + 1) for s in itertools.combinations(range(x.ndim), n)]
        for axis, keepdims in itertools.product(axes, (False, True)):

            def both(x: Any, axis: Any = axis, keepdims: bool = keepdims) -> Any:
                result = nets.logsumexp(x, axis, keepdims)
                slope = nets.grad(lambda x: nets.logsumexp(x, axis, keepdims).sum())
                return result, slope(x)

            result, slope = (nets.trace(both) if traced else both)(x)
            expected = logsumexp(x, axis, keepdims)
            assert (result.shape, result.dtype) == (expected.shape, dtype)
            assert np.allclose(result, expected, rtol=1e-6, equal_nan=True)
            total = np.broadcast_to(np.exp(x).sum(axis, keepdims=True), x.shape)
            share = np.exp(x) / np.where(total == 0, 1, total)
            known = ~np.isnan(total)
            if axis:
                assert np.allclose(slope.numpy()[known], share[known], rtol=1e-6)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("softmax", [nets.softmax, nets.log_softmax])
@pytest.mark.sampled(4)
def test_softmax_of_nothing(softmax: Callable[..., Any], traced: bool) -> None:
    def both(x: Any, axis: int) -> Any:
        return softmax(x, axis), nets.grad(lambda x: softmax(x, axis).sum())(x)

    for shape, axis in itertools.product([(0,), (2, 0), (0, 2), (3, 0, 2)], [0, -1]):
        call = nets.trace(both, static_argnames="axis") if traced else both
        assert [found.shape for found in call(np.zeros(shape), axis=axis)] == [shape] * 2


def test_axes_that_are_not_there() -> None:
    for x, axis in ((1.0, 0), (Q, 4), (Q, (0, 0)), (np.zeros((0, 2)), 2)):
        for f in (nets.logsumexp, nets.softmax, nets.log_softmax):
            with pytest.raises(nets.errors.ShapeError):
                f(x, axis)
