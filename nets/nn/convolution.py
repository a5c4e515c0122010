"""Convolution layers.

``kernel_size`` is the size of a window, ``stride`` how far apart windows begin, ``padding`` how
many zeros lie on both sides ("same": what keeps the size), ``dilation`` how far apart the elements
of a window lie: each one number for all axes of space, or one for each. ``groups`` splits the
channels into so many parts that see each other not at all: ArgumentError where it does not divide
them. ``output_padding`` makes a transposed result longer at its end. ``bias`` says whether one is
added. ``dtype``, float32 or float64, is that of the parameters; others are a DTypeError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy.typing as npt

import nets
from nets.nn import functional as F
from nets.nn.functional.arguments import Sizes, check_count, counts, pair
from nets.nn.linear import parameter, reset_affine
from nets.nn.module import Module

Padding = Sizes | Literal["valid", "same"]


class _Kernels(Module):
    """Trained kernels from ``in_channels`` to ``out_channels``, with or without a bias."""

    _is_transposed = False
    _defaults: ClassVar[dict[str, int]]
    """Options that ``repr`` shows where a layer has another value."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        groups: int,
        bias: bool,
        dtype: npt.DTypeLike,
    ) -> None:
        check_count("in_channels", in_channels, 0)
        check_count("out_channels", out_channels, 0)
        check_count("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise nets.errors.ArgumentError(
                f"{in_channels} and {out_channels} channels do not form {groups} groups",
                nets.user_location(),
            )
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.groups = kernel_size, groups
        rows, columns = out_channels, in_channels
        if self._is_transposed:
            rows, columns = columns, rows
        self.weight = parameter((rows, columns // groups, *kernel_size), dtype)
        self.bias = parameter((out_channels,), dtype) if bias else None
        reset_affine(self.weight, self.bias)

    def extra_repr(self) -> str:
        more = self._unlike(**self._defaults)
        bias = "" if self.bias is not None else ", bias=False"
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{more}{bias}"
        )


class _Convolution(_Kernels):
    """A correlation of ``in_channels`` with trained kernels, one per output channel."""

    rank: int
    _defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Padding = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        kernel = pair(kernel_size, self.rank, "kernel_size")
        super().__init__(in_channels, out_channels, kernel, groups, bias, dtype)
        self.stride, self.padding, self.dilation = stride, padding, dilation


class Conv1d(_Convolution):
    """(N, C, L) → (N, out_channels, L′); see ``nets.nn.functional.conv1d``."""

    rank = 1

    def forward(self, x: Any) -> nets.Tensor:
        return F.conv1d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv3d(_Convolution):
    """(N, C, D, H, W) → (N, out_channels, D′, H′, W′); see ``nets.nn.functional.conv3d``."""

    rank = 3

    def forward(self, x: Any) -> nets.Tensor:
        return F.conv3d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv2d(_Convolution):
    """(N, C, H, W) → (N, out_channels, H′, W′); see ``nets.nn.functional.conv2d``."""

    rank = 2

    def forward(self, x: Any) -> nets.Tensor:
        return F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class _Transposed(_Kernels):
    """What the gradient of a convolution computes, larger than its input for a stride above 1."""

    rank: int
    _is_transposed = True
    _defaults = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        kernel = pair(kernel_size, self.rank, "kernel_size")
        super().__init__(in_channels, out_channels, kernel, groups, bias, dtype)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.dilation = dilation

    def forward(self, x: Any, output_size: Sequence[int] | None = None) -> nets.Tensor:
        """``output_size``, of space, takes the place of ``output_padding``: one that it can give.

        ArgumentError for one that it cannot.
        """
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.rank - 1]
        more = self.output_padding if output_size is None else self._rest(x, output_size)
        return function(
            x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )

    def _rest(self, x: Any, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output_padding that gives a size."""
        space = nets.as_tensor(x).shape[-self.rank :]
        sizes = counts("output_size", output_size, 0)
        if len(space) < self.rank or len(sizes) < self.rank:
            raise nets.errors.ShapeError(
                f"{type(self).__name__} does not take shape {space} to {output_size}",
                nets.user_location(),
            )
        names = ("stride", "padding", "dilation")
        steps, margins, apart = (pair(getattr(self, n), self.rank, n, 0) for n in names)
        axes = zip(space, self.kernel_size, steps, margins, apart, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in axes]
        wanted = sizes[-self.rank :]
        rest = tuple(n - own for n, own in zip(wanted, least, strict=False))
        if len(rest) != self.rank or not all(0 <= n < s for n, s in zip(rest, steps, strict=True)):
            raise nets.errors.ArgumentError(
                f"output_size is from {least} on, below a stride more, not {sizes}",
                nets.user_location(),
            )
        return rest


class ConvTranspose1d(_Transposed):
    """(N, C, L) → (N, out_channels, L′); see ``nets.nn.functional.conv_transpose1d``."""

    rank = 1


class ConvTranspose2d(_Transposed):
    """(N, C, H, W) → (N, out_channels, H′, W′), larger for a stride above 1.

    See ``nets.nn.functional.conv_transpose2d``.
    """

    rank = 2


class ConvTranspose3d(_Transposed):
    """(N, C, D, H, W) → (N, out_channels, D′, H′, W′).

    See ``nets.nn.functional.conv_transpose3d``.
    """

    rank = 3
