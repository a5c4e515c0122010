"""Layers that are linear in their parameters, and the stack of layers of the original.

``dtype``, float32 or float64, is that of the parameters; others are a DTypeError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn import init
from nets.nn.activation import ReLU, Softmax
from nets.nn.container import Sequential
from nets.nn.functional.arguments import check_count
from nets.nn.functional.linear import padding_row
from nets.nn.module import Module, Parameter, also_named


def parameter(shape: tuple[int, ...], dtype: npt.DTypeLike, value: float = 0.0) -> Parameter:
    """A parameter filled with one value."""
    return Parameter(nets.full(shape, value, dtype))


def reset_affine(weight: nets.Tensor, bias: nets.Tensor | None) -> None:
    """Weight and bias uniform within 1 / √fan_in, which is what PyTorch starts from."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    fan_in, _ = init.fans(weight.shape)
    if bias is not None and fan_in:
        bound = 1 / math.sqrt(fan_in)
        init.uniform_(bias, -bound, bound)


class Linear(Module):
    """x Wᵀ + b, on the last axis: weight (out_features, in_features), bias (out_features,).

    ``in_features`` and ``out_features`` are the sizes of the last axis before and after; ``bias``
    says whether b is added. Both start uniform within 1 / √in_features.
    """

    @also_named(input_dim="in_features", output_dim="out_features")
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        check_count("in_features", in_features, 0)
        check_count("out_features", out_features, 0)
        self.in_features, self.out_features = in_features, out_features
        self.weight = parameter((out_features, in_features), dtype)
        self.bias = parameter((out_features,), dtype) if bias else None
        reset_affine(self.weight, self.bias)

    def forward(self, x: Any) -> nets.Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


class Embedding(Module):
    """A table of ``num_embeddings`` rows read at integer positions: (…) gives (…, embedding_dim).

    The row ``padding_idx`` starts as zeros and is not trained. Rows longer than ``max_norm``, by
    the norm of ``norm_type``, are shortened when they are read; ``scale_grad_by_freq`` divides the
    gradient of a row by how often it is read; ``sparse`` makes no difference.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        check_count("num_embeddings", num_embeddings, 0)
        check_count("embedding_dim", embedding_dim, 0)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None:
            padding_idx = padding_row(padding_idx, num_embeddings)
        self.padding_idx = padding_idx
        self.weight = parameter((num_embeddings, embedding_dim), dtype)
        init.normal_(self.weight)
        if padding_idx is not None:
            rows = self.weight.numpy()
            rows[padding_idx] = 0
            self.weight.data = rows

    def forward(self, positions: Any) -> nets.Tensor:
        options = self.max_norm, self.norm_type, self.scale_grad_by_freq
        return F.embedding(positions, self.weight, self.padding_idx, *options)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class EmbeddingBag(Embedding):
    """Bags of rows of a table, each a sum, a mean or the largest elements by ``mode``.

    ``include_last_offset``: the last offset says where the last bag ends. Other arguments are those
    of ``Embedding``; see ``nets.nn.functional.embedding_bag``.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: Literal["sum", "mean", "max"] = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        options = max_norm, norm_type, scale_grad_by_freq, sparse
        super().__init__(num_embeddings, embedding_dim, padding_idx, *options, dtype)
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(
        self, positions: Any, offsets: Any = None, per_sample_weights: Any = None
    ) -> nets.Tensor:
        """``positions`` (B, N), or (N,) with ``offsets`` (B,); weights of each for sums."""
        return F.embedding_bag(
            positions,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )


class Bilinear(Module):
    """Σᵢⱼ xᵢ Wₖᵢⱼ yⱼ + bₖ: weight (out_features, in1_features, in2_features).

    x (…, in1_features) and y (…, in2_features) give (…, out_features); ``bias`` says whether b is
    added.
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        super().__init__()
        check_count("in1_features", in1_features)
        check_count("in2_features", in2_features, 0)
        check_count("out_features", out_features, 0)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = parameter((out_features, in1_features, in2_features), dtype)
        self.bias = parameter((out_features,), dtype) if bias else None
        bound = 1 / math.sqrt(in1_features)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, x1: Any, x2: Any) -> nets.Tensor:
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in1_features}, {self.in2_features}, {self.out_features}{bias}"


class Flatten(Module):
    """The axes from ``start_dim`` to ``end_dim`` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> nets.Tensor:
        tensor = nets.as_tensor(x)
        rank = max(tensor.ndim, 1)  # without axes, there is one element to merge
        first, last = (self._axis(axis, rank) for axis in (self.start_dim, self.end_dim))
        if first > last:
            raise nets.errors.ShapeError(
                f"axis {self.start_dim} of shape {tensor.shape} comes after axis {self.end_dim}",
                nets.user_location(),
            )
        merged = math.prod(tensor.shape[first : last + 1])
        return tensor.reshape((*tensor.shape[:first], merged, *tensor.shape[last + 1 :]))

    def _axis(self, axis: int, rank: int) -> int:
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise nets.errors.ShapeError(
                f"there is no axis {axis} to flatten among {rank}", nets.user_location()
            )
        return axis % rank


class Identity(Module):
    """What it is given: of a tensor, the same elements in a new one."""

    def forward(self, x: Any) -> Any:
        return nets.positive(x) if isinstance(x, nets.Tensor) else x


class DNN(Sequential):
    """The dense network of the original NETS: Linear layers with an activation between them.

    ``layer_dimensions``: sizes from input to output. ``activation_hidden`` follows every layer but
    the last, ``activation_output`` the last; leave it None (not the original's Softmax) before a
    loss that takes scores, such as CrossEntropyLoss. Weights start as in He et al., biases at 0.

    ``softmax`` makes the output that of a ``Softmax`` along axis 1. ArgumentError for fewer than
    two sizes.
    """

    def __init__(
        self,
        layer_dimensions: Sequence[int],
        activation_hidden: Module | None = None,
        activation_output: Module | None = None,
        softmax: bool = False,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        if len(layer_dimensions) < 2:
            raise nets.errors.ArgumentError(
                "DNN needs the sizes of an input and an output", nets.user_location()
            )
        hidden = ReLU() if activation_hidden is None else activation_hidden
        layers: list[Module] = []
        for inputs, outputs in pairwise(layer_dimensions):
            layer = Linear(inputs, outputs, dtype=dtype)
            init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                init.zeros_(layer.bias)
            layers += [layer, hidden]
        layers.pop()
        if softmax:
            activation_output = Softmax(1)
        if activation_output is not None:
            layers.append(activation_output)
        super().__init__(*layers)
        self.layer_dimensions = tuple(layer_dimensions)
