"""The decoder of a transformer, and a whole one (Vaswani et al., 2017).

``dtype``, float32 or float64, is that of the parameters; others are a DTypeError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

import nets
from nets.nn import init
from nets.nn.attention import (
    MultiheadAttention,
    TransformerEncoder,
    TransformerEncoderLayer,
    activation_of,
)
from nets.nn.container import ModuleList
from nets.nn.dropout import Dropout
from nets.nn.functional.arguments import check, check_count
from nets.nn.linear import Linear
from nets.nn.module import Module
from nets.nn.normalization import LayerNorm


class TransformerDecoderLayer(Module):
    """Self-attention, attention to a memory, and two Linear layers, each added and normalised.

    ``norm_first`` normalises before instead of after. (L, N, ``d_model``) with a memory
    (S, N, d_model) gives (L, N, d_model); with ``batch_first`` the axis N comes first. ``nhead``
    heads, ``dim_feedforward`` features between the Linear layers, ``dropout`` after each part,
    ``activation`` "relu", "gelu" or a function, ``layer_norm_eps`` and ``bias`` of the layers.
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
        heads: dict[str, Any] = {"batch_first": batch_first, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **heads)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, **heads)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype)
        for i in (1, 2, 3):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for i in (1, 2, 3):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.norm_first = norm_first
        self.activation = activation_of(activation)

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> nets.Tensor:
        """Masks are those of ``MultiheadAttention``; the flags describe them."""
        x = nets.as_tensor(tgt)
        own = tgt_mask, tgt_key_padding_mask, tgt_is_causal
        others = memory_mask, memory_key_padding_mask, memory_is_causal
        parts: list[Callable[[nets.Tensor], nets.Tensor]] = [
            lambda x: self._attend(self.self_attn, x, x, *own),
            lambda x: self._attend(self.multihead_attn, x, memory, *others),
            lambda x: self.linear2(self.dropout(self.activation(self.linear1(x)))),
        ]
        for i, part in enumerate(parts, 1):
            norm, dropout = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
            if self.norm_first:
                x = x + dropout(part(norm(x)))
            else:
                x = norm(x + dropout(part(x)))
        return x

    def _attend(
        self,
        attention: MultiheadAttention,
        x: nets.Tensor,
        memory: Any,
        mask: Any,
        padding: Any,
        is_causal: bool,
    ) -> nets.Tensor:
        attended, _ = attention(
            x, memory, memory, padding, need_weights=False, attn_mask=mask, is_causal=is_causal
        )
        result: nets.Tensor = attended
        return result


class TransformerDecoder(Module):
    """``num_layers`` copies of a ``decoder_layer``, and a ``norm`` at the end."""

    def __init__(
        self,
        decoder_layer: TransformerDecoderLayer,
        num_layers: int,
        norm: Module | None = None,
    ) -> None:
        super().__init__()
        check_count("num_layers", num_layers, 0)
        check(isinstance(decoder_layer, Module), f"{decoder_layer!r} is no layer of a decoder")
        self.layers = ModuleList(decoder_layer.copy() for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def forward(self, tgt: Any, memory: Any, *masks: Any, **options: Any) -> nets.Tensor:
        """Masks and flags are those of ``TransformerDecoderLayer``."""
        x = nets.as_tensor(tgt)
        for layer in self.layers:
            x = layer(x, memory, *masks, **options)
        if self.norm is not None:
            x = self.norm(x)
        return nets.positive(x) if x is tgt else x


class Transformer(Module):
    """An encoder and a decoder: (S, N, d_model) and (L, N, d_model) give (L, N, d_model).

    ``custom_encoder`` and ``custom_decoder`` take the places of those of ``num_encoder_layers`` and
    ``num_decoder_layers``; the other options are those of ``TransformerDecoderLayer``. Matrices
    start as in Glorot and Bengio, 2010.

    ``d_model`` features in ``nhead`` heads, ``dim_feedforward`` between the Linear layers,
    ``dropout``, ``activation``, ``layer_norm_eps``, ``batch_first``, ``norm_first`` and ``bias`` as
    there.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Callable[[Any], nets.Tensor] | str = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        for name, count in (("encoder", num_encoder_layers), ("decoder", num_decoder_layers)):
            check_count(f"num_{name}_layers", count, 0)
        sizes = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        forms = batch_first, norm_first, bias, dtype

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        self.encoder: Module = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*sizes, *forms), num_encoder_layers, norm()
        )
        self.decoder: Module = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*sizes, *forms), num_decoder_layers, norm()
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
    ) -> nets.Tensor:
        """Masks are those of ``MultiheadAttention``, of the encoder, the decoder, and between."""
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        result: nets.Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
        )
        return result

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype: npt.DTypeLike = "float32") -> nets.Tensor:
        """The mask (sz, sz) that hides what comes later: −inf above the diagonal, else 0."""
        return nets.triu(nets.full((sz, sz), float("-inf"), dtype), 1)
