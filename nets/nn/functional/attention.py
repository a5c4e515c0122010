"""Attention: values weighted by how well their keys fit a query."""

from __future__ import annotations

import math

import numpy as np

import nets
from nets.nn.functional.arguments import TensorLike, check, check_rank
from nets.nn.functional.dropout import dropout


def scaled_dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    attn_mask: TensorLike | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> nets.Tensor:
    """softmax(q kᵀ / √d + mask) v: (…, L, d), (…, S, d), (…, S, e) gives (…, L, e).

    ``scale`` takes the place of 1 / √d; ``dropout_p`` of the weights are left out. With
    ``enable_gqa`` there are several heads (…, H, L, d) of queries for each of keys and values: the
    number of these divides H (Ainslie et al., "GQA", 2023). ArgumentError for a mask together with
    ``is_causal``.

    A bool mask is true where a key takes part; other masks are added. ``is_causal`` stands for a
    mask of its own: query i sees the keys up to i. A query that sees no key gets 0, and gives no
    gradient. Vaswani et al., "Attention is all you need", 2017.

    ``query``, ``key`` and ``value`` are tensors or arrays of these shapes; ``attn_mask`` has the
    shape (…, L, S), or one that broadcasts to it: DTypeError for one of neither bools nor floats,
    ShapeError for other shapes. There is no training mode here: weights are left out at every call
    with a ``dropout_p`` above 0.
    """
    if enable_gqa:
        key, value = (_for_each_head(query, x) for x in (key, value))
    weights = attention_weights(query, key, attn_mask, is_causal, scale)
    return nets.matmul(dropout(weights, dropout_p), value)


def _for_each_head(query: TensorLike, x: TensorLike) -> nets.Tensor:
    """Keys or values, repeated for the heads of queries that share them."""
    q, tensor = nets.as_tensor(query), nets.as_tensor(x)
    heads = q.shape[-3:-2] + tensor.shape[-3:-2]
    if len(heads) < 2 or not heads[1] or heads[0] % heads[1]:
        raise nets.errors.ShapeError(
            f"enable_gqa takes (…, H, L, d) and a number of heads that divides H, not {q.shape} "
            f"and {tensor.shape}",
            nets.user_location(),
        )
    return nets.repeat(tensor, heads[0] // heads[1], -3)


def attention_weights(
    query: TensorLike,
    key: TensorLike,
    attn_mask: TensorLike | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> nets.Tensor:
    """What each query (…, L, d) gives each key (…, S, d): shape (…, L, S).

    Rows add up to 1, or to 0 where the query sees no key.
    """
    q, k = nets.as_tensor(query), nets.as_tensor(key)
    check(attn_mask is None or not is_causal, "attention takes attn_mask or is_causal, not both")
    check_rank("attention", q, 2, "(…, L, d)")
    check_rank("attention", k, 2, "(…, S, d)")
    factor = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale
    scores = nets.matmul(q * factor, nets.matrix_transpose(k))
    if is_causal:
        past = nets.tril(nets.ones((q.shape[-2], k.shape[-2]), dtype=bool))
        scores = nets.where(past, scores, -math.inf)
    if attn_mask is not None:
        scores = _masked(scores, nets.as_tensor(attn_mask))
    return _softmax_or_zeros(scores)


def _masked(scores: nets.Tensor, mask: nets.Tensor) -> nets.Tensor:
    if mask.dtype.kind not in "bf":
        raise nets.errors.DTypeError(
            f"a mask is made of bools, or of floats to add, not of {mask.dtype}",
            nets.user_location(),
        )
    result = nets.where(mask, scores, -math.inf) if mask.dtype == bool else scores + mask
    if result.shape != scores.shape:
        raise nets.errors.ShapeError(
            f"a mask of shape {mask.shape} is not for scores of shape {scores.shape}",
            nets.user_location(),
        )
    return result


def _softmax_or_zeros(scores: nets.Tensor) -> nets.Tensor:
    """The softmax of each row; zeros, whose gradient is 0, where all scores are −inf."""
    # A bound below all finite numbers keeps −inf − (−inf) away, and one below 1, which every other
    # total reaches, 0 / 0.
    least = float(np.finfo(scores.dtype).min)
    largest = nets.stop_gradient(nets.max(scores, -1, keepdims=True, initial=least))
    powers = nets.exp(scores - largest)
    return powers / nets.maximum(nets.sum(powers, -1, keepdims=True), 0.5)
