"""Layers that move places and channels: paddings, other sizes, windows side by side.

``kernel_size`` is the size of a window, ``dilation`` how far apart its elements lie, ``stride`` how
far apart windows begin, ``padding`` how much lies around, ``output_size`` the size (H, W) that
``Fold`` gives: each one number, or one for each axis. An ``Upsample`` takes a ``size`` or a
``scale_factor``.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

import nets
from nets.nn import functional as F
from nets.nn.functional.arguments import Reading, Sizes, check_count
from nets.nn.module import Module


class _Padding(Module):
    """Elements around space: ``padding`` is one number for all sides, or two for each axis, from
    the last one on."""

    rank: int
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        with Reading("a number of elements, or several"):
            listed = padding if isinstance(padding, tuple | list) else (padding,)
            one = tuple(operator.index(n) for n in listed)
        one = one * (2 * self.rank) if len(listed) == 1 else one
        if len(one) != 2 * self.rank:
            raise nets.errors.ArgumentError(
                f"{type(self).__name__} takes one number or {2 * self.rank}, not {padding}",
                nets.user_location(),
            )
        self.padding = one

    def forward(self, x: Any) -> nets.Tensor:
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Padding):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, x: Any) -> nets.Tensor:
        return F.pad(x, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}, {self.value}"


class ConstantPad1d(_ConstantPad):
    """``value`` around one axis; see ``nets.nn.functional.pad``."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last two axes; see ``nets.nn.functional.pad``."""

    rank = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last three axes; see ``nets.nn.functional.pad``."""

    rank = 3


class ZeroPad1d(_Padding):
    """Zeros around one axis; see ``nets.nn.functional.pad``."""

    rank = 1


class ZeroPad2d(_Padding):
    """Zeros around the last two axes; see ``nets.nn.functional.pad``."""

    rank = 2


class ZeroPad3d(_Padding):
    """Zeros around the last three axes; see ``nets.nn.functional.pad``."""

    rank = 3


class ReflectionPad1d(_Padding):
    """What lies behind the edge around one axis; see ``nets.nn.functional.pad``."""

    rank = 1
    mode = "reflect"


class ReflectionPad2d(_Padding):
    """What lies behind the edge around the last two axes; see ``nets.nn.functional.pad``."""

    rank = 2
    mode = "reflect"


class ReflectionPad3d(_Padding):
    """What lies behind the edge around the last three axes; see ``nets.nn.functional.pad``."""

    rank = 3
    mode = "reflect"


class ReplicationPad1d(_Padding):
    """The edge around one axis; see ``nets.nn.functional.pad``."""

    rank = 1
    mode = "replicate"


class ReplicationPad2d(_Padding):
    """The edge around the last two axes; see ``nets.nn.functional.pad``."""

    rank = 2
    mode = "replicate"


class ReplicationPad3d(_Padding):
    """The edge around the last three axes; see ``nets.nn.functional.pad``."""

    rank = 3
    mode = "replicate"


class CircularPad1d(_Padding):
    """The other end around one axis; see ``nets.nn.functional.pad``."""

    rank = 1
    mode = "circular"


class CircularPad2d(_Padding):
    """The other end around the last two axes; see ``nets.nn.functional.pad``."""

    rank = 2
    mode = "circular"


class CircularPad3d(_Padding):
    """The other end around the last three axes; see ``nets.nn.functional.pad``."""

    rank = 3
    mode = "circular"


class Upsample(Module):
    """Images of another size; see ``nets.nn.functional.interpolate`` for the options.

    ``mode`` is "nearest", "linear", "bilinear", "bicubic", "trilinear" or one of its relatives;
    ``align_corners`` lets the centres of the corners meet, ``recompute_scale_factor`` finds places
    by the sizes instead of the factor.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, x: Any) -> nets.Tensor:
        options = self.mode, self.align_corners, self.recompute_scale_factor
        return F.interpolate(x, self.size, self.scale_factor, *options)

    def extra_repr(self) -> str:
        own = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{own}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """``Upsample`` by the nearest element, to a ``size`` or by a ``scale_factor``."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """``Upsample`` with the mode "bilinear", the centres of the corners meeting."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """(N, C · r², H, W) → (N, C, H · r, W · r), r = ``upscale_factor``."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        check_count("upscale_factor", upscale_factor)
        self.upscale_factor = upscale_factor

    def forward(self, x: Any) -> nets.Tensor:
        return F.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"{self.upscale_factor}"


class PixelUnshuffle(Module):
    """(N, C, H · r, W · r) → (N, C · r², H, W), r = ``downscale_factor``."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        check_count("downscale_factor", downscale_factor)
        self.downscale_factor = downscale_factor

    def forward(self, x: Any) -> nets.Tensor:
        return F.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"{self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels dealt out to ``groups`` by turns."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        check_count("groups", groups)
        self.groups = groups

    def forward(self, x: Any) -> nets.Tensor:
        return F.channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        return f"{self.groups}"


class Unfold(Module):
    """Images → the elements of each window as a column; see ``nets.nn.functional.unfold``."""

    def __init__(
        self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Any) -> nets.Tensor:
        return F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"{self.kernel_size}" + self._unlike(dilation=1, padding=0, stride=1)


class Fold(Module):
    """Columns added up where their windows lie; see ``nets.nn.functional.fold``."""

    def __init__(
        self,
        output_size: Sizes,
        kernel_size: Sizes,
        dilation: Sizes = 1,
        padding: Sizes = 0,
        stride: Sizes = 1,
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Any) -> nets.Tensor:
        options = self.dilation, self.padding, self.stride
        return F.fold(x, self.output_size, self.kernel_size, *options)

    def extra_repr(self) -> str:
        return f"{self.output_size}, {self.kernel_size}" + self._unlike(
            dilation=1, padding=0, stride=1
        )


class Unflatten(Module):
    """The axis ``dim`` as several, of the sizes ``unflattened_size``, one of which may be −1."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        with Reading("a list of sizes"):
            sizes = tuple(operator.index(n) for n in unflattened_size)
        self.dim, self.unflattened_size = dim, sizes

    def forward(self, x: Any) -> nets.Tensor:
        return nets.unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"{self.dim}, {self.unflattened_size}"
