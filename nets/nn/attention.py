"""Attention layers and the encoder of a transformer.

Vaswani et al., "Attention is all you need", 2017; parameters under PyTorch's names.

``bias`` gives the linear layers one. ``dtype``, float32 or float64, is that of the parameters;
others are a DTypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn import init
from nets.nn.container import ModuleList
from nets.nn.dropout import Dropout
from nets.nn.functional.arguments import check_count, check_number, check_shape
from nets.nn.functional.attention import attention_weights
from nets.nn.linear import Linear, parameter
from nets.nn.module import Module, Parameter
from nets.nn.normalization import LayerNorm


class MultiheadAttention(Module):
    """``num_heads`` attentions side by side, each over embed_dim / num_heads features.

    Queries (L, N, embed_dim), keys and values (S, N, embed_dim); with ``batch_first`` the axes L
    and S come second. ``key_padding_mask`` (N, S) and a bool ``attn_mask`` (L, S) are true where a
    key does *not* take part, as in PyTorch; a float ``attn_mask`` is added to the scores. Without
    the axis N, one sequence. ``kdim`` and ``vdim``: the features of keys and values where they
    differ from embed_dim; each of the three then has a weight of its own.

    ``dropout`` is the probability that a weight of a key is left out in training. ArgumentError
    where ``num_heads`` does not divide ``embed_dim``.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        check_count("embed_dim", embed_dim)
        check_count("num_heads", num_heads)
        check_number("dropout", dropout, 0, 1)
        if embed_dim % num_heads:
            raise nets.errors.ArgumentError(
                f"{embed_dim} features do not split into {num_heads} heads", nets.user_location()
            )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        weights = self._weights(dtype)
        self.in_proj_bias = parameter((3 * embed_dim,), dtype) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype)
        for weight in weights:
            init.xavier_uniform_(weight)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def _weights(self, dtype: npt.DTypeLike) -> list[Parameter]:
        """Make the weights of queries, keys and values: one for all, or one for each."""
        own = self.embed_dim
        if self.kdim == self.vdim == own:
            self.in_proj_weight = parameter((3 * own, own), dtype)
        else:
            for part, size in zip("qkv", (own, self.kdim, self.vdim), strict=True):
                setattr(self, f"{part}_proj_weight", parameter((own, size), dtype))
        return list(self.parameters())

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[nets.Tensor, nets.Tensor | None]:
        """Output (L, N, embed_dim), and the weights (N, L, S), or None if not needed.

        ``is_causal`` says of ``attn_mask`` that it hides what comes later; it makes no difference.
        """
        if is_causal and attn_mask is None:
            raise nets.errors.ArgumentError(
                "is_causal describes attn_mask, which has to be given as well",
                nets.user_location(),
            )
        parts = [nets.as_tensor(x) for x in (query, key, value)]
        if all(x.ndim == 2 for x in parts):
            batch = 0 if self.batch_first else 1
            query, key, value = (nets.expand_dims(x, batch) for x in parts)
            padding = None if key_padding_mask is None else nets.as_tensor(key_padding_mask)[None]
            output, weights = self.forward(
                query, key, value, padding, need_weights, attn_mask, average_attn_weights
            )
            return nets.squeeze(output, batch), None if weights is None else weights[0]
        q, k, v = (self._heads(x, i) for i, x in enumerate(parts))
        if not q.shape[0] == k.shape[0] == v.shape[0] or k.shape[2] != v.shape[2]:
            raise nets.errors.ShapeError(
                f"queries, keys and values of shapes {', '.join(str(x.shape) for x in parts)} do "
                "not belong together",
                nets.user_location(),
            )
        mask = self._mask(key_padding_mask, attn_mask, q, k)
        weights = attention_weights(q, k, mask)
        dropped = F.dropout(weights, self.dropout, self.training)
        mixed = nets.swapaxes(nets.matmul(dropped, v), 1, 2)
        mixed = mixed.reshape((*mixed.shape[:2], self.embed_dim))
        output = self.out_proj(mixed if self.batch_first else nets.swapaxes(mixed, 0, 1))
        if not need_weights:
            return output, None
        return output, nets.mean(weights, 1) if average_attn_weights else weights

    def _heads(self, x: nets.Tensor, part: int) -> nets.Tensor:
        """Queries, keys or values (part 0, 1, 2) of each head: (N, heads, L, features)."""
        features = (self.embed_dim, self.kdim, self.vdim)[part]
        if x.ndim != 3 or x.shape[-1] != features:
            raise nets.errors.ShapeError(
                f"MultiheadAttention does not take {('queries', 'keys', 'values')[part]} of shape "
                f"{x.shape}, but of {features} features",
                nets.user_location(),
            )
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        own = getattr(self, f"{'qkv'[part]}_proj_weight", None)
        weight = self.in_proj_weight[rows] if own is None else own
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        projected = F.linear(x, weight, bias)
        if not self.batch_first:
            projected = nets.swapaxes(projected, 0, 1)
        size = self.embed_dim // self.num_heads
        split = projected.reshape((*projected.shape[:2], self.num_heads, size))
        return nets.swapaxes(split, 1, 2)

    def _mask(self, padding: Any, mask: Any, q: nets.Tensor, k: nets.Tensor) -> nets.Tensor | None:
        """Both masks as one that is added to scores (N, heads, L, S)."""
        (count, heads, queries, _), keys = q.shape, k.shape[2]
        total = None
        check_shape("key_padding_mask", padding, (count, keys))
        if padding is not None:
            total = _added(nets.as_tensor(padding), q.dtype)[:, None, None, :]
        if mask is not None:
            added = _added(nets.as_tensor(mask), q.dtype)
            if added.ndim == 3:  # one mask per sequence and head
                check_shape("attn_mask", added, (count * heads, queries, keys))
                added = added.reshape((count, heads, queries, keys))
            else:
                check_shape("attn_mask", added, (queries, keys))
            total = added if total is None else total + added
        return total

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}"


def _added(mask: nets.Tensor, dtype: npt.DTypeLike) -> nets.Tensor:
    """A bool mask as −inf where it is true; other masks as they are."""
    if mask.dtype != bool:
        return mask
    return nets.where(mask, nets.full((), float("-inf"), dtype), nets.zeros((), dtype))


class TransformerEncoderLayer(Module):
    """Self-attention, then two Linear layers, each added to its input and normalised.

    ``norm_first`` normalises before instead of after. (L, N, d_model) gives the same shape; with
    ``batch_first``, (N, L, d_model).

    ``d_model`` features in ``nhead`` heads, which divide them; ``dim_feedforward`` features between
    the Linear layers, after the first of which ``activation`` acts: "relu", "gelu" or a function.
    ``dropout`` is the probability to be left out in training, ``layer_norm_eps`` what is added to
    the variances.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Callable[[Any], nets.Tensor] | str = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.norm_first = norm_first
        self.activation = activation_of(activation)

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> nets.Tensor:
        x = nets.as_tensor(src)
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x, *masks))
        result: nets.Tensor = self.norm2(x + self._feed(x))
        return result

    def _attend(self, x: nets.Tensor, mask: Any, padding: Any, is_causal: bool) -> nets.Tensor:
        attended, _ = self.self_attn(
            x, x, x, padding, need_weights=False, attn_mask=mask, is_causal=is_causal
        )
        result: nets.Tensor = self.dropout1(attended)
        return result

    def _feed(self, x: nets.Tensor) -> nets.Tensor:
        hidden = self.dropout(self.activation(self.linear1(x)))
        result: nets.Tensor = self.dropout2(self.linear2(hidden))
        return result


def activation_of(
    activation: Callable[[Any], nets.Tensor] | str,
) -> Callable[[Any], nets.Tensor]:
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise nets.errors.ArgumentError(
            f"activation is 'relu', 'gelu' or a function, not {activation!r}",
            nets.user_location(),
        )
    return F.relu if activation == "relu" else F.gelu


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer one after the other, and a norm at the end.

    ``encoder_layer`` is what is copied, with its elements; a ``norm`` of None does nothing.
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer,
        num_layers: int,
        norm: Module | None = None,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(encoder_layer.copy() for _ in range(num_layers))
        self.norm = norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> nets.Tensor:
        x = nets.as_tensor(src)
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, is_causal)
        if self.norm is not None:
            x = self.norm(x)
        return nets.positive(x) if x is src else x
