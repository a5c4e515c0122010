"""Attention: of softmax, of graphs, linear; and the turning of positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, dtype_of, operator


def heads(x: Any, count: int) -> Any:
    """(B, T, H · D) → (B, H, T, D)."""
    return nets.swapaxes(nets.reshape(x, (*x.shape[:2], count, -1)), 1, 2)


def joined(x: Any) -> Any:
    """(B, H, T, D) → (B, T, H · D)."""
    return nets.reshape(nets.swapaxes(x, 1, 2), (x.shape[0], x.shape[2], -1))


def repeated(x: Any, count: int) -> Any:
    """Heads of keys for as many heads of queries, which share them in groups."""
    return nets.repeat(x, count // x.shape[1], axis=1)


@operator("Attention")
def attention(node: Node, q: Any, k: Any, v: Any, mask: Any = None, past_key: Any = None,
              past_value: Any = None, lengths: Any = None) -> Any:  # fmt: skip
    is_flat = q.ndim == 3
    if is_flat:
        q, k, v = heads(q, node["q_num_heads"]), *(heads(x, node["kv_num_heads"]) for x in (k, v))
    offset: Any = 0 if lengths is None else nets.reshape(lengths, (-1, 1, 1, 1)) - q.shape[2]
    if past_key is not None:
        offset = past_key.shape[2]
        k, v = nets.concatenate([past_key, k], 2), nets.concatenate([past_value, v], 2)
    shape = (*q.shape[:3], k.shape[2])
    allowed = _allowed(node, shape, offset, lengths)
    bias = nets.where(allowed, 0.0, -np.inf)
    if mask is not None:
        bias = bias + _bias(mask, k.shape[2])
    bias = nets.broadcast_to(nets.astype(bias, q.dtype), shape)
    y, scores = _attended(node, q, k, v, bias)
    return joined(y) if is_flat else y, k, v, scores


def _allowed(node: Node, shape: tuple[int, ...], offset: Any, lengths: Any) -> Any:
    """Which keys each query sees: those before it, those near it, those that are there."""
    places = nets.arange(shape[2])[:, None] + offset
    keys = nets.arange(shape[3])
    allowed = nets.ones((1, 1, shape[2], shape[3]), "bool")
    left, right = node["left_window_size"], node["right_window_size"]
    if node["is_causal"]:
        allowed = allowed & (keys <= places)
    if left is not None and left >= 0:
        allowed = allowed & (places - keys <= left)
    if right is not None and right >= 0:
        allowed = allowed & (keys - places <= right)
    if lengths is not None:
        allowed = allowed & (keys < nets.reshape(lengths, (-1, 1, 1, 1)))
    return allowed


def _bias(mask: Any, keys: int) -> Any:
    """A mask as numbers to add; keys behind it are not seen."""
    if mask.dtype == bool:
        mask = nets.where(mask, 0.0, -np.inf)
    widths = [(0, 0)] * (mask.ndim - 1) + [(0, keys - mask.shape[-1])]
    return nets.pad(mask, widths, constant_values=-np.inf)


def _attended(node: Node, q: Any, k: Any, v: Any, bias: Any) -> tuple[Any, Any]:
    """The values by the weights of their keys, and the scores at the stage that is asked for."""
    k, v = repeated(k, q.shape[1]), repeated(v, q.shape[1])
    scale = 1 / math.sqrt(q.shape[-1]) if node["scale"] is None else node["scale"]
    root = math.sqrt(scale)
    plain = (q * root) @ nets.matrix_transpose(k * root)
    cap = node["softcap"]
    capped = cap * nets.tanh(plain / cap) if cap else plain
    full = capped + bias
    precision = node["softmax_precision"]
    logits = full if precision is None else nets.astype(full, dtype_of(precision))
    nobody = nets.max(bias, axis=-1, keepdims=True) == -np.inf
    weights = nets.where(nobody, 0, nets.softmax(nets.where(nobody, 0, logits), -1))
    weights = nets.astype(weights, q.dtype)
    stages = (plain, capped, full, weights)
    return weights @ v, stages[node["qk_matmul_output_mode"] or 0]


@operator("FlexAttention")
def flex_attention(node: Node, q: Any, k: Any, v: Any) -> Any:
    k, v = repeated(k, q.shape[1]), repeated(v, q.shape[1])
    scale = 1 / math.sqrt(q.shape[-1]) if node["scale"] is None else node["scale"]
    scores = (q * math.sqrt(scale)) @ nets.matrix_transpose(k * math.sqrt(scale))
    if node["softmax_precision"] is not None:
        scores = nets.astype(scores, dtype_of(node["softmax_precision"]))
    if node["score_mod"] is not None:
        (scores,) = node.inner("score_mod", [scores])
    weights = nets.softmax(scores, -1)
    if node["prob_mod"] is not None:
        (weights,) = node.inner("prob_mod", [weights])
    return nets.astype(weights @ nets.astype(v, weights.dtype), v.dtype)


@operator("LinearAttention")
def linear_attention(node: Node, q: Any, k: Any, v: Any, state: Any = None,
                     decay: Any = None, beta: Any = None) -> Any:  # fmt: skip
    """A state of keys by values, which each step fades, corrects, adds to, and reads."""
    count = node["kv_num_heads"]
    q, k, v = heads(q, node["q_num_heads"]), heads(k, count), heads(v, count)
    size = q.shape[-1]
    scale = node["scale"] or 1 / math.sqrt(size)
    if state is None:
        state = nets.zeros((*k.shape[:2], size, v.shape[-1]), dtype=q.dtype)
    steps = {"q": q, "k": k, "v": v}
    if decay is not None:
        steps["decay"] = heads(decay, count)
    if beta is not None:
        steps["beta"] = heads(beta, beta.shape[-1])

    def step(past: Any, now: Any) -> Any:
        value = now["v"]
        if "decay" in now:
            past = past * nets.exp(now["decay"])[..., None]
        if "beta" in now:
            value = now["beta"] * (value - nets.einsum("bhdm,bhd->bhm", past, now["k"]))
        new = past + now["k"][..., None] * value[..., None, :]
        read = repeated(new, q.shape[1])
        return new, scale * nets.einsum("bhd,bhdm->bhm", now["q"], read)

    last, rows = nets.scan(step, state, {n: nets.moveaxis(x, 2, 0) for n, x in steps.items()})
    return joined(nets.moveaxis(rows, 0, 2)), last


@operator("RotaryEmbedding")
def rotary_embedding(node: Node, x: Any, cos: Any, sin: Any, places: Any = None) -> Any:
    """Pairs of features turned by an angle for each position."""
    is_flat = x.ndim == 3
    parts = heads(x, node["num_heads"]) if is_flat else x
    turned = node["rotary_embedding_dim"] or parts.shape[-1]
    rest = parts[..., turned:]
    parts = parts[..., :turned]
    if places is not None:
        cos, sin = cos[places], sin[places]
    cos, sin = cos[:, None], sin[:, None]
    half = turned // 2
    if node["interleaved"]:
        a, b = parts[..., 0::2], parts[..., 1::2]
    else:
        a, b = parts[..., :half], parts[..., half:]
    pair = [cos * a - sin * b, sin * a + cos * b]
    if node["interleaved"]:
        result = nets.reshape(nets.stack(pair, axis=-1), parts.shape)
    else:
        result = nets.concatenate(pair, axis=-1)
    result = nets.concatenate([result, rest], axis=-1)
    return joined(result) if is_flat else result
